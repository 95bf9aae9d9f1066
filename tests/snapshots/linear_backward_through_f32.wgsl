struct Params {
  chunks_at: u32,
  chunk_count: u32,
  heads: u32,
  query_heads: u32,
  key_heads: u32,
  state_heads: u32,
  head_vecs: u32,
  state_rows: u32,
  state_vecs: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read> gates: array<vec4f>;
@group(0) @binding(2) var<storage, read> states: array<vec4f>;
@group(0) @binding(3) var<storage, read> state_gradients: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> through: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

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

fn query_head_of(head: u32) -> u32 {
  return head * params.query_heads / params.heads;
}

fn state_head_of(head: u32) -> u32 {
  return head * params.state_heads / params.heads;
}

fn key_head_of(state_head: u32) -> u32 {
  return state_head * params.key_heads / params.state_heads;
}

fn gate_of(row: u32, state_head: u32, vec: u32) -> vec4f {
  return gates[(row * params.state_heads + state_head) * params.head_vecs + vec];
}

fn state_at(chunk_index: u32, state_head: u32, row: u32) -> u32 {
  return ((chunk_index * params.state_heads + state_head) * params.state_rows + row) * params.state_vecs;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  let width = 4u * params.head_vecs;
  let row = index % width;
  let state_head = index / width % params.state_heads;
  let chunk_index = index / (width * params.state_heads);
  if (chunk_index >= params.chunk_count) {
    return;
  }
  var sum = 0.0;
  if (row < params.state_rows) {
    let at = state_at(chunk_index, state_head, row);
    var sums = vec4f(0.0);
    for (var vec = 0u; vec < params.state_vecs; vec++) {
      sums = fma(states[at + vec], state_gradients[at + vec], sums);
    }
    let chunk = chunk_of(chunk_index);
    let end = gate_of(chunk.row + chunk.count - 1u, state_head, row / 4u)[row % 4u];
    sum = exp(end) * (sums.x + sums.y + sums.z + sums.w);
  }
  through[index] = sum;
}
