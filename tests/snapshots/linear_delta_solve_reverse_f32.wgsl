struct Params {
  chunks_at: u32,
  chunk_count: u32,
  heads: u32,
  query_heads: u32,
  key_heads: u32,
  state_heads: u32,
  score_vecs: u32,
  beta_batch_stride: u32,
  beta_token_stride: u32,
  beta_head_stride: u32,
  value_vecs: u32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read> scores: array<vec4f>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
@group(0) @binding(3) var<storage, read> rest: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> solved: array<vec4f>;
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

fn score_at(row: u32, head: u32) -> u32 {
  return (row * params.heads + head) * params.score_vecs;
}

fn score_block(chunk: Chunk, head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), scores[score_at(chunk.row + min(token + 0, last), head) + vec], token + 0 <= last),
    select(vec4f(0.0), scores[score_at(chunk.row + min(token + 1, last), head) + vec], token + 1 <= last),
    select(vec4f(0.0), scores[score_at(chunk.row + min(token + 2, last), head) + vec], token + 2 <= last),
    select(vec4f(0.0), scores[score_at(chunk.row + min(token + 3, last), head) + vec], token + 3 <= last),
  );
}

fn beta_at(chunk: Chunk, token: u32, head: u32) -> u32 {
  return chunk.batch * params.beta_batch_stride + (chunk.token + token) * params.beta_token_stride + head * params.beta_head_stride;
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

fn solved_at(chunk: Chunk, token: u32, state_head: u32) -> u32 {
  return ((chunk.row + token) * params.state_heads + state_head) * params.value_vecs;
}

fn solved_block(chunk: Chunk, state_head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), solved[solved_at(chunk, min(token + 0, last), state_head) + vec], token + 0 <= last),
    select(vec4f(0.0), solved[solved_at(chunk, min(token + 1, last), state_head) + vec], token + 1 <= last),
    select(vec4f(0.0), solved[solved_at(chunk, min(token + 2, last), state_head) + vec], token + 2 <= last),
    select(vec4f(0.0), solved[solved_at(chunk, min(token + 3, last), state_head) + vec], token + 3 <= last),
  );
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  let vec = index % params.value_vecs;
  let state_head = index / params.value_vecs % params.state_heads;
  let chunk_index = index / (params.value_vecs * params.state_heads);
  if (chunk_index >= params.chunk_count) {
    return;
  }
  let chunk = chunk_of(chunk_index);
  for (var first = 0u; first < chunk.count; first += 4u) {
    let row = (chunk.count - 1u) / 4u * 4u - first;
    let beta_0 = f32(beta[beta_at(chunk, min(row + 0, chunk.count - 1u), state_head)]);
    let beta_1 = f32(beta[beta_at(chunk, min(row + 1, chunk.count - 1u), state_head)]);
    let beta_2 = f32(beta[beta_at(chunk, min(row + 2, chunk.count - 1u), state_head)]);
    let beta_3 = f32(beta[beta_at(chunk, min(row + 3, chunk.count - 1u), state_head)]);
    let right = rest_block(chunk, state_head, row, vec);
    var x_0 = right[0];
    var x_1 = right[1];
    var x_2 = right[2];
    var x_3 = right[3];
    for (var after = row + 4u; after < chunk.count; after += 4u) {
      let scores = transpose(score_block(chunk, state_head, after, row / 4u));
      let earlier = solved_block(chunk, state_head, after, vec);
      x_0 = fma(vec4f(-scores[0][0]), earlier[0], x_0);
      x_1 = fma(vec4f(-scores[1][0]), earlier[0], x_1);
      x_2 = fma(vec4f(-scores[2][0]), earlier[0], x_2);
      x_3 = fma(vec4f(-scores[3][0]), earlier[0], x_3);
      x_0 = fma(vec4f(-scores[0][1]), earlier[1], x_0);
      x_1 = fma(vec4f(-scores[1][1]), earlier[1], x_1);
      x_2 = fma(vec4f(-scores[2][1]), earlier[1], x_2);
      x_3 = fma(vec4f(-scores[3][1]), earlier[1], x_3);
      x_0 = fma(vec4f(-scores[0][2]), earlier[2], x_0);
      x_1 = fma(vec4f(-scores[1][2]), earlier[2], x_1);
      x_2 = fma(vec4f(-scores[2][2]), earlier[2], x_2);
      x_3 = fma(vec4f(-scores[3][2]), earlier[2], x_3);
      x_0 = fma(vec4f(-scores[0][3]), earlier[3], x_0);
      x_1 = fma(vec4f(-scores[1][3]), earlier[3], x_1);
      x_2 = fma(vec4f(-scores[2][3]), earlier[3], x_2);
      x_3 = fma(vec4f(-scores[3][3]), earlier[3], x_3);
    }
    let own = score_block(chunk, state_head, row, row / 4u);
    x_0 *= beta_0;
    x_1 *= beta_1;
    x_2 *= beta_2;
    x_3 *= beta_3;
    x_2 -= beta_2 * (own[3][2] * x_3);
    x_1 -= beta_1 * (own[2][1] * x_2 + own[3][1] * x_3);
    x_0 -= beta_0 * (own[1][0] * x_1 + own[2][0] * x_2 + own[3][0] * x_3);
    if (row + 0 < chunk.count) {
      solved[solved_at(chunk, row + 0, state_head) + vec] = x_0;
    }
    if (row + 1 < chunk.count) {
      solved[solved_at(chunk, row + 1, state_head) + vec] = x_1;
    }
    if (row + 2 < chunk.count) {
      solved[solved_at(chunk, row + 2, state_head) + vec] = x_2;
    }
    if (row + 3 < chunk.count) {
      solved[solved_at(chunk, row + 3, state_head) + vec] = x_3;
    }
  }
}
