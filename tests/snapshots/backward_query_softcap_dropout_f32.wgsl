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
  dropout_seed_low: u32,
  dropout_seed_high: u32,
  dropout_threshold: u32,
  dropout_factor: f32,
  query_gradient_token_stride: u32,
  query_gradient_head_stride: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(2) var<storage, read> output_gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> row_statistics: array<vec2f>;
@group(0) @binding(6) var<storage, read_write> query_gradient: array<vec4<f32>>;
@group(0) @binding(7) var<uniform> params: Params;

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

fn mod_tanh(x: f32) -> f32 {
  let a = min(abs(x), 15.0);
  let s = a * a;
  let series = a + a * s * (-0.33333334 + s * (0.13333334
      + s * (-0.053968254 + s * 0.021869488)));
  let quotient = 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
  let magnitude = select(quotient, series, a < 0.25);
  return select(magnitude, -magnitude, x < 0.0);
}

fn mod_score(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
  // softcap
  let v0 = bitcast<f32>(schedule[0u]);
  let score0 = (mod_tanh((score / v0)) * v0);
  return score0;
}

fn mod_mask(batch: i32, head: i32, query: i32, key: i32) -> bool {
  // causal
  let mask0 = (key <= query);
  return mask0;
}

fn mod_score_derivative(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
  let v0 = mod_tanh((score / bitcast<f32>(schedule[2u])));
  return (bitcast<f32>(schedule[1u]) - (v0 * v0));
}

fn modify(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
  let result = mod_score(score, batch, head, query, key);
  return select(result, SENTINEL, result < SENTINEL);
}

fn sees(batch: i32, head: i32, query: i32, key: i32, key_count: i32) -> bool {
  return key < key_count && mod_mask(batch, head, query, key);
}

fn modify_derivative(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
  return mod_score_derivative(score, batch, head, query, key);
}

// Each bit of the result depends on all of x (MurmurHash3's finalizer).
fn mix_bits(x: u32) -> u32 {
  var h = x ^ (x >> 16u);
  h *= 0x85ebca6bu;
  h ^= h >> 13u;
  h *= 0xc2b2ae35u;
  return h ^ (h >> 16u);
}

fn take_in(state: vec2u, word: i32) -> vec2u {
  let a = mix_bits((state.x ^ bitcast<u32>(word)) + 0x9e3779b9u);
  return vec2u(a, mix_bits(state.y ^ a));
}

fn dropout_row(batch: i32, head: i32, query: i32) -> vec2u {
  let seed = vec2u(params.dropout_seed_low, params.dropout_seed_high);
  return take_in(take_in(take_in(seed, batch), head), query);
}

fn drops(row: vec2u, key: i32) -> bool {
  let bits = mix_bits(mix_bits(bitcast<u32>(key) ^ row.x) ^ row.y);
  return bits < params.dropout_threshold;
}

fn kept(dropped: bool) -> f32 {
  return select(params.dropout_factor, 0.0, dropped);
}

fn keep(batch: i32, head: i32, query: i32, key: i32) -> f32 {
  return kept(drops(dropout_row(batch, head, query), key));
}

fn store_query_gradient(base: u32, vec: u32, value: vec4f) {
  query_gradient[base + vec] = vec4<f32>(value);
}

fn query_gradient_place(token: u32, head: u32) -> u32 {
  return token * params.query_gradient_token_stride + head * params.query_gradient_head_stride;
}

var<workgroup> accumulator: array<vec4f, 256>;

// Where a lane's row r has column vec: lanes side by side.
fn own(r: u32, vec: u32, lane: u32) -> u32 {
  return (vec * 2 + r) * 8 + lane;
}

