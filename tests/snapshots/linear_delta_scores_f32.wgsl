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
  key_at: u32,
  key_token_stride: u32,
  key_head_stride: u32,
  key_batch_stride: u32,
  score_vecs: u32,
  head_vecs: u32,
  scale: f32,
  grid_heads: u32,
  row_tiles: u32,
  column_tiles: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> scores: array<vec4f>;
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

fn key_place(batch: i32, token: u32, head: u32) -> u32 {
  return params.key_at + u32(batch) * params.key_batch_stride + token * params.key_token_stride + head * params.key_head_stride;
}

fn key_at(chunk: Chunk, token: u32, head: u32) -> u32 {
  return key_place(i32(chunk.batch), chunk.token + token, head);
}

fn load_key(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(key[at + vec]);
}

fn key_block(chunk: Chunk, head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), load_key(key_at(chunk, min(token + 0, last), head), vec), token + 0 <= last),
    select(vec4f(0.0), load_key(key_at(chunk, min(token + 1, last), head), vec), token + 1 <= last),
    select(vec4f(0.0), load_key(key_at(chunk, min(token + 2, last), head), vec), token + 2 <= last),
    select(vec4f(0.0), load_key(key_at(chunk, min(token + 3, last), head), vec), token + 3 <= last),
  );
}

fn score_at(row: u32, head: u32) -> u32 {
  return (row * params.heads + head) * params.score_vecs;
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
  let columns = min(chunk.count, row_end);
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
  let query_head = query_head_of(head);
  let state_head = state_head_of(head);
  let key_head = key_head_of(state_head);
  for (var depth = 0u; depth < 4u * params.head_vecs; depth += 4u) {
    let left = transpose(query_block(chunk, query_head, row, depth / 4u));
    {
      let column = column_0;
      let right = transpose(key_block(chunk, key_head, column, depth / 4u));
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
    let columns = vec4u(column) + vec4u(0u, 1u, 2u, 3u);
    if (row + 0 < chunk.count) {
      let weight = vec4f(params.scale);
      let score_0 = sum_0;
      scores[score_at(chunk.row + row + 0, head) + column / 4u] =
      select(vec4f(0.0), weight * score_0, columns < vec4u(row + 0));
    }
    if (row + 1 < chunk.count) {
      let weight = vec4f(params.scale);
      let score_1 = sum_1;
      scores[score_at(chunk.row + row + 1, head) + column / 4u] =
      select(vec4f(0.0), weight * score_1, columns < vec4u(row + 1));
    }
    if (row + 2 < chunk.count) {
      let weight = vec4f(params.scale);
      let score_2 = sum_2;
      scores[score_at(chunk.row + row + 2, head) + column / 4u] =
      select(vec4f(0.0), weight * score_2, columns < vec4u(row + 2));
    }
    if (row + 3 < chunk.count) {
      let weight = vec4f(params.scale);
      let score_3 = sum_3;
      scores[score_at(chunk.row + row + 3, head) + column / 4u] =
      select(vec4f(0.0), weight * score_3, columns < vec4u(row + 3));
    }
  }
}
