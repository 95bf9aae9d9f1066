struct Params {
  chunks_at: u32,
  chunk_count: u32,
  runs_at: u32,
  run_count: u32,
  heads: u32,
  query_heads: u32,
  key_heads: u32,
  state_heads: u32,
  state_rows: u32,
  state_vecs: u32,
  head_dim: u32,
  head_vecs: u32,
  given_rows: u32,
  state_stride: u32,
  state_dim: u32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read_write> states: array<vec4f>;
@group(0) @binding(2) var<storage, read> initial_state: array<f32>;
@group(0) @binding(3) var<storage, read_write> final_state: array<f32>;
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

fn state_at(chunk_index: u32, state_head: u32, row: u32) -> u32 {
  return ((chunk_index * params.state_heads + state_head) * params.state_rows + row) * params.state_vecs;
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

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  let vec = index % params.state_vecs;
  let row = index / params.state_vecs % params.state_rows;
  let place = index / (params.state_vecs * params.state_rows);
  let state_head = place % params.state_heads;
  let run_index = place / params.state_heads;
  if (run_index >= params.run_count) {
    return;
  }
  let run = run_of(run_index);
  var state = entering_state(run, state_head, row, vec);
  for (var i = 0u; i < run.count; i++) {
    let item = run.first + i;
    let at = state_at(item, state_head, row) + vec;
    let own = states[at];
    states[at] = state;
    state += own;
  }
  leave_state(run, state_head, row, vec, state);
}
