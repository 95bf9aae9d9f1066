struct Params {
  chunks_at: u32,
  chunk_count: u32,
  runs_at: u32,
  run_count: u32,
  heads: u32,
  query_heads: u32,
  key_heads: u32,
  state_heads: u32,
  head_dim: u32,
  head_vecs: u32,
  query_at: u32,
  query_token_stride: u32,
  query_head_stride: u32,
  query_batch_stride: u32,
  feature_root: f32,
  key_at: u32,
  key_token_stride: u32,
  key_head_stride: u32,
  key_batch_stride: u32,
  value_at: u32,
  value_token_stride: u32,
  value_head_stride: u32,
  value_batch_stride: u32,
  output_at: u32,
  output_token_stride: u32,
  output_head_stride: u32,
  output_batch_stride: u32,
  given_rows: u32,
  state_stride: u32,
  state_dim: u32,
  column_tiles: u32,
  state_rows: u32,
  state_vecs: u32,
  value_vecs: u32,
  value_dim: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> initial_state: array<f32>;
@group(0) @binding(6) var<storage, read_write> final_state: array<f32>;
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

struct StateRun {
  first: u32,
  count: u32,
  initial_slot: u32,
  final_slot: u32,
}

fn read_run(at: u32) -> StateRun {
  return StateRun(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
    schedule[at + 3],
  );
}

fn run_of(index: u32) -> StateRun {
  return read_run(params.runs_at + 4 * index);
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

fn query_feature(at: u32, group: FeatureGroup) -> vec4f {
  let last = params.head_vecs - 1u;
  let i = load_query(at, min(group.element / 4u, last))[group.element % 4u];
  let j = load_query(at, min(group.vec, last));
  let factor = select(1.0, params.feature_root * i, group.element < params.head_dim);
  return factor * select(vec4f(1.0, 0.0, 0.0, 0.0), params.feature_root * j, group.vec <= last);
}

fn query_features(chunk: Chunk, head: u32, token: u32, feature: u32) -> mat4x4f {
  let group = feature_group_of(feature / 4u);
  let weights = feature_weights(group);
  let last = chunk.count - 1u;
  return mat4x4f(
    weights * query_feature(query_at(chunk, min(token + 0, last), head), group),
    weights * query_feature(query_at(chunk, min(token + 1, last), head), group),
    weights * query_feature(query_at(chunk, min(token + 2, last), head), group),
    weights * query_feature(query_at(chunk, min(token + 3, last), head), group),
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

fn output_place(batch: i32, token: u32, head: u32) -> u32 {
  return params.output_at + u32(batch) * params.output_batch_stride + token * params.output_token_stride + head * params.output_head_stride;
}

fn output_at(chunk: Chunk, token: u32, head: u32) -> u32 {
  return output_place(i32(chunk.batch), chunk.token + token, head);
}

fn store_output(base: u32, vec: u32, value: vec4f) {
  output[base + vec] = vec4<f32>(value);
}

const NO_ROW = 0xffffffffu;

fn feature_row(feature: u32) -> u32 {
  let group = feature_group_of(feature / 4u);
  let j = 4u * group.vec + feature % 4u;
  if (group.vec == params.head_vecs) {
    return select(NO_ROW, 0u, feature % 4u == 0u);
  }
  let own = j < params.head_dim && (group.element == params.head_dim || j >= group.element);
  return select(NO_ROW, group.row + j, own);
}

fn given_state_at(slot: u32, state_head: u32, row: u32) -> u32 {
  return ((slot * params.state_heads + state_head) * params.given_rows + row) * params.state_stride;
}

fn tail_vec(value: vec4f, more: u32) -> vec4f {
  return select(vec4f(0.0), value, vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
}

fn load_initial(base: u32, vec: u32) -> vec4f {
  let i = 4u * vec;
  let last = params.state_dim - 1u;
  let at = base;
  return tail_vec(vec4f(f32(initial_state[at + i]), f32(initial_state[at + min(i + 1u, last)]), f32(initial_state[at + min(i + 2u, last)]), f32(initial_state[at + min(i + 3u, last)])), last - i);
}

fn store_final(base: u32, vec: u32, value: vec4f) {
  let i = 4u * vec;
  final_state[base + i] = f32(value[0]);
  if (i + 1 < params.state_dim) { final_state[base + i + 1] = f32(value[1]); }
  if (i + 2 < params.state_dim) { final_state[base + i + 2] = f32(value[2]); }
  if (i + 3 < params.state_dim) { final_state[base + i + 3] = f32(value[3]); }
}

fn entering_state(run: StateRun, state_head: u32, row: u32, vec: u32) -> vec4f {
  if (run.initial_slot < 2147483648u) {
    let given_row = feature_row(row);
    if (given_row == NO_ROW) {
      return vec4f(0.0);
    }
    return load_initial(given_state_at(run.initial_slot, state_head, given_row), vec);
  }
  return vec4f(0.0);
}

fn leave_state(run: StateRun, state_head: u32, row: u32, vec: u32, state: vec4f) {
  if (run.final_slot < 2147483648u) {
    let given_row = feature_row(row);
    if (given_row == NO_ROW) {
      return;
    }
    store_final(given_state_at(run.final_slot, state_head, given_row), vec, state);
  }
}

fn dot4(sum: f32, x: vec4f, y: vec4f) -> f32 {
  return fma(x.x, y.x, fma(x.y, y.y, fma(x.z, y.z, fma(x.w, y.w, sum))));
}

var<workgroup> parts: array<vec4f, 128>;

fn sum_of(place: u32, lane: u32, value: vec4f) -> vec4f {
  parts[64 * place + lane] = value;
  workgroupBarrier();
  var sum = vec4f(0.0);
  for (var r = 0u; r < 16; r++) {
    sum += parts[64 * place + 4 * r + lane % 4];
  }
  return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let column = group % params.column_tiles * 4 + lane % 4;
  let place = group / params.column_tiles;
  let state_head = place % params.state_heads;
  let run_index = place / params.state_heads;
  if (run_index >= params.run_count) {
    return;
  }
  let run = run_of(run_index);
  let key_head = key_head_of(state_head);
  let members = params.heads / params.state_heads;
  let row_lane = lane / 4;
  let live = column < params.state_vecs;
  var turn = 0u;
  let vec_0 = row_lane + 0 * 16;
  let group_0 = feature_group_of(min(vec_0, params.state_rows / 4u - 1u));
  let weights_0 = feature_weights(group_0);
  var h_0_0 = vec4f(0.0);
  var h_0_1 = vec4f(0.0);
  var h_0_2 = vec4f(0.0);
  var h_0_3 = vec4f(0.0);
  var sums_0 = vec4f(0.0);
  let vec_1 = row_lane + 1 * 16;
  let group_1 = feature_group_of(min(vec_1, params.state_rows / 4u - 1u));
  let weights_1 = feature_weights(group_1);
  var h_1_0 = vec4f(0.0);
  var h_1_1 = vec4f(0.0);
  var h_1_2 = vec4f(0.0);
  var h_1_3 = vec4f(0.0);
  var sums_1 = vec4f(0.0);
  let vec_2 = row_lane + 2 * 16;
  let group_2 = feature_group_of(min(vec_2, params.state_rows / 4u - 1u));
  let weights_2 = feature_weights(group_2);
  var h_2_0 = vec4f(0.0);
  var h_2_1 = vec4f(0.0);
  var h_2_2 = vec4f(0.0);
  var h_2_3 = vec4f(0.0);
  var sums_2 = vec4f(0.0);
  let ones = vec4f(4u * column + vec4u(0u, 1u, 2u, 3u) == vec4u(params.value_dim));
  if (live) {
    if (4u * vec_0 + 0 < params.state_rows) {
      h_0_0 = entering_state(run, state_head, 4u * vec_0 + 0, column);
    }
    if (4u * vec_0 + 1 < params.state_rows) {
      h_0_1 = entering_state(run, state_head, 4u * vec_0 + 1, column);
    }
    if (4u * vec_0 + 2 < params.state_rows) {
      h_0_2 = entering_state(run, state_head, 4u * vec_0 + 2, column);
    }
    if (4u * vec_0 + 3 < params.state_rows) {
      h_0_3 = entering_state(run, state_head, 4u * vec_0 + 3, column);
    }
    if (4u * vec_1 + 0 < params.state_rows) {
      h_1_0 = entering_state(run, state_head, 4u * vec_1 + 0, column);
    }
    if (4u * vec_1 + 1 < params.state_rows) {
      h_1_1 = entering_state(run, state_head, 4u * vec_1 + 1, column);
    }
    if (4u * vec_1 + 2 < params.state_rows) {
      h_1_2 = entering_state(run, state_head, 4u * vec_1 + 2, column);
    }
    if (4u * vec_1 + 3 < params.state_rows) {
      h_1_3 = entering_state(run, state_head, 4u * vec_1 + 3, column);
    }
    if (4u * vec_2 + 0 < params.state_rows) {
      h_2_0 = entering_state(run, state_head, 4u * vec_2 + 0, column);
    }
    if (4u * vec_2 + 1 < params.state_rows) {
      h_2_1 = entering_state(run, state_head, 4u * vec_2 + 1, column);
    }
    if (4u * vec_2 + 2 < params.state_rows) {
      h_2_2 = entering_state(run, state_head, 4u * vec_2 + 2, column);
    }
    if (4u * vec_2 + 3 < params.state_rows) {
      h_2_3 = entering_state(run, state_head, 4u * vec_2 + 3, column);
    }
  }
  if (4u * vec_0 + 0 < params.state_rows) {
    sums_0[0] = entering_state(run, state_head, 4u * vec_0 + 0, params.value_dim / 4u)[params.value_dim % 4u];
  }
  if (4u * vec_0 + 1 < params.state_rows) {
    sums_0[1] = entering_state(run, state_head, 4u * vec_0 + 1, params.value_dim / 4u)[params.value_dim % 4u];
  }
  if (4u * vec_0 + 2 < params.state_rows) {
    sums_0[2] = entering_state(run, state_head, 4u * vec_0 + 2, params.value_dim / 4u)[params.value_dim % 4u];
  }
  if (4u * vec_0 + 3 < params.state_rows) {
    sums_0[3] = entering_state(run, state_head, 4u * vec_0 + 3, params.value_dim / 4u)[params.value_dim % 4u];
  }
  if (4u * vec_1 + 0 < params.state_rows) {
    sums_1[0] = entering_state(run, state_head, 4u * vec_1 + 0, params.value_dim / 4u)[params.value_dim % 4u];
  }
  if (4u * vec_1 + 1 < params.state_rows) {
    sums_1[1] = entering_state(run, state_head, 4u * vec_1 + 1, params.value_dim / 4u)[params.value_dim % 4u];
  }
  if (4u * vec_1 + 2 < params.state_rows) {
    sums_1[2] = entering_state(run, state_head, 4u * vec_1 + 2, params.value_dim / 4u)[params.value_dim % 4u];
  }
  if (4u * vec_1 + 3 < params.state_rows) {
    sums_1[3] = entering_state(run, state_head, 4u * vec_1 + 3, params.value_dim / 4u)[params.value_dim % 4u];
  }
  if (4u * vec_2 + 0 < params.state_rows) {
    sums_2[0] = entering_state(run, state_head, 4u * vec_2 + 0, params.value_dim / 4u)[params.value_dim % 4u];
  }
  if (4u * vec_2 + 1 < params.state_rows) {
    sums_2[1] = entering_state(run, state_head, 4u * vec_2 + 1, params.value_dim / 4u)[params.value_dim % 4u];
  }
  if (4u * vec_2 + 2 < params.state_rows) {
    sums_2[2] = entering_state(run, state_head, 4u * vec_2 + 2, params.value_dim / 4u)[params.value_dim % 4u];
  }
  if (4u * vec_2 + 3 < params.state_rows) {
    sums_2[3] = entering_state(run, state_head, 4u * vec_2 + 3, params.value_dim / 4u)[params.value_dim % 4u];
  }
  for (var c = 0u; c < run.count; c++) {
    let chunk = chunk_of(run.first + c);
    for (var token = 0u; token < chunk.count; token++) {
      let key_base = key_at(chunk, token, key_head);
      var k_0 = vec4f(0.0);
      if (vec_0 < params.state_rows / 4u) {
        k_0 = weights_0 * key_feature(key_base, group_0);
        sums_0 += k_0;
      }
      var k_1 = vec4f(0.0);
      if (vec_1 < params.state_rows / 4u) {
        k_1 = weights_1 * key_feature(key_base, group_1);
        sums_1 += k_1;
      }
      var k_2 = vec4f(0.0);
      if (vec_2 < params.state_rows / 4u) {
        k_2 = weights_2 * key_feature(key_base, group_2);
        sums_2 += k_2;
      }
      var u = vec4f(0.0);
      if (column < params.value_vecs) {
        u = load_value(value_at(chunk, token, state_head), column);
      }
      u += ones;
      h_0_0 = fma(vec4f(k_0[0]), u, h_0_0);
      h_0_1 = fma(vec4f(k_0[1]), u, h_0_1);
      h_0_2 = fma(vec4f(k_0[2]), u, h_0_2);
      h_0_3 = fma(vec4f(k_0[3]), u, h_0_3);
      h_1_0 = fma(vec4f(k_1[0]), u, h_1_0);
      h_1_1 = fma(vec4f(k_1[1]), u, h_1_1);
      h_1_2 = fma(vec4f(k_1[2]), u, h_1_2);
      h_1_3 = fma(vec4f(k_1[3]), u, h_1_3);
      h_2_0 = fma(vec4f(k_2[0]), u, h_2_0);
      h_2_1 = fma(vec4f(k_2[1]), u, h_2_1);
      h_2_2 = fma(vec4f(k_2[2]), u, h_2_2);
      h_2_3 = fma(vec4f(k_2[3]), u, h_2_3);
      for (var member = 0u; member < members; member++) {
        let head = state_head * members + member;
        let query_base = query_at(chunk, token, query_head_of(head));
        var part = vec4f(0.0);
        var weight = 0.0;
        if (vec_0 < params.state_rows / 4u) {
          let q = weights_0 * query_feature(query_base, group_0);
          part = fma(vec4f(q[0]), h_0_0, part);
          part = fma(vec4f(q[1]), h_0_1, part);
          part = fma(vec4f(q[2]), h_0_2, part);
          part = fma(vec4f(q[3]), h_0_3, part);
          weight = dot4(weight, q, sums_0);
        }
        if (vec_1 < params.state_rows / 4u) {
          let q = weights_1 * query_feature(query_base, group_1);
          part = fma(vec4f(q[0]), h_1_0, part);
          part = fma(vec4f(q[1]), h_1_1, part);
          part = fma(vec4f(q[2]), h_1_2, part);
          part = fma(vec4f(q[3]), h_1_3, part);
          weight = dot4(weight, q, sums_1);
        }
        if (vec_2 < params.state_rows / 4u) {
          let q = weights_2 * query_feature(query_base, group_2);
          part = fma(vec4f(q[0]), h_2_0, part);
          part = fma(vec4f(q[1]), h_2_1, part);
          part = fma(vec4f(q[2]), h_2_2, part);
          part = fma(vec4f(q[3]), h_2_3, part);
          weight = dot4(weight, q, sums_2);
        }
        let sum = sum_of(turn % 2u, lane, part);
        turn++;
        let weights = 1.0 * sum_of(turn % 2u, lane, vec4f(weight));
        turn++;
        let found = 1.0 * sum / (weights + params.eps);
        if (column < params.value_vecs && row_lane == 0u) {
          store_output(output_at(chunk, token, head), column, found);
        }
      }
    }
  }
  if (live) {
    if (4u * vec_0 + 0 < params.state_rows) {
      leave_state(run, state_head, 4u * vec_0 + 0, column, h_0_0);
    }
    if (4u * vec_0 + 1 < params.state_rows) {
      leave_state(run, state_head, 4u * vec_0 + 1, column, h_0_1);
    }
    if (4u * vec_0 + 2 < params.state_rows) {
      leave_state(run, state_head, 4u * vec_0 + 2, column, h_0_2);
    }
    if (4u * vec_0 + 3 < params.state_rows) {
      leave_state(run, state_head, 4u * vec_0 + 3, column, h_0_3);
    }
    if (4u * vec_1 + 0 < params.state_rows) {
      leave_state(run, state_head, 4u * vec_1 + 0, column, h_1_0);
    }
    if (4u * vec_1 + 1 < params.state_rows) {
      leave_state(run, state_head, 4u * vec_1 + 1, column, h_1_1);
    }
    if (4u * vec_1 + 2 < params.state_rows) {
      leave_state(run, state_head, 4u * vec_1 + 2, column, h_1_2);
    }
    if (4u * vec_1 + 3 < params.state_rows) {
      leave_state(run, state_head, 4u * vec_1 + 3, column, h_1_3);
    }
    if (4u * vec_2 + 0 < params.state_rows) {
      leave_state(run, state_head, 4u * vec_2 + 0, column, h_2_0);
    }
    if (4u * vec_2 + 1 < params.state_rows) {
      leave_state(run, state_head, 4u * vec_2 + 1, column, h_2_1);
    }
    if (4u * vec_2 + 2 < params.state_rows) {
      leave_state(run, state_head, 4u * vec_2 + 2, column, h_2_2);
    }
    if (4u * vec_2 + 3 < params.state_rows) {
      leave_state(run, state_head, 4u * vec_2 + 3, column, h_2_3);
    }
  }
}
