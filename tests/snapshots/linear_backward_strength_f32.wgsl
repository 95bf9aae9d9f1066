struct Params {
  chunks_at: u32,
  chunk_count: u32,
  heads: u32,
  query_heads: u32,
  key_heads: u32,
  state_heads: u32,
  value_vecs: u32,
  value_gradient_at: u32,
  value_gradient_token_stride: u32,
  value_gradient_head_stride: u32,
  value_gradient_batch_stride: u32,
  chunk_tokens: u32,
  sequence_tokens: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read> rest: array<vec4f>;
@group(0) @binding(2) var<storage, read> residual: array<vec4f>;
@group(0) @binding(3) var<storage, read> written: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> value_gradient: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> strength_terms: array<f32>;
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

fn query_head_of(head: u32) -> u32 {
  return head * params.query_heads / params.heads;
}

fn state_head_of(head: u32) -> u32 {
  return head * params.state_heads / params.heads;
}

fn key_head_of(state_head: u32) -> u32 {
  return state_head * params.key_heads / params.state_heads;
}

fn rest_at(chunk: Chunk, token: u32, state_head: u32) -> u32 {
  return ((chunk.row + token) * params.state_heads + state_head) * params.value_vecs;
}

fn rest_block(chunk: Chunk, state_head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), rest[rest_at(chunk, min(token + 0, last), state_head) + vec], token + 0 <= last),
    select(vec4f(0.0), rest[rest_at(chunk, min(token + 1, last), state_head) + vec], token + 1 <= last),
    select(vec4f(0.0), rest[rest_at(chunk, min(token + 2, last), state_head) + vec], token + 2 <= last),
    select(vec4f(0.0), rest[rest_at(chunk, min(token + 3, last), state_head) + vec], token + 3 <= last),
  );
}

fn residual_at(chunk: Chunk, token: u32, state_head: u32) -> u32 {
  return ((chunk.row + token) * params.state_heads + state_head) * params.value_vecs;
}

fn residual_block(chunk: Chunk, state_head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), residual[residual_at(chunk, min(token + 0, last), state_head) + vec], token + 0 <= last),
    select(vec4f(0.0), residual[residual_at(chunk, min(token + 1, last), state_head) + vec], token + 1 <= last),
    select(vec4f(0.0), residual[residual_at(chunk, min(token + 2, last), state_head) + vec], token + 2 <= last),
    select(vec4f(0.0), residual[residual_at(chunk, min(token + 3, last), state_head) + vec], token + 3 <= last),
  );
}

fn written_at(chunk: Chunk, token: u32, state_head: u32) -> u32 {
  return ((chunk.row + token) * params.state_heads + state_head) * params.value_vecs;
}

fn written_block(chunk: Chunk, state_head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), written[written_at(chunk, min(token + 0, last), state_head) + vec], token + 0 <= last),
    select(vec4f(0.0), written[written_at(chunk, min(token + 1, last), state_head) + vec], token + 1 <= last),
    select(vec4f(0.0), written[written_at(chunk, min(token + 2, last), state_head) + vec], token + 2 <= last),
    select(vec4f(0.0), written[written_at(chunk, min(token + 3, last), state_head) + vec], token + 3 <= last),
  );
}

fn value_gradient_place(batch: i32, token: u32, head: u32) -> u32 {
  return params.value_gradient_at + u32(batch) * params.value_gradient_batch_stride + token * params.value_gradient_token_stride + head * params.value_gradient_head_stride;
}

fn value_gradient_at(chunk: Chunk, token: u32, head: u32) -> u32 {
  return value_gradient_place(i32(chunk.batch), chunk.token + token, head);
}

fn store_value_gradient(base: u32, vec: u32, value: vec4f) {
  value_gradient[base + vec] = vec4<f32>(value);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  let state_head = index % params.state_heads;
  let token = index / params.state_heads % params.chunk_tokens;
  let chunk_index = index / (params.state_heads * params.chunk_tokens);
  if (chunk_index >= params.chunk_count) {
    return;
  }
  let chunk = chunk_of(chunk_index);
  if (token >= chunk.count) {
    return;
  }
  let at = rest_at(chunk, token, state_head);
  let value_at = value_gradient_at(chunk, token, state_head);
  var sum = vec4f(0.0);
  for (var vec = 0u; vec < params.value_vecs; vec++) {
    sum = fma(rest[at + vec], residual[at + vec], sum);
    store_value_gradient(value_at, vec, written[at + vec]);
  }
  let place = chunk.batch * params.sequence_tokens + chunk.token + token;
  strength_terms[place * params.state_heads + state_head] = sum.x + sum.y + sum.z + sum.w;
}
