struct Params {
  chunks_at: u32,
  chunk_count: u32,
  heads: u32,
  query_heads: u32,
  key_heads: u32,
  state_heads: u32,
  head_dim: u32,
  head_vecs: u32,
  key_at: u32,
  key_token_stride: u32,
  key_head_stride: u32,
  key_batch_stride: u32,
  feature_root: f32,
  value_at: u32,
  value_token_stride: u32,
  value_head_stride: u32,
  value_batch_stride: u32,
  value_dim: u32,
  value_vecs: u32,
  state_rows: u32,
  state_vecs: u32,
  grid_heads: u32,
  row_tiles: u32,
  column_tiles: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> states: array<vec4f>;
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

struct FeatureGroup {
  element: u32,
  vec: u32,
  row: u32,
}

fn read_feature_group(at: u32) -> FeatureGroup {
  return FeatureGroup(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
  );
}

fn feature_group_of(index: u32) -> FeatureGroup {
  return read_feature_group(3 * index);
}

fn feature_weights(group: FeatureGroup) -> vec4f {
  if (group.element == params.head_dim) {
    return vec4f(1.0);
  }
  let j = 4u * vec4u(group.vec) + vec4u(0u, 1u, 2u, 3u);
  let i = vec4u(group.element);
  return select(select(vec4f(0.0), vec4f(1.0), j > i), vec4f(0.7071067690849304), j == i);
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

fn key_feature(at: u32, group: FeatureGroup) -> vec4f {
  let last = params.head_vecs - 1u;
  let i = load_key(at, min(group.element / 4u, last))[group.element % 4u];
  let j = load_key(at, min(group.vec, last));
  let factor = select(1.0, params.feature_root * i, group.element < params.head_dim);
  return factor * select(vec4f(1.0, 0.0, 0.0, 0.0), params.feature_root * j, group.vec <= last);
}

fn key_features(chunk: Chunk, head: u32, token: u32, feature: u32) -> mat4x4f {
  let group = feature_group_of(feature / 4u);
  let weights = feature_weights(group);
  let last = chunk.count - 1u;
  return mat4x4f(
    weights * key_feature(key_at(chunk, min(token + 0, last), head), group),
    weights * key_feature(key_at(chunk, min(token + 1, last), head), group),
    weights * key_feature(key_at(chunk, min(token + 2, last), head), group),
    weights * key_feature(key_at(chunk, min(token + 3, last), head), group),
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

fn value_columns(chunk: Chunk, head: u32, token: u32, vec: u32) -> mat4x4f {
  let values = value_block(chunk, head, token, min(vec, params.value_vecs - 1u));
  let sums = vec4f(4u * vec + vec4u(0u, 1u, 2u, 3u) == vec4u(params.value_dim));
  return mat4x4f(
    select(vec4f(0.0), values[0], vec < params.value_vecs) + select(vec4f(0.0), sums, token + 0 < chunk.count),
    select(vec4f(0.0), values[1], vec < params.value_vecs) + select(vec4f(0.0), sums, token + 1 < chunk.count),
    select(vec4f(0.0), values[2], vec < params.value_vecs) + select(vec4f(0.0), sums, token + 2 < chunk.count),
    select(vec4f(0.0), values[3], vec < params.value_vecs) + select(vec4f(0.0), sums, token + 3 < chunk.count),
  );
}

fn state_at(chunk_index: u32, state_head: u32, row: u32) -> u32 {
  return ((chunk_index * params.state_heads + state_head) * params.state_rows + row) * params.state_vecs;
}

@compute @workgroup_size(64)
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
  let columns = 4u * params.state_vecs;
  if (column_tile * 32 >= columns) {
    return;
  }
  let last_column = (columns - 1u) / 4u * 4u;
  let row = row_tile * 32 + 4u * (lane / 8);
  let first_column = column_tile * 32 + 4u * (lane % 8);
  if (row >= params.state_rows) {
    return;
  }
  let column_0 = min(first_column + 0 * 4u * 8, last_column);
  var sum_0_0 = vec4f(0.0);
  var sum_1_0 = vec4f(0.0);
  var sum_2_0 = vec4f(0.0);
  var sum_3_0 = vec4f(0.0);
  for (var depth = 0u; depth < chunk.count; depth += 4u) {
    let left = key_features(chunk, key_head_of(head), depth, row);
    {
      let column = column_0;
      let right = value_columns(chunk, head, depth, column / 4u);
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
  if (first_column + 0 * 4u * 8 <= last_column) {
    let column = column_0;
    let sum_0 = sum_0_0;
    let sum_1 = sum_1_0;
    let sum_2 = sum_2_0;
    let sum_3 = sum_3_0;
    if (row + 0 < params.state_rows) {
      states[state_at(chunk_index, head, row + 0) + column / 4u] = sum_0;
    }
    if (row + 1 < params.state_rows) {
      states[state_at(chunk_index, head, row + 1) + column / 4u] = sum_1;
    }
    if (row + 2 < params.state_rows) {
      states[state_at(chunk_index, head, row + 2) + column / 4u] = sum_2;
    }
    if (row + 3 < params.state_rows) {
      states[state_at(chunk_index, head, row + 3) + column / 4u] = sum_3;
    }
  }
}
