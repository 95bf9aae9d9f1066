struct Params {
  row_vecs: u32,
  sequences_at: u32,
  group: u32,
  tiles_at: u32,
  group_count: u32,
  grid_width: u32,
  query_gradient_token_stride: u32,
  query_gradient_head_stride: u32,
  head_vecs: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> sums: array<vec4f>;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(2) var<storage, read_write> query_gradient: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

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

struct MergeTile {
  sequence: u32,
  first_row: u32,
  states_at: u32,
  state_count: u32,
  row_count: u32,
  kv_head: u32,
}

fn read_tile(at: u32) -> MergeTile {
  return MergeTile(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
    schedule[at + 3],
    schedule[at + 4],
    schedule[at + 5],
  );
}

struct State {
  row: u32,
  stride: u32,
}

fn read_state(at: u32) -> State {
  return State(
    schedule[at + 0],
    schedule[at + 1],
  );
}

fn store_query_gradient(base: u32, vec: u32, value: vec4f) {
  query_gradient[base + vec] = vec4<f32>(value);
}

fn query_gradient_place(token: u32, head: u32) -> u32 {
  return token * params.query_gradient_token_stride + head * params.query_gradient_head_stride;
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
  for (var index = lane; index < tile.row_count * params.row_vecs; index += 8) {
    let local = index / params.row_vecs;
    let vec = index - local * params.row_vecs;
    let row = tile.first_row + local;
    let query = row / params.group;
    let head = kv_head * params.group + row - query * params.group;
    let token = sequence.query_start + query;
    var gradient = vec4f(0.0);
    for (var i = 0u; i < tile.state_count; i++) {
      let state = read_state(tile.states_at + i * 2);
      let at = state.row + kv_head * state.stride + local;
      gradient += sums[at * params.row_vecs + vec];
    }
    store_query_gradient(query_gradient_place(token, head), vec, gradient);
  }
}
