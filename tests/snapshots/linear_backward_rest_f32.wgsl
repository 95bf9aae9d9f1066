struct Params {
  chunks_at: u32,
  chunk_count: u32,
  heads: u32,
  query_heads: u32,
  key_heads: u32,
  state_heads: u32,
  score_vecs: u32,
  output_gradient_at: u32,
  output_gradient_token_stride: u32,
  output_gradient_head_stride: u32,
  output_gradient_batch_stride: u32,
  value_vecs: u32,
  grid_heads: u32,
  row_tiles: u32,
  column_tiles: u32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read> scores: array<vec4f>;
@group(0) @binding(2) var<storage, read> output_gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> rest: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

struct Chunk {
  batch: u32,
  token: u32,
  row: u32,
  count: u32,
}

fn read_chunk(at: u32) -> Chunk {
  return Chunk(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
    schedule[at + 3],
  );
}

fn chunk_of(index: u32) -> Chunk {
  return read_chunk(params.chunks_at + 4 * index);
}

fn query_head_of(head: u32) -> u32 {
  return head * params.query_heads / params.heads;
}

fn state_head_of(head: u32) -> u32 {
  return head * params.state_heads / params.heads;
}

fn key_head_of(state_head: u32) -> u32 {
  return state_head * params.key_heads / params.state_heads;
}

fn score_at(row: u32, head: u32) -> u32 {
  return (row * params.heads + head) * params.score_vecs;
}

fn score_block(chunk: Chunk, head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), scores[score_at(chunk.row + min(token + 0, last), head) + vec], token + 0 <= last),
    select(vec4f(0.0), scores[score_at(chunk.row + min(token + 1, last), head) + vec], token + 1 <= last),
    select(vec4f(0.0), scores[score_at(chunk.row + min(token + 2, last), head) + vec], token + 2 <= last),
    select(vec4f(0.0), scores[score_at(chunk.row + min(token + 3, last), head) + vec], token + 3 <= last),
  );
}

fn output_gradient_place(batch: i32, token: u32, head: u32) -> u32 {
  return params.output_gradient_at + u32(batch) * params.output_gradient_batch_stride + token * params.output_gradient_token_stride + head * params.output_gradient_head_stride;
}

fn output_gradient_at(chunk: Chunk, token: u32, head: u32) -> u32 {
  return output_gradient_place(i32(chunk.batch), chunk.token + token, head);
}

fn load_output_gradient(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(output_gradient[at + vec]);
}

fn output_gradient_block(chunk: Chunk, head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), load_output_gradient(output_gradient_at(chunk, min(token + 0, last), head), vec), token + 0 <= last),
    select(vec4f(0.0), load_output_gradient(output_gradient_at(chunk, min(token + 1, last), head), vec), token + 1 <= last),
    select(vec4f(0.0), load_output_gradient(output_gradient_at(chunk, min(token + 2, last), head), vec), token + 2 <= last),
    select(vec4f(0.0), load_output_gradient(output_gradient_at(chunk, min(token + 3, last), head), vec), token + 3 <= last),
  );
}

fn rest_at(chunk: Chunk, token: u32, state_head: u32) -> u32 {
  return ((chunk.row + token) * params.state_heads + state_head) * params.value_vecs;
}

fn rest_block(chunk: Chunk, state_head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), rest[rest_at(chunk, min(token + 0, last), state_head) + vec], token + 0 <= last),
    select(vec4f(0.0), rest[rest_at(chunk, min(token + 1, last), state_head) + vec], token + 1 <= last),
    select(vec4f(0.0), rest[rest_at(chunk, min(token + 2, last), state_head) + vec], token + 2 <= last),
    select(vec4f(0.0), rest[rest_at(chunk, min(token + 3, last), state_head) + vec], token + 3 <= last),
  );
}

fn first_reader(state_head: u32) -> u32 {
  return state_head * params.heads / params.state_heads;
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let column_tile = group % params.column_tiles;
  let row_tile = group / params.column_tiles % params.row_tiles;
  let place = group / (params.column_tiles * params.row_tiles);
  let head = place % params.grid_heads;
  let chunk_index = place / params.grid_heads;
  if (chunk_index >= params.chunk_count) {
    return;
  }
  let chunk = chunk_of(chunk_index);
  let row_end = (row_tile + 1u) * 32;
  let columns = 4u * params.value_vecs;
  if (column_tile * 4 >= columns) {
    return;
  }
  let last_column = (columns - 1u) / 4u * 4u;
  let row = row_tile * 32 + 4u * lane;
  let first_column = column_tile * 4;
  if (row >= chunk.count) {
    return;
  }
  let column_0 = min(first_column + 0 * 4u * 1, last_column);
  var sum_0_0 = vec4f(0.0);
  var sum_1_0 = vec4f(0.0);
  var sum_2_0 = vec4f(0.0);
  var sum_3_0 = vec4f(0.0);
  for (var reader = first_reader(head); reader < first_reader(head + 1u); reader++) {
    for (var depth = row; depth < chunk.count; depth += 4u) {
      let left = score_block(chunk, reader, depth, row / 4u);
      {
        let column = column_0;
        let right = output_gradient_block(chunk, reader, depth, column / 4u);
        sum_0_0 = fma(vec4f(left[0][0]), right[0], sum_0_0);
        sum_1_0 = fma(vec4f(left[0][1]), right[0], sum_1_0);
        sum_2_0 = fma(vec4f(left[0][2]), right[0], sum_2_0);
        sum_3_0 = fma(vec4f(left[0][3]), right[0], sum_3_0);
        sum_0_0 = fma(vec4f(left[1][0]), right[1], sum_0_0);
        sum_1_0 = fma(vec4f(left[1][1]), right[1], sum_1_0);
        sum_2_0 = fma(vec4f(left[1][2]), right[1], sum_2_0);
        sum_3_0 = fma(vec4f(left[1][3]), right[1], sum_3_0);
        sum_0_0 = fma(vec4f(left[2][0]), right[2], sum_0_0);
        sum_1_0 = fma(vec4f(left[2][1]), right[2], sum_1_0);
        sum_2_0 = fma(vec4f(left[2][2]), right[2], sum_2_0);
        sum_3_0 = fma(vec4f(left[2][3]), right[2], sum_3_0);
        sum_0_0 = fma(vec4f(left[3][0]), right[3], sum_0_0);
        sum_1_0 = fma(vec4f(left[3][1]), right[3], sum_1_0);
        sum_2_0 = fma(vec4f(left[3][2]), right[3], sum_2_0);
        sum_3_0 = fma(vec4f(left[3][3]), right[3], sum_3_0);
      }
    }
  }
  if (first_column + 0 * 4u * 1 <= last_column) {
    let column = column_0;
    let sum_0 = sum_0_0;
    let sum_1 = sum_1_0;
    let sum_2 = sum_2_0;
    let sum_3 = sum_3_0;
    if (row + 0 < chunk.count) {
      rest[rest_at(chunk, row + 0, head) + column / 4u] = sum_0;
    }
    if (row + 1 < chunk.count) {
      rest[rest_at(chunk, row + 1, head) + column / 4u] = sum_1;
    }
    if (row + 2 < chunk.count) {
      rest[rest_at(chunk, row + 2, head) + column / 4u] = sum_2;
    }
    if (row + 3 < chunk.count) {
      rest[rest_at(chunk, row + 3, head) + column / 4u] = sum_3;
    }
  }
}
