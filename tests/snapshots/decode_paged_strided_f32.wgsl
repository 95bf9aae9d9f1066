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
  key_batch_stride: u32,
  value_vecs: u32,
  value_at: u32,
  value_token_stride: u32,
  value_head_stride: u32,
  value_batch_stride: u32,
  group: u32,
  tiles_at: u32,
  group_count: u32,
  grid_width: u32,
  runs_per_head: u32,
  scale: f32,
  stats_at: u32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(2) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> states: array<vec4f>;
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

fn place(cursor: Cursor, token_stride: u32, batch_stride: u32) -> u32 {
  return schedule[cursor.entry] * batch_stride + cursor.offset * token_stride;
}

fn load_key(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(key[at + vec]);
}

fn key_place(cursor: Cursor, kv_head: u32) -> u32 {
  return place(cursor, params.key_token_stride, params.key_batch_stride) + kv_head * params.key_head_stride + params.key_at;
}

fn load_value(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(value[at + vec]);
}

fn value_place(cursor: Cursor, kv_head: u32) -> u32 {
  return place(cursor, params.value_token_stride, params.value_batch_stride) + kv_head * params.value_head_stride + params.value_at;
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

fn modify(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
  let result = score;
  return select(result, SENTINEL, result < SENTINEL);
}

fn sees(batch: i32, head: i32, query: i32, key: i32, key_count: i32) -> bool {
  return key < key_count;
}

fn write_row(row: u32, vec: u32, accumulator: vec4f, sum: f32) {
  states[row * params.value_vecs + vec] = accumulator;
}

fn write_stats(row: u32, maximum: f32, sum: f32) {
  states[params.stats_at + row] = vec4f(maximum, sum, 0.0, 0.0);
}

var<workgroup> weights: array<vec4f, 2 * 8>;
var<workgroup> lane_values: array<f32, 2 * 8>;
var<workgroup> partials: array<vec4f, 8 * 2 * 4>;

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
  let key_lane = lane / 4;
  let column_lane = lane % 4;
  let column_0 = min(0 * 4 + column_lane, params.value_vecs - 1u);
  let column_1 = min(1 * 4 + column_lane, params.value_vecs - 1u);
  let column_2 = min(2 * 4 + column_lane, params.value_vecs - 1u);
  let column_3 = min(3 * 4 + column_lane, params.value_vecs - 1u);

  let packed_0 = tile.first_row + 0u;
  let row_0 = min(packed_0, row_count - 1u);
  let query_0 = row_0 / params.group;
  let head_0 = kv_head * params.group + row_0 - query_0 * params.group;
  let batch_0 = sequence.batch;
  let position_0 = i32(query_0) + sequence.query_offset;
  let token_0 = sequence.query_start + query_0;
  let packed_1 = tile.first_row + 1u;
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
  var a_0_0 = vec4f(0.0);
  var a_0_1 = vec4f(0.0);
  var a_0_2 = vec4f(0.0);
  var a_0_3 = vec4f(0.0);
  var m_1 = SENTINEL;
  var l_1 = 0.0;
  var a_1_0 = vec4f(0.0);
  var a_1_1 = vec4f(0.0);
  var a_1_2 = vec4f(0.0);
  var a_1_3 = vec4f(0.0);

  let runs = read_run_list(tile.runs_at + 2 * kv_head * params.runs_per_head);
  for (var run_index = 0u; run_index < runs.count; run_index++) {
    let run = read_key_run(runs.runs_at + run_index * 3);
    let end_key = min(run.end_key, sequence.key_count);
    let masked = run.full == 0u;
    for (var first_key = run.first_key; first_key < end_key; first_key += 32) {
      let count = min(32, end_key - first_key);
      var max_0 = SENTINEL;
      var max_1 = SENTINEL;
      for (var i = lane; i < 8; i += 8) {
        let own_key = first_key + i * 4;
        var key_cursor = seek(sequence, min(own_key, sequence.key_count - 1u));
        let key_0 = key_place(key_cursor, kv_head);
        let key_1 = key_0 + select(0u, params.key_token_stride, own_key + 1u < sequence.key_count);
        let key_2 = key_1 + select(0u, params.key_token_stride, own_key + 2u < sequence.key_count);
        let key_3 = key_2 + select(0u, params.key_token_stride, own_key + 3u < sequence.key_count);
        var s_0_0 = 0.0;
        var s_0_1 = 0.0;
        var s_0_2 = 0.0;
        var s_0_3 = 0.0;
        var s_1_0 = 0.0;
        var s_1_1 = 0.0;
        var s_1_2 = 0.0;
        var s_1_3 = 0.0;
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
          {
            let k = load_key(key_2, vec);
            s_0_2 = dot4(s_0_2, q_0, k);
            s_1_2 = dot4(s_1_2, q_1, k);
          }
          {
            let k = load_key(key_3, vec);
            s_0_3 = dot4(s_0_3, q_0, k);
            s_1_3 = dot4(s_1_3, q_1, k);
          }
        }
        var s_0 = vec4f(s_0_0, s_0_1, s_0_2, s_0_3) * params.scale;
        var s_1 = vec4f(s_1_0, s_1_1, s_1_2, s_1_3) * params.scale;
        for (var j = 0u; j < 4; j++) {
          let key = i32(own_key + j);
          let in_step = i * 4 + j < count;
          s_0[j] = select(SENTINEL, modify(s_0[j], batch_0, i32(head_0), position_0, key),
            in_step && (!masked || sees(batch_0, i32(head_0), position_0, key, i32(sequence.key_count))));
          max_0 = max(max_0, s_0[j]);
          s_1[j] = select(SENTINEL, modify(s_1[j], batch_1, i32(head_1), position_1, key),
            in_step && (!masked || sees(batch_1, i32(head_1), position_1, key, i32(sequence.key_count))));
          max_1 = max(max_1, s_1[j]);
        }
        weights[0 * 8 + i] = s_0;
        weights[1 * 8 + i] = s_1;
      }
      lane_values[0 * 8 + lane] = max_0;
      lane_values[1 * 8 + lane] = max_1;
      workgroupBarrier();
      var all_0 = m_0;
      for (var i = 0u; i < 8; i++) {
        all_0 = max(all_0, lane_values[0 * 8 + i]);
      }
      let alpha_0 = rescale(m_0, all_0);
      m_0 = all_0;
      var sum_0 = 0.0;
      var x_0_0 = vec4f(0.0);
      var x_0_1 = vec4f(0.0);
      var x_0_2 = vec4f(0.0);
      var x_0_3 = vec4f(0.0);
      for (var i = lane; i < 8; i += 8) {
        let s = weights[0 * 8 + i];
        let p = vec4f(weight(s[0], m_0), weight(s[1], m_0), weight(s[2], m_0), weight(s[3], m_0));
        weights[0 * 8 + i] = p;
        sum_0 += (p.x + p.y) + (p.z + p.w);
      }
      l_0 = carry_sum(l_0, alpha_0, sum_0);
      var all_1 = m_1;
      for (var i = 0u; i < 8; i++) {
        all_1 = max(all_1, lane_values[1 * 8 + i]);
      }
      let alpha_1 = rescale(m_1, all_1);
      m_1 = all_1;
      var sum_1 = 0.0;
      var x_1_0 = vec4f(0.0);
      var x_1_1 = vec4f(0.0);
      var x_1_2 = vec4f(0.0);
      var x_1_3 = vec4f(0.0);
      for (var i = lane; i < 8; i += 8) {
        let s = weights[1 * 8 + i];
        let p = vec4f(weight(s[0], m_1), weight(s[1], m_1), weight(s[2], m_1), weight(s[3], m_1));
        weights[1 * 8 + i] = p;
        sum_1 += (p.x + p.y) + (p.z + p.w);
      }
      l_1 = carry_sum(l_1, alpha_1, sum_1);
      workgroupBarrier();
      if (masked) {
        for (var i = key_lane; i * 4 < count; i += 2) {
          for (var j = 0u; j < min(4, count - i * 4); j++) {
            let at = value_place(seek(sequence, first_key + i * 4 + j), kv_head);
            let v_0 = load_value(at, column_0);
            let v_1 = load_value(at, column_1);
            let v_2 = load_value(at, column_2);
            let v_3 = load_value(at, column_3);
            let p_0 = weights[0 * 8 + i][j];
            x_0_0 = select(fma(vec4f(p_0), v_0, x_0_0), x_0_0, p_0 == 0.0);
            x_0_1 = select(fma(vec4f(p_0), v_1, x_0_1), x_0_1, p_0 == 0.0);
            x_0_2 = select(fma(vec4f(p_0), v_2, x_0_2), x_0_2, p_0 == 0.0);
            x_0_3 = select(fma(vec4f(p_0), v_3, x_0_3), x_0_3, p_0 == 0.0);
            let p_1 = weights[1 * 8 + i][j];
            x_1_0 = select(fma(vec4f(p_1), v_0, x_1_0), x_1_0, p_1 == 0.0);
            x_1_1 = select(fma(vec4f(p_1), v_1, x_1_1), x_1_1, p_1 == 0.0);
            x_1_2 = select(fma(vec4f(p_1), v_2, x_1_2), x_1_2, p_1 == 0.0);
            x_1_3 = select(fma(vec4f(p_1), v_3, x_1_3), x_1_3, p_1 == 0.0);
          }
        }
      } else {
        for (var i = key_lane; i * 4 < count; i += 2) {
          let p_0 = weights[0 * 8 + i];
          let p_1 = weights[1 * 8 + i];
          var value_cursor = seek(sequence, first_key + i * 4u);
          let value_0 = value_place(value_cursor, kv_head);
          let value_1 = value_0 + select(0u, params.value_token_stride, i * 4u + 1u < count);
          let value_2 = value_1 + select(0u, params.value_token_stride, i * 4u + 2u < count);
          let value_3 = value_2 + select(0u, params.value_token_stride, i * 4u + 3u < count);
          {
            let v_0 = load_value(value_0, column_0);
            x_0_0 = fma(vec4f(p_0[0]), v_0, x_0_0);
            x_1_0 = fma(vec4f(p_1[0]), v_0, x_1_0);
            let v_1 = load_value(value_0, column_1);
            x_0_1 = fma(vec4f(p_0[0]), v_1, x_0_1);
            x_1_1 = fma(vec4f(p_1[0]), v_1, x_1_1);
            let v_2 = load_value(value_0, column_2);
            x_0_2 = fma(vec4f(p_0[0]), v_2, x_0_2);
            x_1_2 = fma(vec4f(p_1[0]), v_2, x_1_2);
            let v_3 = load_value(value_0, column_3);
            x_0_3 = fma(vec4f(p_0[0]), v_3, x_0_3);
            x_1_3 = fma(vec4f(p_1[0]), v_3, x_1_3);
          }
          {
            let v_0 = load_value(value_1, column_0);
            x_0_0 = fma(vec4f(p_0[1]), v_0, x_0_0);
            x_1_0 = fma(vec4f(p_1[1]), v_0, x_1_0);
            let v_1 = load_value(value_1, column_1);
            x_0_1 = fma(vec4f(p_0[1]), v_1, x_0_1);
            x_1_1 = fma(vec4f(p_1[1]), v_1, x_1_1);
            let v_2 = load_value(value_1, column_2);
            x_0_2 = fma(vec4f(p_0[1]), v_2, x_0_2);
            x_1_2 = fma(vec4f(p_1[1]), v_2, x_1_2);
            let v_3 = load_value(value_1, column_3);
            x_0_3 = fma(vec4f(p_0[1]), v_3, x_0_3);
            x_1_3 = fma(vec4f(p_1[1]), v_3, x_1_3);
          }
          {
            let v_0 = load_value(value_2, column_0);
            x_0_0 = fma(vec4f(p_0[2]), v_0, x_0_0);
            x_1_0 = fma(vec4f(p_1[2]), v_0, x_1_0);
            let v_1 = load_value(value_2, column_1);
            x_0_1 = fma(vec4f(p_0[2]), v_1, x_0_1);
            x_1_1 = fma(vec4f(p_1[2]), v_1, x_1_1);
            let v_2 = load_value(value_2, column_2);
            x_0_2 = fma(vec4f(p_0[2]), v_2, x_0_2);
            x_1_2 = fma(vec4f(p_1[2]), v_2, x_1_2);
            let v_3 = load_value(value_2, column_3);
            x_0_3 = fma(vec4f(p_0[2]), v_3, x_0_3);
            x_1_3 = fma(vec4f(p_1[2]), v_3, x_1_3);
          }
          {
            let v_0 = load_value(value_3, column_0);
            x_0_0 = fma(vec4f(p_0[3]), v_0, x_0_0);
            x_1_0 = fma(vec4f(p_1[3]), v_0, x_1_0);
            let v_1 = load_value(value_3, column_1);
            x_0_1 = fma(vec4f(p_0[3]), v_1, x_0_1);
            x_1_1 = fma(vec4f(p_1[3]), v_1, x_1_1);
            let v_2 = load_value(value_3, column_2);
            x_0_2 = fma(vec4f(p_0[3]), v_2, x_0_2);
            x_1_2 = fma(vec4f(p_1[3]), v_2, x_1_2);
            let v_3 = load_value(value_3, column_3);
            x_0_3 = fma(vec4f(p_0[3]), v_3, x_0_3);
            x_1_3 = fma(vec4f(p_1[3]), v_3, x_1_3);
          }
        }
      }
      a_0_0 = carry_values(a_0_0, alpha_0, x_0_0);
      a_0_1 = carry_values(a_0_1, alpha_0, x_0_1);
      a_0_2 = carry_values(a_0_2, alpha_0, x_0_2);
      a_0_3 = carry_values(a_0_3, alpha_0, x_0_3);
      a_1_0 = carry_values(a_1_0, alpha_1, x_1_0);
      a_1_1 = carry_values(a_1_1, alpha_1, x_1_1);
      a_1_2 = carry_values(a_1_2, alpha_1, x_1_2);
      a_1_3 = carry_values(a_1_3, alpha_1, x_1_3);
      workgroupBarrier();
    }
  }

  partials[(0 * 4 + 0) * 8 + lane] = a_0_0;
  partials[(0 * 4 + 1) * 8 + lane] = a_0_1;
  partials[(0 * 4 + 2) * 8 + lane] = a_0_2;
  partials[(0 * 4 + 3) * 8 + lane] = a_0_3;
  partials[(1 * 4 + 0) * 8 + lane] = a_1_0;
  partials[(1 * 4 + 1) * 8 + lane] = a_1_1;
  partials[(1 * 4 + 2) * 8 + lane] = a_1_2;
  partials[(1 * 4 + 3) * 8 + lane] = a_1_3;
  lane_values[0 * 8 + lane] = l_0;
  lane_values[1 * 8 + lane] = l_1;
  workgroupBarrier();
  if (key_lane == 0u) {
    if (packed_0 < row_count) {
      var sum = 0.0;
      for (var i = 0u; i < 8; i++) {
        sum += lane_values[0 * 8 + i];
      }
      let out = tile.state_row + kv_head * tile.state_stride + 0u;
      if (0 * 4 + column_lane < params.value_vecs) {
        for (var i = 1u; i < 2; i++) {
          a_0_0 += partials[(0 * 4 + 0) * 8 + i * 4 + column_lane];
        }
        write_row(out, 0 * 4 + column_lane, a_0_0, sum);
      }
      if (1 * 4 + column_lane < params.value_vecs) {
        for (var i = 1u; i < 2; i++) {
          a_0_1 += partials[(0 * 4 + 1) * 8 + i * 4 + column_lane];
        }
        write_row(out, 1 * 4 + column_lane, a_0_1, sum);
      }
      if (2 * 4 + column_lane < params.value_vecs) {
        for (var i = 1u; i < 2; i++) {
          a_0_2 += partials[(0 * 4 + 2) * 8 + i * 4 + column_lane];
        }
        write_row(out, 2 * 4 + column_lane, a_0_2, sum);
      }
      if (3 * 4 + column_lane < params.value_vecs) {
        for (var i = 1u; i < 2; i++) {
          a_0_3 += partials[(0 * 4 + 3) * 8 + i * 4 + column_lane];
        }
        write_row(out, 3 * 4 + column_lane, a_0_3, sum);
      }
      if (lane == 0u) {
        write_stats(tile.state_row + kv_head * tile.state_stride + 0u, m_0, sum);
      }
    }
    if (packed_1 < row_count) {
      var sum = 0.0;
      for (var i = 0u; i < 8; i++) {
        sum += lane_values[1 * 8 + i];
      }
      let out = tile.state_row + kv_head * tile.state_stride + 1u;
      if (0 * 4 + column_lane < params.value_vecs) {
        for (var i = 1u; i < 2; i++) {
          a_1_0 += partials[(1 * 4 + 0) * 8 + i * 4 + column_lane];
        }
        write_row(out, 0 * 4 + column_lane, a_1_0, sum);
      }
      if (1 * 4 + column_lane < params.value_vecs) {
        for (var i = 1u; i < 2; i++) {
          a_1_1 += partials[(1 * 4 + 1) * 8 + i * 4 + column_lane];
        }
        write_row(out, 1 * 4 + column_lane, a_1_1, sum);
      }
      if (2 * 4 + column_lane < params.value_vecs) {
        for (var i = 1u; i < 2; i++) {
          a_1_2 += partials[(1 * 4 + 2) * 8 + i * 4 + column_lane];
        }
        write_row(out, 2 * 4 + column_lane, a_1_2, sum);
      }
      if (3 * 4 + column_lane < params.value_vecs) {
        for (var i = 1u; i < 2; i++) {
          a_1_3 += partials[(1 * 4 + 3) * 8 + i * 4 + column_lane];
        }
        write_row(out, 3 * 4 + column_lane, a_1_3, sum);
      }
      if (lane == 0u) {
        write_stats(tile.state_row + kv_head * tile.state_stride + 1u, m_1, sum);
      }
    }
  }
}
