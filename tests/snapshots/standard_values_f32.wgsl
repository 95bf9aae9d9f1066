struct Params {
  sequences_at: u32,
  value_vecs: u32,
  value_at: u32,
  value_token_stride: u32,
  value_head_stride: u32,
  output_token_stride: u32,
  output_head_stride: u32,
  group: u32,
  tiles_at: u32,
  group_count: u32,
  grid_width: u32,
  kv_heads: u32,
  scratch_keys: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> scratch: array<f32>;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(2) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

struct Sequence {
  query_start: u32,
  query_count: u32,
  key_start: u32,
  key_count: u32,
  query_offset: i32,
  batch: i32,
  queries_at: u32,
}

fn read_sequence(at: u32) -> Sequence {
  return Sequence(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
    schedule[at + 3],
    i32(schedule[at + 4]),
    i32(schedule[at + 5]),
    schedule[at + 6],
  );
}

struct Cursor {
  row: u32,
}

fn seek(sequence: Sequence, key: u32) -> Cursor {
  return Cursor(sequence.key_start + key);
}

fn advance(cursor: Cursor, more: bool) -> Cursor {
  return Cursor(cursor.row + select(0u, 1u, more));
}

fn place(cursor: Cursor, token_stride: u32) -> u32 {
  return cursor.row * token_stride;
}

fn load_value(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(value[at + vec]);
}

fn value_place(cursor: Cursor, kv_head: u32) -> u32 {
  return place(cursor, params.value_token_stride) + kv_head * params.value_head_stride + params.value_at;
}

fn store_output(base: u32, vec: u32, value: vec4f) {
  output[base + vec] = vec4<f32>(value);
}

fn output_place(token: u32, head: u32) -> u32 {
  return token * params.output_token_stride + head * params.output_head_stride;
}

struct WorkTile {
  sequence: u32,
  first_row: u32,
  runs_at: u32,
  state_row: u32,
  state_stride: u32,
  kv_head: u32,
}

fn read_tile(at: u32) -> WorkTile {
  return WorkTile(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
    schedule[at + 3],
    schedule[at + 4],
    schedule[at + 5],
  );
}

// Where a lane's row r has its score of a key.
fn place_of(scratch_at: u32, key: u32, r: u32, lane: u32) -> u32 {
  return (scratch_at + key) * 16 + r * 8 + lane;
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group_index = group_id.z * params.grid_width + group_id.x;
  if (group_index >= params.group_count) {
    return;
  }
  let tile_index = group_index;
  let tile = read_tile(params.tiles_at + tile_index * 8);
  let kv_head = tile.kv_head + group_id.y;
  let sequence = read_sequence(params.sequences_at + tile.sequence * 8);
  let row_count = sequence.query_count * params.group;
  let scratch_at = (tile_index * params.kv_heads + kv_head) * params.scratch_keys;
  let packed_0 = tile.first_row + 0u + lane;
  let row_0 = min(packed_0, row_count - 1u);
  let query_0 = row_0 / params.group;
  let head_0 = kv_head * params.group + row_0 - query_0 * params.group;
  let batch_0 = sequence.batch;
  let position_0 = i32(query_0) + sequence.query_offset;
  let token_0 = sequence.query_start + query_0;
  let packed_1 = tile.first_row + 8u + lane;
  let row_1 = min(packed_1, row_count - 1u);
  let query_1 = row_1 / params.group;
  let head_1 = kv_head * params.group + row_1 - query_1 * params.group;
  let batch_1 = sequence.batch;
  let position_1 = i32(query_1) + sequence.query_offset;
  let token_1 = sequence.query_start + query_1;
  for (var vec = 0u; vec < params.value_vecs; vec += 4) {
    let column_0 = min(vec + 0, params.value_vecs - 1u);
    var x_0_0 = vec4f(0.0);
    var x_1_0 = vec4f(0.0);
    let column_1 = min(vec + 1, params.value_vecs - 1u);
    var x_0_1 = vec4f(0.0);
    var x_1_1 = vec4f(0.0);
    let column_2 = min(vec + 2, params.value_vecs - 1u);
    var x_0_2 = vec4f(0.0);
    var x_1_2 = vec4f(0.0);
    let column_3 = min(vec + 3, params.value_vecs - 1u);
    var x_0_3 = vec4f(0.0);
    var x_1_3 = vec4f(0.0);
    if (sequence.key_count > 0u) {
      var cursor = seek(sequence, 0u);
      for (var first_key = 0u; first_key < sequence.key_count; first_key += 2) {
        var step_0_0 = vec4f(0.0);
        var step_1_0 = vec4f(0.0);
        var step_0_1 = vec4f(0.0);
        var step_1_1 = vec4f(0.0);
        var step_0_2 = vec4f(0.0);
        var step_1_2 = vec4f(0.0);
        var step_0_3 = vec4f(0.0);
        var step_1_3 = vec4f(0.0);
        for (var key = first_key; key < min(first_key + 2, sequence.key_count); key++) {
          let value_at = value_place(cursor, kv_head);
          cursor = advance(cursor, key + 1u < sequence.key_count);
          let p_0 = scratch[place_of(scratch_at, key, 0, lane)];
          let p_1 = scratch[place_of(scratch_at, key, 1, lane)];
          {
            let v = load_value(value_at, column_0);
            step_0_0 = select(fma(vec4f(p_0), v, step_0_0), step_0_0, p_0 == 0.0);
            step_1_0 = select(fma(vec4f(p_1), v, step_1_0), step_1_0, p_1 == 0.0);
          }
          {
            let v = load_value(value_at, column_1);
            step_0_1 = select(fma(vec4f(p_0), v, step_0_1), step_0_1, p_0 == 0.0);
            step_1_1 = select(fma(vec4f(p_1), v, step_1_1), step_1_1, p_1 == 0.0);
          }
          {
            let v = load_value(value_at, column_2);
            step_0_2 = select(fma(vec4f(p_0), v, step_0_2), step_0_2, p_0 == 0.0);
            step_1_2 = select(fma(vec4f(p_1), v, step_1_2), step_1_2, p_1 == 0.0);
          }
          {
            let v = load_value(value_at, column_3);
            step_0_3 = select(fma(vec4f(p_0), v, step_0_3), step_0_3, p_0 == 0.0);
            step_1_3 = select(fma(vec4f(p_1), v, step_1_3), step_1_3, p_1 == 0.0);
          }
        }
        x_0_0 += step_0_0;
        x_1_0 += step_1_0;
        x_0_1 += step_0_1;
        x_1_1 += step_1_1;
        x_0_2 += step_0_2;
        x_1_2 += step_1_2;
        x_0_3 += step_0_3;
        x_1_3 += step_1_3;
      }
    }
    if (packed_0 < row_count) {
      if (vec + 0 < params.value_vecs) {
        store_output(output_place(token_0, head_0), vec + 0, x_0_0);
      }
      if (vec + 1 < params.value_vecs) {
        store_output(output_place(token_0, head_0), vec + 1, x_0_1);
      }
      if (vec + 2 < params.value_vecs) {
        store_output(output_place(token_0, head_0), vec + 2, x_0_2);
      }
      if (vec + 3 < params.value_vecs) {
        store_output(output_place(token_0, head_0), vec + 3, x_0_3);
      }
    }
    if (packed_1 < row_count) {
      if (vec + 0 < params.value_vecs) {
        store_output(output_place(token_1, head_1), vec + 0, x_1_0);
      }
      if (vec + 1 < params.value_vecs) {
        store_output(output_place(token_1, head_1), vec + 1, x_1_1);
      }
      if (vec + 2 < params.value_vecs) {
        store_output(output_place(token_1, head_1), vec + 2, x_1_2);
      }
      if (vec + 3 < params.value_vecs) {
        store_output(output_place(token_1, head_1), vec + 3, x_1_3);
      }
    }
  }
}
