struct Params {
  head_vecs: u32,
  sequences_at: u32,
  query_at: u32,
  query_token_stride: u32,
  query_head_stride: u32,
  key_at: u32,
  key_token_stride: u32,
  key_head_stride: u32,
  value_vecs: u32,
  value_at: u32,
  value_token_stride: u32,
  value_head_stride: u32,
  group: u32,
  tiles_at: u32,
  group_count: u32,
  grid_width: u32,
  runs_per_head: u32,
  scale: f32,
  output_token_stride: u32,
  output_head_stride: u32,
  lse_token_stride: u32,
  lse_head_stride: u32,
  score_block: u32,
  score_blocks: u32,
}

@group(0) @binding(0) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(2) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<storage, read_write> block_maxima: array<atomic<u32>>;
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

fn store_output(base: u32, vec: u32, value: vec4f) {
  output[base + vec] = vec4<f32>(value);
}

fn output_place(token: u32, head: u32) -> u32 {
  return token * params.output_token_stride + head * params.output_head_stride;
}

fn lse_place(token: u32, head: u32) -> u32 {
  return token * params.lse_token_stride + head * params.lse_head_stride;
}

fn write_row(row: u32, vec: u32, accumulator: vec4f, sum: f32) {
  store_output(row, vec, finish(accumulator, sum));
}

fn write_stats(row: u32, maximum: f32, sum: f32) {
  lse[row] = log_sum_exp(maximum, sum);
}

// A score as a number of the same order; 0 for NaN, which is never taken.
fn order_of(score: f32) -> u32 {
  let bits = bitcast<u32>(score);
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return 0u;
  }
  // Both zeros are one.
  return select(magnitude | 0x80000000u, ~bits, bits > 0x80000000u);
}

fn note_block(row: u32, block: u32, score: f32) {
  if (score != SENTINEL) {
    atomicMax(&block_maxima[row * params.score_blocks + block], order_of(score));
  }
}

fn non_finite(value: vec4f) -> vec4<bool> {
  let exponent = vec4u(0x7f800000u);
  return (bitcast<vec4u>(value) & exponent) == exponent;
}

var<workgroup> accumulator: array<vec4f, 256>;

// Where a lane's row r has column vec: lanes side by side.
fn own(r: u32, vec: u32, lane: u32) -> u32 {
  return (vec * 2 + r) * 8 + lane;
}

