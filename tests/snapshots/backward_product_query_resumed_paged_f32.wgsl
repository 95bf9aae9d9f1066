struct Params {
  head_vecs: u32,
  sequences_at: u32,
  query_at: u32,
  query_token_stride: u32,
  query_head_stride: u32,
  block_size: u32,
  block_shift: u32,
  key_at: u32,
  key_token_stride: u32,
  key_head_stride: u32,
  row_sizes_at: u32,
  group: u32,
  tiles_at: u32,
  group_count: u32,
  grid_width: u32,
  runs_per_head: u32,
  stretches_at: u32,
  first_sequence: u32,
  scale: f32,
  lse_token_stride: u32,
  lse_head_stride: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(2) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> score_gradients: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> sums: array<vec4f>;
@group(0) @binding(5) var<uniform> params: Params;

fn load_query(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(query[at + vec]);
}

fn dot4(sum: f32, x: vec4f, y: vec4f) -> f32 {
  return fma(x.x, y.x, fma(x.y, y.y, fma(x.z, y.z, fma(x.w, y.w, sum))));
}

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

fn query_place(token: u32, head: u32) -> u32 {
  return params.query_at + token * params.query_token_stride + head * params.query_head_stride;
}

struct Cursor {
  entry: u32,
  offset: u32,
}

fn seek(sequence: Sequence, key: u32) -> Cursor {
  let entry = key >> params.block_shift;
  return Cursor(sequence.key_start + entry, key - entry * params.block_size);
}

fn advance(cursor: Cursor, more: bool) -> Cursor {
  let offset = cursor.offset + select(0u, 1u, more);
  let wrap = offset == params.block_size;
  return Cursor(cursor.entry + select(0u, 1u, wrap), select(offset, 0u, wrap));
}

fn place(cursor: Cursor, token_stride: u32) -> u32 {
  let segment = 0u;
  let block = schedule[cursor.entry];
  let row = block * params.block_size + cursor.offset;
  return (segment << 28u) | (row * token_stride);
}

fn load_key(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(key[at + vec]);
}

fn key_place(cursor: Cursor, kv_head: u32) -> u32 {
  return place(cursor, params.key_token_stride) + kv_head * params.key_head_stride + params.key_at;
}

struct RowSizes {
  head_vecs: u32,
  value_vecs: u32,
}

fn read_row_sizes(at: u32) -> RowSizes {
  return RowSizes(
    schedule[at + 0],
    schedule[at + 1],
  );
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

struct RunList {
  runs_at: u32,
  count: u32,
}

fn read_run_list(at: u32) -> RunList {
  return RunList(
    schedule[at + 0],
    schedule[at + 1],
  );
}

struct KeyRun {
  first_key: u32,
  end_key: u32,
  full: u32,
}

fn read_key_run(at: u32) -> KeyRun {
  return KeyRun(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
  );
}

fn non_finite(value: vec4f) -> vec4<bool> {
  let exponent = vec4u(0x7f800000u);
  return (bitcast<vec4u>(value) & exponent) == exponent;
}

struct Stretch {
  start: u32,
  first_key: u32,
  tile_count: u32,
  row_vecs: u32,
}

fn read_stretch(at: u32) -> Stretch {
  return Stretch(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
    schedule[at + 3],
  );
}

fn stretch_of(sequence: u32) -> Stretch {
  return read_stretch(params.stretches_at + 4 * (sequence - params.first_sequence));
}

fn score_gradients_of(stretch: Stretch, kv_head: u32, key: u32) -> u32 {
  let tile = (key - stretch.first_key) / 16;
  let own = (key - stretch.first_key) % 16;
  return stretch.start + (kv_head * stretch.tile_count + tile) * stretch.row_vecs * 16 + own;
}

var<workgroup> accumulator: array<vec4f, 512>;

// Where a lane's row r has column vec: lanes side by side.
fn own(r: u32, vec: u32, lane: u32) -> u32 {
  return (vec * 4 + r) * 8 + lane;
}

fn finite(row: vec4f) -> vec4f {
  return select(row, vec4f(0.0), non_finite(row));
}

fn lse_place(token: u32, head: u32) -> u32 {
  return token * params.lse_token_stride + head * params.lse_head_stride;
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
  let row_sizes = read_row_sizes(params.row_sizes_at);

  let packed_0 = tile.first_row + 0u + 4u * lane + 0u;
  let row_0 = min(packed_0, row_count - 1u);
  let query_0 = row_0 / params.group;
  let head_0 = kv_head * params.group + row_0 - query_0 * params.group;
  let batch_0 = sequence.batch;
  let position_0 = i32(query_0) + sequence.query_offset;
  let token_0 = sequence.query_start + query_0;
  let packed_1 = tile.first_row + 0u + 4u * lane + 1u;
  let row_1 = min(packed_1, row_count - 1u);
  let query_1 = row_1 / params.group;
  let head_1 = kv_head * params.group + row_1 - query_1 * params.group;
  let batch_1 = sequence.batch;
  let position_1 = i32(query_1) + sequence.query_offset;
  let token_1 = sequence.query_start + query_1;
  let packed_2 = tile.first_row + 0u + 4u * lane + 2u;
  let row_2 = min(packed_2, row_count - 1u);
  let query_2 = row_2 / params.group;
  let head_2 = kv_head * params.group + row_2 - query_2 * params.group;
  let batch_2 = sequence.batch;
  let position_2 = i32(query_2) + sequence.query_offset;
  let token_2 = sequence.query_start + query_2;
  let packed_3 = tile.first_row + 0u + 4u * lane + 3u;
  let row_3 = min(packed_3, row_count - 1u);
  let query_3 = row_3 / params.group;
  let head_3 = kv_head * params.group + row_3 - query_3 * params.group;
  let batch_3 = sequence.batch;
  let position_3 = i32(query_3) + sequence.query_offset;
  let token_3 = sequence.query_start + query_3;

  let sums_0 = lse_place(token_0, head_0) * row_sizes.head_vecs;

  let sums_1 = lse_place(token_1, head_1) * row_sizes.head_vecs;

  let sums_2 = lse_place(token_2, head_2) * row_sizes.head_vecs;

  let sums_3 = lse_place(token_3, head_3) * row_sizes.head_vecs;

  for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
    accumulator[own(0, vec, lane)] = sums[sums_0 + vec];
    accumulator[own(1, vec, lane)] = sums[sums_1 + vec];
    accumulator[own(2, vec, lane)] = sums[sums_2 + vec];
    accumulator[own(3, vec, lane)] = sums[sums_3 + vec];
  }

  let stretch = stretch_of(tile.sequence);

  let runs = read_run_list(tile.runs_at + 2 * kv_head * params.runs_per_head);
  for (var run_index = 0u; run_index < runs.count; run_index++) {
    let run = read_key_run(runs.runs_at + run_index * 3);
    let end_key = min(run.end_key, sequence.key_count);
    let masked = run.full == 0u;
    var cursor = seek(sequence, run.first_key);
    for (var first_key = run.first_key; first_key < end_key; first_key += 2) {
      let key_0 = key_place(cursor, kv_head);
      cursor = advance(cursor, first_key + 0 + 1u < sequence.key_count);
      let key_1 = key_place(cursor, kv_head);
      cursor = advance(cursor, first_key + 1 + 1u < sequence.key_count);
      let step_at = score_gradients_of(stretch, kv_head, first_key) + (tile.first_row / 4u + lane) * 16;
      let rows_0_0 = score_gradients[step_at + 0 * 8 * 16 + 0];
      let rows_0_1 = score_gradients[step_at + 0 * 8 * 16 + 1];
      let ds_0_0 = rows_0_0[0];
      let ds_0_1 = rows_0_1[0];
      let ds_1_0 = rows_0_0[1];
      let ds_1_1 = rows_0_1[1];
      let ds_2_0 = rows_0_0[2];
      let ds_2_1 = rows_0_1[2];
      let ds_3_0 = rows_0_0[3];
      let ds_3_1 = rows_0_1[3];
      for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
        var x_0 = vec4f(0.0);
        var x_1 = vec4f(0.0);
        var x_2 = vec4f(0.0);
        var x_3 = vec4f(0.0);
        {
          let k = finite(load_key(key_0, vec));
          x_0 = fma(vec4f(ds_0_0), k, x_0);
          x_1 = fma(vec4f(ds_1_0), k, x_1);
          x_2 = fma(vec4f(ds_2_0), k, x_2);
          x_3 = fma(vec4f(ds_3_0), k, x_3);
        }
        {
          let k = finite(load_key(key_1, vec));
          x_0 = fma(vec4f(ds_0_1), k, x_0);
          x_1 = fma(vec4f(ds_1_1), k, x_1);
          x_2 = fma(vec4f(ds_2_1), k, x_2);
          x_3 = fma(vec4f(ds_3_1), k, x_3);
        }
        accumulator[own(0, vec, lane)] = accumulator[own(0, vec, lane)] + x_0;
        accumulator[own(1, vec, lane)] = accumulator[own(1, vec, lane)] + x_1;
        accumulator[own(2, vec, lane)] = accumulator[own(2, vec, lane)] + x_2;
        accumulator[own(3, vec, lane)] = accumulator[own(3, vec, lane)] + x_3;
      }
    }
  }

  if (packed_0 < row_count) {
    for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
      sums[sums_0 + vec] = accumulator[own(0, vec, lane)];
    }
  }

  if (packed_1 < row_count) {
    for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
      sums[sums_1 + vec] = accumulator[own(1, vec, lane)];
    }
  }

  if (packed_2 < row_count) {
    for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
      sums[sums_2 + vec] = accumulator[own(2, vec, lane)];
    }
  }

  if (packed_3 < row_count) {
    for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
      sums[sums_3 + vec] = accumulator[own(3, vec, lane)];
    }
  }
}
