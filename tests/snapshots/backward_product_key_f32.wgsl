struct Params {
  head_vecs: u32,
  sequences_at: u32,
  query_at: u32,
  query_token_stride: u32,
  query_head_stride: u32,
  row_sizes_at: u32,
  group: u32,
  tiles_at: u32,
  group_count: u32,
  grid_width: u32,
  runs_per_head: u32,
  stretches_at: u32,
  first_sequence: u32,
  scale: f32,
  key_gradient_token_stride: u32,
  key_gradient_head_stride: u32,
  gradients_at: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(2) var<storage, read> score_gradients: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> key_gradient: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

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

var<workgroup> accumulator: array<vec4f, 256>;

// Where a lane's row r has column vec: lanes side by side.
fn own(r: u32, vec: u32, lane: u32) -> u32 {
  return (vec * 2 + r) * 8 + lane;
}

fn finite(row: vec4f) -> vec4f {
  return select(row, vec4f(0.0), non_finite(row));
}

fn store_key_gradient(base: u32, vec: u32, value: vec4f) {
  key_gradient[base + vec] = vec4<f32>(value);
}

fn key_gradient_place(token: u32, head: u32) -> u32 {
  return token * params.key_gradient_token_stride + head * params.key_gradient_head_stride;
}

struct KeyGradients {
  start: u32,
  count: u32,
}

fn read_key_gradients(at: u32) -> KeyGradients {
  return KeyGradients(
    schedule[at + 0],
    schedule[at + 1],
  );
}

fn key_gradients_of(sequence: u32) -> KeyGradients {
  return read_key_gradients(params.gradients_at + 2 * sequence);
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

  let stretch = stretch_of(tile.sequence);
  let key_0 = tile.first_row + 0 * 8 + lane;
  let scores_at_0 = score_gradients_of(stretch, kv_head, key_0);
  let key_1 = tile.first_row + 1 * 8 + lane;
  let scores_at_1 = score_gradients_of(stretch, kv_head, key_1);
  for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
    accumulator[own(0, vec, lane)] = vec4f(0.0);
    accumulator[own(1, vec, lane)] = vec4f(0.0);
  }

  let runs = read_run_list(tile.runs_at + 2 * kv_head * params.runs_per_head);
  for (var run_index = 0u; run_index < runs.count; run_index++) {
    let run = read_key_run(runs.runs_at + run_index * 3);
    let end_row = min(run.end_key, row_count);
    let masked = run.full == 0u;
    for (var first_row = run.first_key; first_row < end_row; first_row += 4) {
      if (run.full != 2) {
        let head_first = kv_head * params.group;
        let token_0 = sequence.query_start + first_row / params.group;
        let member_0 = first_row % params.group;
        let head_0 = head_first + member_0;
        let behind_1 = member_0 + select(0u, 1u, first_row + 1 < row_count);
        let next_1 = behind_1 == params.group;
        let member_1 = select(behind_1, 0u, next_1);
        let token_1 = token_0 + select(0u, 1u, next_1);
        let head_1 = head_first + member_1;
        let behind_2 = member_1 + select(0u, 1u, first_row + 2 < row_count);
        let next_2 = behind_2 == params.group;
        let member_2 = select(behind_2, 0u, next_2);
        let token_2 = token_1 + select(0u, 1u, next_2);
        let head_2 = head_first + member_2;
        let behind_3 = member_2 + select(0u, 1u, first_row + 3 < row_count);
        let next_3 = behind_3 == params.group;
        let member_3 = select(behind_3, 0u, next_3);
        let token_3 = token_2 + select(0u, 1u, next_3);
        let head_3 = head_first + member_3;
        let query_at_0 = query_place(token_0, head_0);
        let query_at_1 = query_place(token_1, head_1);
        let query_at_2 = query_place(token_2, head_2);
        let query_at_3 = query_place(token_3, head_3);
        let step_at = first_row / 4u * 16;
        let rows_0_0 = score_gradients[scores_at_0 + step_at + 0 * 16];
        let rows_1_0 = score_gradients[scores_at_1 + step_at + 0 * 16];
        let ds_0_0 = rows_0_0[0];
        let ds_1_0 = rows_1_0[0];
        let ds_0_1 = rows_0_0[1];
        let ds_1_1 = rows_1_0[1];
        let ds_0_2 = rows_0_0[2];
        let ds_1_2 = rows_1_0[2];
        let ds_0_3 = rows_0_0[3];
        let ds_1_3 = rows_1_0[3];
        for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
          var x_0 = vec4f(0.0);
          var x_1 = vec4f(0.0);
          {
            let q = finite(load_query(query_at_0, vec));
            x_0 = fma(vec4f(ds_0_0), q, x_0);
            x_1 = fma(vec4f(ds_1_0), q, x_1);
          }
          {
            let q = finite(load_query(query_at_1, vec));
            x_0 = fma(vec4f(ds_0_1), q, x_0);
            x_1 = fma(vec4f(ds_1_1), q, x_1);
          }
          {
            let q = finite(load_query(query_at_2, vec));
            x_0 = fma(vec4f(ds_0_2), q, x_0);
            x_1 = fma(vec4f(ds_1_2), q, x_1);
          }
          {
            let q = finite(load_query(query_at_3, vec));
            x_0 = fma(vec4f(ds_0_3), q, x_0);
            x_1 = fma(vec4f(ds_1_3), q, x_1);
          }
          accumulator[own(0, vec, lane)] = accumulator[own(0, vec, lane)] + x_0;
          accumulator[own(1, vec, lane)] = accumulator[own(1, vec, lane)] + x_1;
        }
      }
    }
  }

  let gradients = key_gradients_of(tile.sequence);

  if (key_0 < gradients.count) {
    let key_out_0 = key_gradient_place(gradients.start + key_0, kv_head);
    for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
      store_key_gradient(key_out_0, vec, accumulator[own(0, vec, lane)] * params.scale);
    }
  }

  if (key_1 < gradients.count) {
    let key_out_1 = key_gradient_place(gradients.start + key_1, kv_head);
    for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
      store_key_gradient(key_out_1, vec, accumulator[own(1, vec, lane)] * params.scale);
    }
  }
}