fn step_has_non_finite(sequence: Sequence, first_key: u32, kv_head: u32) -> bool {
  var found = vec4<bool>(false);
  for (var j = 0u; j < 2; j++) {
    let at = value_place(seek(sequence, min(first_key + j, sequence.key_count - 1u)), kv_head);
    for (var vec = 0u; vec < params.value_vecs; vec++) {
      found |= non_finite(load_value(at, vec));
    }
  }
  return any(found);
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

  var m_0 = SENTINEL;
  var l_0 = 0.0;
  var m_1 = SENTINEL;
  var l_1 = 0.0;
  for (var vec = 0u; vec < params.value_vecs; vec++) {
    accumulator[own(0, vec, lane)] = vec4f(0.0);
    accumulator[own(1, vec, lane)] = vec4f(0.0);
  }

  var top_0 = SENTINEL;
  var top_1 = SENTINEL;

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
      for (var vec = 0u; vec < params.head_vecs; vec++) {
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
      top_0 = max(top_0, s_0_0);
      top_0 = max(top_0, s_0_1);
      top_1 = max(top_1, s_1_0);
      top_1 = max(top_1, s_1_1);
      let next_key = first_key + 2;
      if (next_key % params.score_block == 0u || next_key >= end_key) {
        note_block(lse_place(token_0, head_0), first_key / params.score_block, top_0);
        top_0 = SENTINEL;
        note_block(lse_place(token_1, head_1), first_key / params.score_block, top_1);
        top_1 = SENTINEL;
      }
      var max_0 = m_0;
      max_0 = max(max_0, s_0_0);
      max_0 = max(max_0, s_0_1);
      let alpha_0 = rescale(m_0, max_0);
      m_0 = max_0;
      var sum_0 = 0.0;
      s_0_0 = weight(s_0_0, m_0);
      sum_0 += s_0_0;
      s_0_1 = weight(s_0_1, m_0);
      sum_0 += s_0_1;
      l_0 = carry_sum(l_0, alpha_0, sum_0);
      var max_1 = m_1;
      max_1 = max(max_1, s_1_0);
      max_1 = max(max_1, s_1_1);
      let alpha_1 = rescale(m_1, max_1);
      m_1 = max_1;
      var sum_1 = 0.0;
      s_1_0 = weight(s_1_0, m_1);
      sum_1 += s_1_0;
      s_1_1 = weight(s_1_1, m_1);
      sum_1 += s_1_1;
      l_1 = carry_sum(l_1, alpha_1, sum_1);
      if (masked && step_has_non_finite(sequence, first_key, kv_head)) {
        for (var vec = 0u; vec < params.value_vecs; vec++) {
          accumulator[own(0, vec, lane)] *= alpha_0;
          accumulator[own(1, vec, lane)] *= alpha_1;
        }
        for (var j = 0u; j < 2; j++) {
          let guarded_cursor = seek(sequence, min(first_key + j, sequence.key_count - 1u));
          let guarded_key = key_place(guarded_cursor, kv_head);
          let guarded_value = value_place(guarded_cursor, kv_head);
          let key = i32(first_key + j);
          var guarded_0 = 0.0;
          var guarded_1 = 0.0;
          for (var vec = 0u; vec < params.head_vecs; vec++) {
            let k = load_key(guarded_key, vec);
            guarded_0 = dot4(guarded_0, load_query(query_at_0, vec), k);
            guarded_1 = dot4(guarded_1, load_query(query_at_1, vec), k);
          }
          let p_0 = weight(modify(guarded_0 * params.scale, batch_0, i32(head_0), position_0, key), m_0);
          let seen_0 = extractBits(hidden_0, j, 1u) == 0u;
          let p_1 = weight(modify(guarded_1 * params.scale, batch_1, i32(head_1), position_1, key), m_1);
          let seen_1 = extractBits(hidden_1, j, 1u) == 0u;
          for (var vec = 0u; vec < params.value_vecs; vec++) {
            let v = load_value(guarded_value, vec);
            if (seen_0) {
              accumulator[own(0, vec, lane)] = fma(vec4f(p_0), v, accumulator[own(0, vec, lane)]);
            }
            if (seen_1) {
              accumulator[own(1, vec, lane)] = fma(vec4f(p_1), v, accumulator[own(1, vec, lane)]);
            }
          }
        }
      } else {
        for (var vec = 0u; vec < params.value_vecs; vec++) {
          var x_0 = vec4f(0.0);
          var x_1 = vec4f(0.0);
          {
            let v = load_value(value_0, vec);
            x_0 = fma(vec4f(s_0_0), v, x_0);
            x_1 = fma(vec4f(s_1_0), v, x_1);
          }
          {
            let v = load_value(value_1, vec);
            x_0 = fma(vec4f(s_0_1), v, x_0);
            x_1 = fma(vec4f(s_1_1), v, x_1);
          }
          accumulator[own(0, vec, lane)] = carry_values(accumulator[own(0, vec, lane)], alpha_0, x_0);
          accumulator[own(1, vec, lane)] = carry_values(accumulator[own(1, vec, lane)], alpha_1, x_1);
        }
      }
    }
  }

  if (packed_0 < row_count) {
    let out_0 = output_place(token_0, head_0);
    for (var vec = 0u; vec < params.value_vecs; vec++) {
      write_row(out_0, vec, accumulator[own(0, vec, lane)], l_0);
    }
    write_stats(lse_place(token_0, head_0), m_0, l_0);
  }

  if (packed_1 < row_count) {
    let out_1 = output_place(token_1, head_1);
    for (var vec = 0u; vec < params.value_vecs; vec++) {
      write_row(out_1, vec, accumulator[own(1, vec, lane)], l_1);
    }
    write_stats(lse_place(token_1, head_1), m_1, l_1);
  }
}