fn finite_key(base: u32, vec: u32) -> vec4f {
  let k = load_key(base, vec);
  return select(k, vec4f(0.0), non_finite(k));
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

  let query_at_0 = query_place(token_0, head_0);
  let query_at_1 = query_place(token_1, head_1);

  let dropout_0 = dropout_row(batch_0, i32(head_0), position_0);
  let dropout_1 = dropout_row(batch_1, i32(head_1), position_1);

  let gradient_at_0 = output_gradient_place(token_0, head_0);
  let statistics_0 = row_statistics[lse_place(token_0, head_0)];

  let gradient_at_1 = output_gradient_place(token_1, head_1);
  let statistics_1 = row_statistics[lse_place(token_1, head_1)];

  for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
    accumulator[own(0, vec, lane)] = vec4f(0.0);
    accumulator[own(1, vec, lane)] = vec4f(0.0);
  }

  let runs = read_run_list(tile.runs_at + 2 * kv_head * params.runs_per_head);
  for (var run_index = 0u; run_index < runs.count; run_index++) {
    let run = read_key_run(runs.runs_at + run_index * 3);
    let end_key = min(run.end_key, sequence.key_count);
    let masked = run.full == 0u;
    var cursor = seek(sequence, run.first_key);
    for (var first_key = run.first_key; first_key < end_key; first_key += 2) {
      let key_0 = key_place(cursor, kv_head);
      let value_0 = value_place(cursor, kv_head);
      cursor = advance(cursor, first_key + 0 + 1u < sequence.key_count);
      let key_1 = key_place(cursor, kv_head);
      let value_1 = value_place(cursor, kv_head);
      cursor = advance(cursor, first_key + 1 + 1u < sequence.key_count);
      var s_0_0 = 0.0;
      var s_0_1 = 0.0;
      var s_1_0 = 0.0;
      var s_1_1 = 0.0;
      for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
        let q_0 = load_query(query_at_0, vec);
        let q_1 = load_query(query_at_1, vec);
        {
          let k = load_key(key_0, vec);
          s_0_0 = dot4(s_0_0, q_0, k);
          s_1_0 = dot4(s_1_0, q_1, k);
        }
        {
          let k = load_key(key_1, vec);
          s_0_1 = dot4(s_0_1, q_0, k);
          s_1_1 = dot4(s_1_1, q_1, k);
        }
      }

      // A loop at run time: unrolled, the mask would be inlined once a score, and
      // compiling would take seconds.
      var hidden_0 = 0u;
      var hidden_1 = 0u;
      if (masked) {
        for (var j = 0u; j < 2; j++) {
          let key = i32(first_key + j);
          hidden_0 |= select(1u << j, 0u, sees(batch_0, i32(head_0), position_0, key, i32(sequence.key_count)));
          hidden_1 |= select(1u << j, 0u, sees(batch_1, i32(head_1), position_1, key, i32(sequence.key_count)));
        }
      }
      s_0_0 = select(s_0_0 * params.scale, SENTINEL, extractBits(hidden_0, 0, 1u) != 0u);
      s_0_1 = select(s_0_1 * params.scale, SENTINEL, extractBits(hidden_0, 1, 1u) != 0u);
      s_1_0 = select(s_1_0 * params.scale, SENTINEL, extractBits(hidden_1, 0, 1u) != 0u);
      s_1_1 = select(s_1_1 * params.scale, SENTINEL, extractBits(hidden_1, 1, 1u) != 0u);
      var scores: array<f32, 4>;
      var derivatives: array<f32, 4>;
      scores[0 * 2 + 0] = s_0_0;
      scores[0 * 2 + 1] = s_0_1;
      scores[1 * 2 + 0] = s_1_0;
      scores[1 * 2 + 1] = s_1_1;
      for (var j = 0u; j < 2; j++) {
        let key = i32(first_key + j);
        if (extractBits(hidden_0, j, 1u) == 0u) {
          derivatives[0 * 2 + j] = modify_derivative(scores[0 * 2 + j], batch_0, i32(head_0), position_0, key);
          scores[0 * 2 + j] = modify(scores[0 * 2 + j], batch_0, i32(head_0), position_0, key);
        }
        if (extractBits(hidden_1, j, 1u) == 0u) {
          derivatives[1 * 2 + j] = modify_derivative(scores[1 * 2 + j], batch_1, i32(head_1), position_1, key);
          scores[1 * 2 + j] = modify(scores[1 * 2 + j], batch_1, i32(head_1), position_1, key);
        }
      }
      s_0_0 = scores[0 * 2 + 0];
      s_0_1 = scores[0 * 2 + 1];
      s_1_0 = scores[1 * 2 + 0];
      s_1_1 = scores[1 * 2 + 1];
      s_0_0 = weight(s_0_0, statistics_0.x);
      s_0_1 = weight(s_0_1, statistics_0.x);
      s_1_0 = weight(s_1_0, statistics_1.x);
      s_1_1 = weight(s_1_1, statistics_1.x);
      var dp_0_0 = 0.0;
      var dp_0_1 = 0.0;
      var dp_1_0 = 0.0;
      var dp_1_1 = 0.0;
      for (var vec = 0u; vec < row_sizes.value_vecs; vec++) {
        let g_0 = load_output_gradient(gradient_at_0, vec);
        let g_1 = load_output_gradient(gradient_at_1, vec);
        {
          let v = load_value(value_0, vec);
          dp_0_0 = dot4(dp_0_0, g_0, v);
          dp_1_0 = dot4(dp_1_0, g_1, v);
        }
        {
          let v = load_value(value_1, vec);
          dp_0_1 = dot4(dp_0_1, g_0, v);
          dp_1_1 = dot4(dp_1_1, g_1, v);
        }
      }
      var dropped_0 = 0u;
      var dropped_1 = 0u;
      for (var j = 0u; j < 2; j++) {
        let key = i32(first_key + j);
        dropped_0 |= select(0u, 1u << j, drops(dropout_0, key));
        dropped_1 |= select(0u, 1u << j, drops(dropout_1, key));
      }
      let ds_0_0 = select(s_0_0 * (dp_0_0 * kept(extractBits(dropped_0, 0, 1u) != 0u) - statistics_0.y) * derivatives[0 * 2 + 0], 0.0, s_0_0 == 0.0);
      let ds_0_1 = select(s_0_1 * (dp_0_1 * kept(extractBits(dropped_0, 1, 1u) != 0u) - statistics_0.y) * derivatives[0 * 2 + 1], 0.0, s_0_1 == 0.0);
      let ds_1_0 = select(s_1_0 * (dp_1_0 * kept(extractBits(dropped_1, 0, 1u) != 0u) - statistics_1.y) * derivatives[1 * 2 + 0], 0.0, s_1_0 == 0.0);
      let ds_1_1 = select(s_1_1 * (dp_1_1 * kept(extractBits(dropped_1, 1, 1u) != 0u) - statistics_1.y) * derivatives[1 * 2 + 1], 0.0, s_1_1 == 0.0);
      for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
        var x_0 = vec4f(0.0);
        var x_1 = vec4f(0.0);
        {
          let k = finite_key(key_0, vec);
          x_0 = fma(vec4f(ds_0_0), k, x_0);
          x_1 = fma(vec4f(ds_1_0), k, x_1);
        }
        {
          let k = finite_key(key_1, vec);
          x_0 = fma(vec4f(ds_0_1), k, x_0);
          x_1 = fma(vec4f(ds_1_1), k, x_1);
        }
        accumulator[own(0, vec, lane)] = accumulator[own(0, vec, lane)] + x_0;
        accumulator[own(1, vec, lane)] = accumulator[own(1, vec, lane)] + x_1;
      }
    }
  }

  if (packed_0 < row_count) {
    let out_0 = query_gradient_place(token_0, head_0);
    for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
      let gradient = accumulator[own(0, vec, lane)] * params.scale;
      store_query_gradient(out_0, vec, gradient);
    }
  }

  if (packed_1 < row_count) {
    let out_1 = query_gradient_place(token_1, head_1);
    for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
      let gradient = accumulator[own(1, vec, lane)] * params.scale;
      store_query_gradient(out_1, vec, gradient);
    }
  }
}
