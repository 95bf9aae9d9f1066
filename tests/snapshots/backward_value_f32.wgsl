struct Params {
  head_vecs: u32,
  sequences_at: u32,
  query_at: u32,
  query_token_stride: u32,
  query_head_stride: u32,
  output_token_stride: u32,
  output_head_stride: u32,
  key_at: u32,
  key_token_stride: u32,
  key_head_stride: u32,
  value_vecs: u32,
  value_at: u32,
  value_token_stride: u32,
  value_head_stride: u32,
  lse_token_stride: u32,
  lse_head_stride: u32,
  row_sizes_at: u32,
  group: u32,
  tiles_at: u32,
  group_count: u32,
  grid_width: u32,
  runs_per_head: u32,
  scale: f32,
  value_gradient_token_stride: u32,
  value_gradient_head_stride: u32,
  gradients_at: u32,
  stretches_at: u32,
  first_sequence: u32,
}

@group(0) @binding(0) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(2) var<storage, read> output_gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> row_statistics: array<vec2f>;
@group(0) @binding(6) var<storage, read_write> value_gradient: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> score_gradients: array<vec4f>;
@group(0) @binding(8) var<uniform> params: Params;

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

fn load_output_gradient(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(output_gradient[at + vec]);
}

fn output_gradient_place(token: u32, head: u32) -> u32 {
  return token * params.output_token_stride + head * params.output_head_stride;
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

fn load_key(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(key[at + vec]);
}

fn key_place(cursor: Cursor, kv_head: u32) -> u32 {
  return place(cursor, params.key_token_stride) + kv_head * params.key_head_stride + params.key_at;
}

fn load_value(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(value[at + vec]);
}

fn value_place(cursor: Cursor, kv_head: u32) -> u32 {
  return place(cursor, params.value_token_stride) + kv_head * params.value_head_stride + params.value_at;
}

fn lse_place(token: u32, head: u32) -> u32 {
  return token * params.lse_token_stride + head * params.lse_head_stride;
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

const SENTINEL = -0x1.fffffep+127f;

// alpha: by how much a state shrinks when its maximum rises.
fn rescale(old_maximum: f32, maximum: f32) -> f32 {
  return exp(old_maximum - maximum);
}

// p: what a key counts, beside the maximum.
fn weight(score: f32, maximum: f32) -> f32 {
  return select(exp(score - maximum), 0.0, score == SENTINEL);
}

// l' and A': the rescaled state with a step's sums added.
fn carry_sum(sum: f32, alpha: f32, step: f32) -> f32 {
  return fma(sum, alpha, step);
}

fn carry_values(accumulator: vec4f, alpha: f32, step: vec4f) -> vec4f {
  return fma(accumulator, vec4f(alpha), step);
}

// O and L of a row: its state at the end.
fn finish(accumulator: vec4f, sum: f32) -> vec4f {
  return accumulator / select(sum, 1.0, sum == 0.0);
}

fn log_sum_exp(maximum: f32, sum: f32) -> f32 {
  return select(maximum + log(select(sum, 1.0, sum == 0.0)), SENTINEL, sum == 0.0);
}

fn non_finite(value: vec4f) -> vec4<bool> {
  let exponent = vec4u(0x7f800000u);
  return (bitcast<vec4u>(value) & exponent) == exponent;
}

fn mod_score(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
  return score;
}

fn mod_mask(batch: i32, head: i32, query: i32, key: i32) -> bool {
  // causal
  let mask0 = (key <= query);
  return mask0;
}

fn modify(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
  let result = score;
  return select(result, SENTINEL, result < SENTINEL);
}

fn sees(batch: i32, head: i32, query: i32, key: i32, key_count: i32) -> bool {
  return key < key_count && mod_mask(batch, head, query, key);
}

fn modify_derivative(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
  return 1.0;
}

fn store_value_gradient(base: u32, vec: u32, value: vec4f) {
  value_gradient[base + vec] = vec4<f32>(value);
}

fn value_gradient_place(token: u32, head: u32) -> u32 {
  return token * params.value_gradient_token_stride + head * params.value_gradient_head_stride;
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

fn live_output_gradient(base: u32, vec: u32, log_sum: f32) -> vec4f {
  return select(vec4f(0.0), load_output_gradient(base, vec), log_sum != SENTINEL);
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

  let key_0 = tile.first_row + 0u + lane;
  let cursor_0 = seek(sequence, min(key_0, max(sequence.key_count, 1u) - 1u));
  let key_at_0 = key_place(cursor_0, kv_head);
  let value_at_0 = value_place(cursor_0, kv_head);

  let key_1 = tile.first_row + 8u + lane;
  let cursor_1 = seek(sequence, min(key_1, max(sequence.key_count, 1u) - 1u));
  let key_at_1 = key_place(cursor_1, kv_head);
  let value_at_1 = value_place(cursor_1, kv_head);

  let stretch = stretch_of(tile.sequence);
  let scores_at_0 = score_gradients_of(stretch, kv_head, key_0);
  let exists_0 = key_0 < sequence.key_count;
  let scores_at_1 = score_gradients_of(stretch, kv_head, key_1);
  let exists_1 = key_1 < sequence.key_count;

  for (var vec = 0u; vec < row_sizes.value_vecs; vec++) {
    accumulator[own(0, vec + 0u, lane)] = vec4f(0.0);
    accumulator[own(1, vec + 0u, lane)] = vec4f(0.0);
  }

  let runs = read_run_list(tile.runs_at + 2 * kv_head * params.runs_per_head);
  for (var run_index = 0u; run_index < runs.count; run_index++) {
    let run = read_key_run(runs.runs_at + run_index * 3);
    let end_row = min(run.end_key, row_count);
    let masked = run.full == 0u;
    for (var first_row = run.first_key; first_row < end_row; first_row += 4) {
      if (run.full == 2) {
        let step_at = first_row / 4u * 16;
        score_gradients[scores_at_0 + step_at + 0] = vec4f(0.0);
        score_gradients[scores_at_1 + step_at + 0] = vec4f(0.0);
      } else {
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
        let gradient_at_0 = output_gradient_place(token_0, head_0);
        let statistics_0 = row_statistics[lse_place(token_0, head_0)];
        let query_at_1 = query_place(token_1, head_1);
        let gradient_at_1 = output_gradient_place(token_1, head_1);
        let statistics_1 = row_statistics[lse_place(token_1, head_1)];
        let query_at_2 = query_place(token_2, head_2);
        let gradient_at_2 = output_gradient_place(token_2, head_2);
        let statistics_2 = row_statistics[lse_place(token_2, head_2)];
        let query_at_3 = query_place(token_3, head_3);
        let gradient_at_3 = output_gradient_place(token_3, head_3);
        let statistics_3 = row_statistics[lse_place(token_3, head_3)];
        var s_0_0 = 0.0;
        var s_0_1 = 0.0;
        var s_0_2 = 0.0;
        var s_0_3 = 0.0;
        var s_1_0 = 0.0;
        var s_1_1 = 0.0;
        var s_1_2 = 0.0;
        var s_1_3 = 0.0;
        for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
          let k_0 = load_key(key_at_0, vec);
          let k_1 = load_key(key_at_1, vec);
          {
            let q = load_query(query_at_0, vec);
            s_0_0 = dot4(s_0_0, k_0, q);
            s_1_0 = dot4(s_1_0, k_1, q);
          }
          {
            let q = load_query(query_at_1, vec);
            s_0_1 = dot4(s_0_1, k_0, q);
            s_1_1 = dot4(s_1_1, k_1, q);
          }
          {
            let q = load_query(query_at_2, vec);
            s_0_2 = dot4(s_0_2, k_0, q);
            s_1_2 = dot4(s_1_2, k_1, q);
          }
          {
            let q = load_query(query_at_3, vec);
            s_0_3 = dot4(s_0_3, k_0, q);
            s_1_3 = dot4(s_1_3, k_1, q);
          }
        }

        // A loop at run time: unrolled, the mask would be inlined once a score, and
        // compiling would take seconds.
        var hidden_0 = 0u;
        var hidden_1 = 0u;
        if (masked) {
          for (var j = 0u; j < 4; j++) {
            let packed_step = first_row + j;
            let row_step = min(packed_step, row_count - 1u);
            let query_step = row_step / params.group;
            let head_step = kv_head * params.group + row_step - query_step * params.group;
            let batch_step = sequence.batch;
            let position_step = i32(query_step) + sequence.query_offset;
            let token_step = sequence.query_start + query_step;
            hidden_0 |= select(1u << j, 0u, packed_step < row_count && sees(batch_step, i32(head_step), position_step, i32(key_0), i32(sequence.key_count)));
            hidden_1 |= select(1u << j, 0u, packed_step < row_count && sees(batch_step, i32(head_step), position_step, i32(key_1), i32(sequence.key_count)));
          }
        }
        s_0_0 = select(s_0_0 * params.scale, SENTINEL, extractBits(hidden_0, 0, 1u) != 0u);
        s_0_1 = select(s_0_1 * params.scale, SENTINEL, extractBits(hidden_0, 1, 1u) != 0u);
        s_0_2 = select(s_0_2 * params.scale, SENTINEL, extractBits(hidden_0, 2, 1u) != 0u);
        s_0_3 = select(s_0_3 * params.scale, SENTINEL, extractBits(hidden_0, 3, 1u) != 0u);
        s_1_0 = select(s_1_0 * params.scale, SENTINEL, extractBits(hidden_1, 0, 1u) != 0u);
        s_1_1 = select(s_1_1 * params.scale, SENTINEL, extractBits(hidden_1, 1, 1u) != 0u);
        s_1_2 = select(s_1_2 * params.scale, SENTINEL, extractBits(hidden_1, 2, 1u) != 0u);
        s_1_3 = select(s_1_3 * params.scale, SENTINEL, extractBits(hidden_1, 3, 1u) != 0u);
        s_0_0 = weight(s_0_0, statistics_0.x);
        s_0_1 = weight(s_0_1, statistics_1.x);
        s_0_2 = weight(s_0_2, statistics_2.x);
        s_0_3 = weight(s_0_3, statistics_3.x);
        s_1_0 = weight(s_1_0, statistics_0.x);
        s_1_1 = weight(s_1_1, statistics_1.x);
        s_1_2 = weight(s_1_2, statistics_2.x);
        s_1_3 = weight(s_1_3, statistics_3.x);
        var dp_0_0 = 0.0;
        var dp_0_1 = 0.0;
        var dp_0_2 = 0.0;
        var dp_0_3 = 0.0;
        var dp_1_0 = 0.0;
        var dp_1_1 = 0.0;
        var dp_1_2 = 0.0;
        var dp_1_3 = 0.0;
        for (var vec = 0u; vec < row_sizes.value_vecs; vec++) {
          let v_0 = load_value(value_at_0, vec);
          let v_1 = load_value(value_at_1, vec);
          {
            let g = load_output_gradient(gradient_at_0, vec);
            dp_0_0 = dot4(dp_0_0, v_0, g);
            dp_1_0 = dot4(dp_1_0, v_1, g);
          }
          {
            let g = load_output_gradient(gradient_at_1, vec);
            dp_0_1 = dot4(dp_0_1, v_0, g);
            dp_1_1 = dot4(dp_1_1, v_1, g);
          }
          {
            let g = load_output_gradient(gradient_at_2, vec);
            dp_0_2 = dot4(dp_0_2, v_0, g);
            dp_1_2 = dot4(dp_1_2, v_1, g);
          }
          {
            let g = load_output_gradient(gradient_at_3, vec);
            dp_0_3 = dot4(dp_0_3, v_0, g);
            dp_1_3 = dot4(dp_1_3, v_1, g);
          }
        }
        let ds_0_0 = select(s_0_0 * (dp_0_0 - statistics_0.y), 0.0, s_0_0 == 0.0);
        let ds_0_1 = select(s_0_1 * (dp_0_1 - statistics_1.y), 0.0, s_0_1 == 0.0);
        let ds_0_2 = select(s_0_2 * (dp_0_2 - statistics_2.y), 0.0, s_0_2 == 0.0);
        let ds_0_3 = select(s_0_3 * (dp_0_3 - statistics_3.y), 0.0, s_0_3 == 0.0);
        let ds_1_0 = select(s_1_0 * (dp_1_0 - statistics_0.y), 0.0, s_1_0 == 0.0);
        let ds_1_1 = select(s_1_1 * (dp_1_1 - statistics_1.y), 0.0, s_1_1 == 0.0);
        let ds_1_2 = select(s_1_2 * (dp_1_2 - statistics_2.y), 0.0, s_1_2 == 0.0);
        let ds_1_3 = select(s_1_3 * (dp_1_3 - statistics_3.y), 0.0, s_1_3 == 0.0);
        for (var vec = 0u; vec < row_sizes.value_vecs; vec++) {
          var x_0 = vec4f(0.0);
          var x_1 = vec4f(0.0);
          {
            let g = live_output_gradient(gradient_at_0, vec, statistics_0.x);
            x_0 = fma(vec4f(s_0_0), g, x_0);
            x_1 = fma(vec4f(s_1_0), g, x_1);
          }
          {
            let g = live_output_gradient(gradient_at_1, vec, statistics_1.x);
            x_0 = fma(vec4f(s_0_1), g, x_0);
            x_1 = fma(vec4f(s_1_1), g, x_1);
          }
          {
            let g = live_output_gradient(gradient_at_2, vec, statistics_2.x);
            x_0 = fma(vec4f(s_0_2), g, x_0);
            x_1 = fma(vec4f(s_1_2), g, x_1);
          }
          {
            let g = live_output_gradient(gradient_at_3, vec, statistics_3.x);
            x_0 = fma(vec4f(s_0_3), g, x_0);
            x_1 = fma(vec4f(s_1_3), g, x_1);
          }
          accumulator[own(0, vec + 0u, lane)] = accumulator[own(0, vec + 0u, lane)] + x_0;
          accumulator[own(1, vec + 0u, lane)] = accumulator[own(1, vec + 0u, lane)] + x_1;
        }
        let step_at = first_row / 4u * 16;
        score_gradients[scores_at_0 + step_at + 0] = select(vec4f(0.0), vec4f(ds_0_0, ds_0_1, ds_0_2, ds_0_3), exists_0);
        score_gradients[scores_at_1 + step_at + 0] = select(vec4f(0.0), vec4f(ds_1_0, ds_1_1, ds_1_2, ds_1_3), exists_1);
      }
    }
  }

  let gradients = key_gradients_of(tile.sequence);

  if (key_0 < gradients.count) {
    let written_0 = key_0 < sequence.key_count;
    let token_0 = gradients.start + key_0;
    let value_out_0 = value_gradient_place(token_0, kv_head);
    for (var vec = 0u; vec < row_sizes.value_vecs; vec++) {
      let gradient = select(vec4f(0.0), accumulator[own(0, vec + 0u, lane)], written_0);
      store_value_gradient(value_out_0, vec, gradient);
    }
  }

  if (key_1 < gradients.count) {
    let written_1 = key_1 < sequence.key_count;
    let token_1 = gradients.start + key_1;
    let value_out_1 = value_gradient_place(token_1, kv_head);
    for (var vec = 0u; vec < row_sizes.value_vecs; vec++) {
      let gradient = select(vec4f(0.0), accumulator[own(1, vec + 0u, lane)], written_1);
      store_value_gradient(value_out_1, vec, gradient);
    }
  }
}
