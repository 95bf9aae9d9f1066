struct Params {
  chunks_at: u32,
  chunk_count: u32,
  query_at: u32,
  query_token_stride: u32,
  query_head_stride: u32,
  query_batch_stride: u32,
  key_at: u32,
  key_token_stride: u32,
  key_head_stride: u32,
  key_batch_stride: u32,
  heads: u32,
  query_heads: u32,
  key_heads: u32,
  state_heads: u32,
  head_vecs: u32,
  gate_stride: u32,
  sequence_tokens: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> query_terms: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> key_terms: array<vec4f>;
@group(0) @binding(5) var<storage, read> through: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> gate_terms: array<vec4<f32>>;
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

fn query_block(chunk: Chunk, head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), load_query(query_at(chunk, min(token + 0, last), head), vec), token + 0 <= last),
    select(vec4f(0.0), load_query(query_at(chunk, min(token + 1, last), head), vec), token + 1 <= last),
    select(vec4f(0.0), load_query(query_at(chunk, min(token + 2, last), head), vec), token + 2 <= last),
    select(vec4f(0.0), load_query(query_at(chunk, min(token + 3, last), head), vec), token + 3 <= last),
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

fn key_block(chunk: Chunk, head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), load_key(key_at(chunk, min(token + 0, last), head), vec), token + 0 <= last),
    select(vec4f(0.0), load_key(key_at(chunk, min(token + 1, last), head), vec), token + 1 <= last),
    select(vec4f(0.0), load_key(key_at(chunk, min(token + 2, last), head), vec), token + 2 <= last),
    select(vec4f(0.0), load_key(key_at(chunk, min(token + 3, last), head), vec), token + 3 <= last),
  );
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

fn query_terms_at(row: u32, head: u32) -> u32 {
  return (row * params.heads + head) * params.head_vecs;
}

fn key_terms_at(row: u32, state_head: u32, part: u32) -> u32 {
  return ((row * params.state_heads + state_head) * 3u + part) * params.head_vecs;
}

fn first_reader(state_head: u32) -> u32 {
  return state_head * params.heads / params.state_heads;
}

fn store_gate(base: u32, vec: u32, value: vec4f) {
  gate_terms[base + vec] = vec4<f32>(value);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  let vec = index % params.head_vecs;
  let state_head = index / params.head_vecs % params.state_heads;
  let chunk_index = index / (params.head_vecs * params.state_heads);
  if (chunk_index >= params.chunk_count) {
    return;
  }
  let chunk = chunk_of(chunk_index);
  let key_head = key_head_of(state_head);
  var before = through[index];
  for (var token = 0u; token < chunk.count; token++) {
    let at = key_terms_at(chunk.row + token, state_head, 1u) + vec;
    let leaving = key_terms[at];
    key_terms[at] = before;
    before = fma(load_key(key_at(chunk, token, key_head), vec), leaving, before);
  }
  var after = vec4f(0.0);
  for (var c = 0u; c < chunk.count; c++) {
    let token = chunk.count - 1u - c;
    let row = chunk.row + token;
    let key = load_key(key_at(chunk, token, key_head), vec);
    var own = -key * key_terms[key_terms_at(row, state_head, 0u) + vec];
    for (var reader = first_reader(state_head); reader < first_reader(state_head + 1u); reader++) {
      let query = load_query(query_at(chunk, token, query_head_of(reader)), vec);
      own = fma(query, query_terms[query_terms_at(row, reader) + vec], own);
    }
    after += own;
    let place = chunk.batch * params.sequence_tokens + chunk.token + token;
    store_gate((place * params.state_heads + state_head) * params.gate_stride, vec,
      key_terms[key_terms_at(row, state_head, 1u) + vec] + after);
  }
}
