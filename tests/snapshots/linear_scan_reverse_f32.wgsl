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
  head_vecs: u32,
  given_rows: u32,
  state_stride: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read_write> states: array<vec4f>;
@group(0) @binding(2) var<storage, read> gates: array<vec4f>;
@group(0) @binding(3) var<storage, read> initial_state: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> final_state: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> kept_states: array<vec4f>;
@group(0) @binding(6) var<uniform> params: Params;

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

fn gate_of(row: u32, state_head: u32, vec: u32) -> vec4f {
  return gates[(row * params.state_heads + state_head) * params.head_vecs + vec];
}

fn given_state_at(slot: u32, state_head: u32, row: u32) -> u32 {
  return ((slot * params.state_heads + state_head) * params.given_rows + row) * params.state_stride;
}

fn load_initial(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(initial_state[at + vec]);
}

fn store_final(base: u32, vec: u32, value: vec4f) {
  final_state[base + vec] = vec4<f32>(value);
}

fn entering_state(run: StateRun, state_head: u32, row: u32, vec: u32) -> vec4f {
  if (run.final_slot < 2147483648u) {
    let given_row = row;
    return load_initial(given_state_at(run.final_slot, state_head, given_row), vec);
  }
  if (run.final_slot >= 2147483648u && run.final_slot != 4294967295u) {
    return kept_states[state_at(run.final_slot - 2147483648u, state_head, row) + vec];
  }
  return vec4f(0.0);
}

fn leave_state(run: StateRun, state_head: u32, row: u32, vec: u32, state: vec4f) {
  if (run.initial_slot < 2147483648u) {
    let given_row = row;
    store_final(given_state_at(run.initial_slot, state_head, given_row), vec, state);
  }
  if (run.initial_slot >= 2147483648u && run.initial_slot != 4294967295u) {
    kept_states[state_at(run.initial_slot - 2147483648u, state_head, row) + vec] = state;
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
  var gates_sum = 0.0;
  for (var i = 0u; i < run.count; i++) {
    let item = run.first + run.count - 1u - i;
    let at = state_at(item, state_head, row) + vec;
    let own = states[at];
    states[at] = state;
    let chunk = chunk_of(item);
    let end = gate_of(chunk.row + chunk.count - 1u, state_head, row / 4u)[row % 4u];
    gates_sum += end;
    state = fma(vec4f(exp(end)), state, own);
  }
  leave_state(run, state_head, row, vec, state);
}
