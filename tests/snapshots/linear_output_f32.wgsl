struct Params {
  chunks_at: u32,
  chunk_count: u32,
  heads: u32,
  query_heads: u32,
  key_heads: u32,
  state_heads: u32,
  query_at: u32,
  query_token_stride: u32,
  query_head_stride: u32,
  query_batch_stride: u32,
  state_rows: u32,
  state_vecs: u32,
  score_vecs: u32,
  value_at: u32,
  value_token_stride: u32,
  value_head_stride: u32,
  value_batch_stride: u32,
  output_at: u32,
  output_token_stride: u32,
  output_head_stride: u32,
  output_batch_stride: u32,
  head_vecs: u32,
  value_vecs: u32,
  scale: f32,
  grid_heads: u32,
  row_tiles: u32,
  column_tiles: u32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> states: array<vec4f>;
@group(0) @binding(3) var<storage, read> scores: array<vec4f>;
@group(0) @binding(4) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> gates: array<vec4f>;
@group(0) @binding(7) var<uniform> params: Params;

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

fn query_place(batch: i32, token: u32, head: u32) -> u32 {
  return params.query_at + u32(batch) * params.query_batch_stride + token * params.query_token_stride + head * params.query_head_stride;
}

fn query_at(chunk: Chunk, token: u32, head: u32) -> u32 {
  return query_place(i32(chunk.batch), chunk.token + token, head);
}

fn load_query(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(query[at + vec]);
}

fn query_block(chunk: Chunk, head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), load_query(query_at(chunk, min(token + 0, last), head), vec), token + 0 <= last),
    select(vec4f(0.0), load_query(query_at(chunk, min(token + 1, last), head), vec), token + 1 <= last),
    select(vec4f(0.0), load_query(query_at(chunk, min(token + 2, last), head), vec), token + 2 <= last),
    select(vec4f(0.0), load_query(query_at(chunk, min(token + 3, last), head), vec), token + 3 <= last),
  );
}

fn state_at(chunk_index: u32, state_head: u32, row: u32) -> u32 {
  return ((chunk_index * params.state_heads + state_head) * params.state_rows + row) * params.state_vecs;
}

fn state_block(chunk_index: u32, state_head: u32, row: u32, vec: u32) -> mat4x4f {
  let last = params.state_rows - 1u;
  return mat4x4f(
    select(vec4f(0.0), states[state_at(chunk_index, state_head, min(row + 0, last)) + vec], row + 0 <= last),
    select(vec4f(0.0), states[state_at(chunk_index, state_head, min(row + 1, last)) + vec], row + 1 <= last),
    select(vec4f(0.0), states[state_at(chunk_index, state_head, min(row + 2, last)) + vec], row + 2 <= last),
    select(vec4f(0.0), states[state_at(chunk_index, state_head, min(row + 3, last)) + vec], row + 3 <= last),
  );
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

fn value_place(batch: i32, token: u32, head: u32) -> u32 {
  return params.value_at + u32(batch) * params.value_batch_stride + token * params.value_token_stride + head * params.value_head_stride;
}

fn value_at(chunk: Chunk, token: u32, head: u32) -> u32 {
  return value_place(i32(chunk.batch), chunk.token + token, head);
}

fn load_value(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(value[at + vec]);
}

fn value_block(chunk: Chunk, head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), load_value(value_at(chunk, min(token + 0, last), head), vec), token + 0 <= last),
    select(vec4f(0.0), load_value(value_at(chunk, min(token + 1, last), head), vec), token + 1 <= last),
    select(vec4f(0.0), load_value(value_at(chunk, min(token + 2, last), head), vec), token + 2 <= last),
    select(vec4f(0.0), load_value(value_at(chunk, min(token + 3, last), head), vec), token + 3 <= last),
  );
}

fn written_block(chunk: Chunk, state_head: u32, token: u32, vec: u32) -> mat4x4f {
  return value_block(chunk, state_head, token, vec);
}

fn output_place(batch: i32, token: u32, head: u32) -> u32 {
  return params.output_at + u32(batch) * params.output_batch_stride + token * params.output_token_stride + head * params.output_head_stride;
}

fn output_at(chunk: Chunk, token: u32, head: u32) -> u32 {
  return output_place(i32(chunk.batch), chunk.token + token, head);
}

fn store_output(base: u32, vec: u32, value: vec4f) {
  output[base + vec] = vec4<f32>(value);
}

fn gate_of(row: u32, state_head: u32, vec: u32) -> vec4f {
  return gates[(row * params.state_heads + state_head) * params.head_vecs + vec];
}

fn weighted(block: mat4x4f, weights: mat4x4f) -> mat4x4f {
  return mat4x4f(
    block[0] * weights[0],
    block[1] * weights[1],
    block[2] * weights[2],
    block[3] * weights[3],
  );
}

fn from_start(chunk: Chunk, state_head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.row + chunk.count - 1u;
  var weights = mat4x4f();
  {
    let own = gate_of(min(chunk.row + token + 0, last), state_head, vec);
    weights[0] = exp(own);
  }
  {
    let own = gate_of(min(chunk.row + token + 1, last), state_head, vec);
    weights[1] = exp(own);
  }
  {
    let own = gate_of(min(chunk.row + token + 2, last), state_head, vec);
    weights[2] = exp(own);
  }
  {
    let own = gate_of(min(chunk.row + token + 3, last), state_head, vec);
    weights[3] = exp(own);
  }
  return weights;
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
  let state_head = state_head_of(head);
  for (var depth = 0u; depth < params.state_rows; depth += 4u) {
    let left = params.scale * transpose(weighted(query_block(chunk, query_head_of(head), row, depth / 4u), from_start(chunk, state_head, row, depth / 4u)));
    {
      let column = column_0;
      let right = state_block(chunk_index, state_head, depth, column / 4u);
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
  for (var depth = 0u; depth < min(chunk.count, row_end); depth += 4u) {
    let left = transpose(score_block(chunk, head, row, depth / 4u));
    {
      let column = column_0;
      let right = written_block(chunk, state_head, depth, column / 4u);
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
  if (first_column + 0 * 4u * 1 <= last_column) {
    let column = column_0;
    let sum_0 = sum_0_0;
    let sum_1 = sum_1_0;
    let sum_2 = sum_2_0;
    let sum_3 = sum_3_0;
    if (row + 0 < chunk.count) {
      store_output(output_at(chunk, row + 0, head), column / 4u, sum_0);
    }
    if (row + 1 < chunk.count) {
      store_output(output_at(chunk, row + 1, head), column / 4u, sum_1);
    }
    if (row + 2 < chunk.count) {
      store_output(output_at(chunk, row + 2, head), column / 4u, sum_2);
    }
    if (row + 3 < chunk.count) {
      store_output(output_at(chunk, row + 3, head), column / 4u, sum_3);
    }
  }
}
