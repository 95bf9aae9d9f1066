struct Params {
  chunks_at: u32,
  chunk_count: u32,
  runs_at: u32,
  run_count: u32,
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
  value_at: u32,
  value_token_stride: u32,
  value_head_stride: u32,
  value_batch_stride: u32,
  output_at: u32,
  output_token_stride: u32,
  output_head_stride: u32,
  output_batch_stride: u32,
  decay_batch_stride: u32,
  decay_token_stride: u32,
  decay_head_stride: u32,
  decay_channel_stride: u32,
  beta_batch_stride: u32,
  beta_token_stride: u32,
  beta_head_stride: u32,
  given_rows: u32,
  state_stride: u32,
  column_tiles: u32,
  head_vecs: u32,
  state_rows: u32,
  value_vecs: u32,
  scale: f32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> decay: array<f32>;
@group(0) @binding(6) var<storage, read> beta: array<f32>;
@group(0) @binding(7) var<storage, read_write> state_pool: array<vec4<f32>>;
@group(0) @binding(8) var<uniform> params: Params;

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

fn decay_at(chunk: Chunk, token: u32, head: u32) -> u32 {
  return chunk.batch * params.decay_batch_stride + (chunk.token + token) * params.decay_token_stride + head * params.decay_head_stride;
}

fn decay_of(at: u32, channel: u32) -> f32 {
  return max(f32(decay[at + channel * params.decay_channel_stride]), -104.0);
}

fn kept_of(at: u32, vec: u32) -> vec4f {
  let last = params.state_rows - 1u;
  return exp(vec4f(
      decay_of(at, min(4u * vec + 0, last)),
      decay_of(at, min(4u * vec + 1, last)),
      decay_of(at, min(4u * vec + 2, last)),
      decay_of(at, min(4u * vec + 3, last)),
  ));
}

fn beta_at(chunk: Chunk, token: u32, head: u32) -> u32 {
  return chunk.batch * params.beta_batch_stride + (chunk.token + token) * params.beta_token_stride + head * params.beta_head_stride;
}

fn given_state_at(slot: u32, state_head: u32, row: u32) -> u32 {
  return ((slot * params.state_heads + state_head) * params.given_rows + row) * params.state_stride;
}

fn load_initial(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(state_pool[at + vec]);
}

fn store_final(base: u32, vec: u32, value: vec4f) {
  state_pool[base + vec] = vec4<f32>(value);
}

fn entering_state(run: StateRun, state_head: u32, row: u32, vec: u32) -> vec4f {
  if (run.initial_slot < 2147483648u) {
    let given_row = row;
    return load_initial(given_state_at(run.initial_slot, state_head, given_row), vec);
  }
  return vec4f(0.0);
}

fn leave_state(run: StateRun, state_head: u32, row: u32, vec: u32, state: vec4f) {
  if (run.final_slot < 2147483648u) {
    let given_row = row;
    store_final(given_state_at(run.final_slot, state_head, given_row), vec, state);
  }
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
  let live = column < params.value_vecs;
  var turn = 0u;
  let vec_0 = row_lane + 0 * 16;
  var h_0_0 = vec4f(0.0);
  var h_0_1 = vec4f(0.0);
  var h_0_2 = vec4f(0.0);
  var h_0_3 = vec4f(0.0);
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
  }
  for (var c = 0u; c < run.count; c++) {
    let chunk = chunk_of(run.first + c);
    for (var token = 0u; token < chunk.count; token++) {
      let key_base = key_at(chunk, token, key_head);
      let gates = decay_at(chunk, token, state_head);
      var k_0 = vec4f(0.0);
      if (vec_0 < params.head_vecs) {
        k_0 = load_key(key_base, vec_0);
        let kept = kept_of(gates, vec_0);
        h_0_0 *= kept[0];
        h_0_1 *= kept[1];
        h_0_2 *= kept[2];
        h_0_3 *= kept[3];
      }
      var u = vec4f(0.0);
      if (live) {
        u = load_value(value_at(chunk, token, state_head), column);
      }
      var part = vec4f(0.0);
      part = fma(vec4f(k_0[0]), h_0_0, part);
      part = fma(vec4f(k_0[1]), h_0_1, part);
      part = fma(vec4f(k_0[2]), h_0_2, part);
      part = fma(vec4f(k_0[3]), h_0_3, part);
      let strength = f32(beta[beta_at(chunk, token, state_head)]);
      u = strength * (u - sum_of(turn % 2u, lane, part));
      turn++;
      h_0_0 = fma(vec4f(k_0[0]), u, h_0_0);
      h_0_1 = fma(vec4f(k_0[1]), u, h_0_1);
      h_0_2 = fma(vec4f(k_0[2]), u, h_0_2);
      h_0_3 = fma(vec4f(k_0[3]), u, h_0_3);
      for (var member = 0u; member < members; member++) {
        let head = state_head * members + member;
        let query_base = query_at(chunk, token, query_head_of(head));
        var part = vec4f(0.0);
        if (vec_0 < params.head_vecs) {
          let q = load_query(query_base, vec_0);
          part = fma(vec4f(q[0]), h_0_0, part);
          part = fma(vec4f(q[1]), h_0_1, part);
          part = fma(vec4f(q[2]), h_0_2, part);
          part = fma(vec4f(q[3]), h_0_3, part);
        }
        let sum = sum_of(turn % 2u, lane, part);
        turn++;
        if (live && row_lane == 0u) {
          store_output(output_at(chunk, token, head), column, params.scale * sum);
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
  }
}
