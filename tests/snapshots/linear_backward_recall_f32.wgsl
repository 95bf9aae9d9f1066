struct Params {
  chunks_at: u32,
  chunk_count: u32,
  heads: u32,
  query_heads: u32,
  key_heads: u32,
  state_heads: u32,
  value_vecs: u32,
  state_rows: u32,
  state_vecs: u32,
  score_vecs: u32,
  key_at: u32,
  key_token_stride: u32,
  key_head_stride: u32,
  key_batch_stride: u32,
  head_vecs: u32,
  scale: f32,
  sub_chunk: u32,
  grid_heads: u32,
  row_tiles: u32,
  column_tiles: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read> output_gradient: array<vec4f>;
@group(0) @binding(2) var<storage, read> states: array<vec4f>;
@group(0) @binding(3) var<storage, read> scores: array<vec4f>;
@group(0) @binding(4) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> key_terms: array<vec4f>;
@group(0) @binding(6) var<storage, read> gates: array<vec4f>;
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

fn query_head_of(head: u32) -> u32 {
  return head * params.query_heads / params.heads;
}

fn state_head_of(head: u32) -> u32 {
  return head * params.state_heads / params.heads;
}

fn key_head_of(state_head: u32) -> u32 {
  return state_head * params.key_heads / params.state_heads;
}

fn output_gradient_at(chunk: Chunk, token: u32, state_head: u32) -> u32 {
  return ((chunk.row + token) * params.state_heads + state_head) * params.value_vecs;
}

fn output_gradient_block(chunk: Chunk, state_head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), output_gradient[output_gradient_at(chunk, min(token + 0, last), state_head) + vec], token + 0 <= last),
    select(vec4f(0.0), output_gradient[output_gradient_at(chunk, min(token + 1, last), state_head) + vec], token + 1 <= last),
    select(vec4f(0.0), output_gradient[output_gradient_at(chunk, min(token + 2, last), state_head) + vec], token + 2 <= last),
    select(vec4f(0.0), output_gradient[output_gradient_at(chunk, min(token + 3, last), state_head) + vec], token + 3 <= last),
  );
}

fn state_at(chunk_index: u32, state_head: u32, row: u32) -> u32 {
  return ((chunk_index * params.state_heads + state_head) * params.state_rows + row) * params.state_vecs;
}

fn state_block(chunk_index: u32, state_head: u32, row: u32, vec: u32) -> mat4x4f {
  let last = params.state_rows - 1u;
  return mat4x4f(
    select(vec4f(0.0), states[state_at(chunk_index, state_head, min(row + 0, last)) + vec], row + 0 <= last),
    select(vec4f(0.0), states[state_at(chunk_index, state_head, min(row + 1, last)) + vec], row + 1 <= last),
    select(vec4f(0.0), states[state_at(chunk_index, state_head, min(row + 2, last)) + vec], row + 2 <= last),
    select(vec4f(0.0), states[state_at(chunk_index, state_head, min(row + 3, last)) + vec], row + 3 <= last),
  );
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

fn key_terms_at(row: u32, state_head: u32, part: u32) -> u32 {
  return ((row * params.state_heads + state_head) * 3u + part) * params.head_vecs;
}

fn gate_of(row: u32, state_head: u32, vec: u32) -> vec4f {
  return gates[(row * params.state_heads + state_head) * params.head_vecs + vec];
}

fn weighted(block: mat4x4f, weights: mat4x4f) -> mat4x4f {
  return mat4x4f(
    block[0] * weights[0],
    block[1] * weights[1],
    block[2] * weights[2],
    block[3] * weights[3],
  );
}

fn from_start(chunk: Chunk, state_head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.row + chunk.count - 1u;
  var weights = mat4x4f();
  {
    let own = gate_of(min(chunk.row + token + 0, last), state_head, vec);
    weights[0] = exp(own);
  }
  {
    let own = gate_of(min(chunk.row + token + 1, last), state_head, vec);
    weights[1] = exp(own);
  }
  {
    let own = gate_of(min(chunk.row + token + 2, last), state_head, vec);
    weights[2] = exp(own);
  }
  {
    let own = gate_of(min(chunk.row + token + 3, last), state_head, vec);
    weights[3] = exp(own);
  }
  return weights;
}

fn from_reference(chunk: Chunk, state_head: u32, token: u32, vec: u32, reference: u32) -> mat4x4f {
  let last = chunk.row + chunk.count - 1u;
  let base = gate_of(chunk.row + reference, state_head, vec);
  var weights = mat4x4f();
  {
    let own = gate_of(min(chunk.row + token + 0, last), state_head, vec);
    weights[0] = exp(own - base);
  }
  {
    let own = gate_of(min(chunk.row + token + 1, last), state_head, vec);
    weights[1] = exp(own - base);
  }
  {
    let own = gate_of(min(chunk.row + token + 2, last), state_head, vec);
    weights[2] = exp(own - base);
  }
  {
    let own = gate_of(min(chunk.row + token + 3, last), state_head, vec);
    weights[3] = exp(own - base);
  }
  return weights;
}

fn to_reference(chunk: Chunk, state_head: u32, token: u32, vec: u32, reference: u32) -> mat4x4f {
  let last = chunk.row + chunk.count - 1u;
  let base = gate_of(chunk.row + reference, state_head, vec);
  var weights = mat4x4f();
  {
    let own = gate_of(min(chunk.row + token + 0, last), state_head, vec);
    weights[0] = exp(base - own);
  }
  {
    let own = gate_of(min(chunk.row + token + 1, last), state_head, vec);
    weights[1] = exp(base - own);
  }
  {
    let own = gate_of(min(chunk.row + token + 2, last), state_head, vec);
    weights[2] = exp(base - own);
  }
  {
    let own = gate_of(min(chunk.row + token + 3, last), state_head, vec);
    weights[3] = exp(base - own);
  }
  return weights;
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let column_tile = group % params.column_tiles;
  let row_tile = group / params.column_tiles % params.row_tiles;
  let place = group / (params.column_tiles * params.row_tiles);
  let head = place % params.grid_heads;
  let chunk_index = place / params.grid_heads;
  if (chunk_index >= params.chunk_count) {
    return;
  }
  let chunk = chunk_of(chunk_index);
  let row_end = (row_tile + 1u) * 32;
  let columns = 4u * params.head_vecs;
  if (column_tile * 4 >= columns) {
    return;
  }
  let last_column = (columns - 1u) / 4u * 4u;
  let row = row_tile * 32 + 4u * lane;
  let first_column = column_tile * 4;
  if (row >= chunk.count) {
    return;
  }
  let column_0 = min(first_column + 0 * 4u * 1, last_column);
  var sum_0_0 = vec4f(0.0);
  var sum_1_0 = vec4f(0.0);
  var sum_2_0 = vec4f(0.0);
  var sum_3_0 = vec4f(0.0);
  if (first_column > last_column) {
    return;
  }
  let column = column_0;
  let vec = column / 4u;
  let end = (head + 1u) * params.heads / params.query_heads;
  for (var reader = head * params.heads / params.query_heads; reader < end; reader++) {
    let state_head = state_head_of(reader);
    let key_head = key_head_of(state_head);
    sum_0_0 = vec4f(0.0);
    sum_1_0 = vec4f(0.0);
    sum_2_0 = vec4f(0.0);
    sum_3_0 = vec4f(0.0);
    for (var depth = 0u; depth < 4u * params.state_vecs; depth += 4u) {
      let left = transpose(output_gradient_block(chunk, reader, row, depth / 4u));
      {
        let column = column_0;
        let right = transpose(state_block(chunk_index, state_head, column, depth / 4u));
        sum_0_0 = fma(vec4f(left[0][0]), right[0], sum_0_0);
        sum_1_0 = fma(vec4f(left[0][1]), right[0], sum_1_0);
        sum_2_0 = fma(vec4f(left[0][2]), right[0], sum_2_0);
        sum_3_0 = fma(vec4f(left[0][3]), right[0], sum_3_0);
        sum_0_0 = fma(vec4f(left[1][0]), right[1], sum_0_0);
        sum_1_0 = fma(vec4f(left[1][1]), right[1], sum_1_0);
        sum_2_0 = fma(vec4f(left[1][2]), right[1], sum_2_0);
        sum_3_0 = fma(vec4f(left[1][3]), right[1], sum_3_0);
        sum_0_0 = fma(vec4f(left[2][0]), right[2], sum_0_0);
        sum_1_0 = fma(vec4f(left[2][1]), right[2], sum_1_0);
        sum_2_0 = fma(vec4f(left[2][2]), right[2], sum_2_0);
        sum_3_0 = fma(vec4f(left[2][3]), right[2], sum_3_0);
        sum_0_0 = fma(vec4f(left[3][0]), right[3], sum_0_0);
        sum_1_0 = fma(vec4f(left[3][1]), right[3], sum_1_0);
        sum_2_0 = fma(vec4f(left[3][2]), right[3], sum_2_0);
        sum_3_0 = fma(vec4f(left[3][3]), right[3], sum_3_0);
      }
    }
    let reference = row / params.sub_chunk * params.sub_chunk;
    let base = params.scale * exp(gate_of(chunk.row + reference, state_head, vec));
    sum_0_0 *= base;
    sum_1_0 *= base;
    sum_2_0 *= base;
    sum_3_0 *= base;
    for (var depth = 0u; depth < reference; depth += 4u) {
      let left = transpose(score_block(chunk, reader, row, depth / 4u));
      {
        let column = column_0;
        let right = weighted(key_block(chunk, key_head, depth, vec), to_reference(chunk, state_head, depth, vec, reference));
        sum_0_0 = fma(vec4f(left[0][0]), right[0], sum_0_0);
        sum_1_0 = fma(vec4f(left[0][1]), right[0], sum_1_0);
        sum_2_0 = fma(vec4f(left[0][2]), right[0], sum_2_0);
        sum_3_0 = fma(vec4f(left[0][3]), right[0], sum_3_0);
        sum_0_0 = fma(vec4f(left[1][0]), right[1], sum_0_0);
        sum_1_0 = fma(vec4f(left[1][1]), right[1], sum_1_0);
        sum_2_0 = fma(vec4f(left[1][2]), right[1], sum_2_0);
        sum_3_0 = fma(vec4f(left[1][3]), right[1], sum_3_0);
        sum_0_0 = fma(vec4f(left[2][0]), right[2], sum_0_0);
        sum_1_0 = fma(vec4f(left[2][1]), right[2], sum_1_0);
        sum_2_0 = fma(vec4f(left[2][2]), right[2], sum_2_0);
        sum_3_0 = fma(vec4f(left[2][3]), right[2], sum_3_0);
        sum_0_0 = fma(vec4f(left[3][0]), right[3], sum_0_0);
        sum_1_0 = fma(vec4f(left[3][1]), right[3], sum_1_0);
        sum_2_0 = fma(vec4f(left[3][2]), right[3], sum_2_0);
        sum_3_0 = fma(vec4f(left[3][3]), right[3], sum_3_0);
      }
    }
    let passed = from_reference(chunk, state_head, row, vec, reference);
    sum_0_0 *= passed[0];
    sum_1_0 *= passed[1];
    sum_2_0 *= passed[2];
    sum_3_0 *= passed[3];
    let last = chunk.count - 1u;
    for (var depth = reference; depth <= row; depth += 4u) {
      let weights = score_block(chunk, reader, row, depth / 4u);
      let key = key_block(chunk, key_head, depth, vec);
      let gate_0 = gate_of(chunk.row + min(depth + 0, last), state_head, vec);
      let gate_1 = gate_of(chunk.row + min(depth + 1, last), state_head, vec);
      let gate_2 = gate_of(chunk.row + min(depth + 2, last), state_head, vec);
      let gate_3 = gate_of(chunk.row + min(depth + 3, last), state_head, vec);
      {
        let own = gate_of(chunk.row + min(row + 0, last), state_head, vec);
        sum_0_0 = fma(vec4f(select(0.0, weights[0][0], depth + 0 < row + 0)),
          key[0] * exp(min(own - gate_0, vec4f(0.0))), sum_0_0);
        sum_0_0 = fma(vec4f(select(0.0, weights[0][1], depth + 1 < row + 0)),
          key[1] * exp(min(own - gate_1, vec4f(0.0))), sum_0_0);
        sum_0_0 = fma(vec4f(select(0.0, weights[0][2], depth + 2 < row + 0)),
          key[2] * exp(min(own - gate_2, vec4f(0.0))), sum_0_0);
        sum_0_0 = fma(vec4f(select(0.0, weights[0][3], depth + 3 < row + 0)),
          key[3] * exp(min(own - gate_3, vec4f(0.0))), sum_0_0);
      }
      {
        let own = gate_of(chunk.row + min(row + 1, last), state_head, vec);
        sum_1_0 = fma(vec4f(select(0.0, weights[1][0], depth + 0 < row + 1)),
          key[0] * exp(min(own - gate_0, vec4f(0.0))), sum_1_0);
        sum_1_0 = fma(vec4f(select(0.0, weights[1][1], depth + 1 < row + 1)),
          key[1] * exp(min(own - gate_1, vec4f(0.0))), sum_1_0);
        sum_1_0 = fma(vec4f(select(0.0, weights[1][2], depth + 2 < row + 1)),
          key[2] * exp(min(own - gate_2, vec4f(0.0))), sum_1_0);
        sum_1_0 = fma(vec4f(select(0.0, weights[1][3], depth + 3 < row + 1)),
          key[3] * exp(min(own - gate_3, vec4f(0.0))), sum_1_0);
      }
      {
        let own = gate_of(chunk.row + min(row + 2, last), state_head, vec);
        sum_2_0 = fma(vec4f(select(0.0, weights[2][0], depth + 0 < row + 2)),
          key[0] * exp(min(own - gate_0, vec4f(0.0))), sum_2_0);
        sum_2_0 = fma(vec4f(select(0.0, weights[2][1], depth + 1 < row + 2)),
          key[1] * exp(min(own - gate_1, vec4f(0.0))), sum_2_0);
        sum_2_0 = fma(vec4f(select(0.0, weights[2][2], depth + 2 < row + 2)),
          key[2] * exp(min(own - gate_2, vec4f(0.0))), sum_2_0);
        sum_2_0 = fma(vec4f(select(0.0, weights[2][3], depth + 3 < row + 2)),
          key[3] * exp(min(own - gate_3, vec4f(0.0))), sum_2_0);
      }
      {
        let own = gate_of(chunk.row + min(row + 3, last), state_head, vec);
        sum_3_0 = fma(vec4f(select(0.0, weights[3][0], depth + 0 < row + 3)),
          key[0] * exp(min(own - gate_0, vec4f(0.0))), sum_3_0);
        sum_3_0 = fma(vec4f(select(0.0, weights[3][1], depth + 1 < row + 3)),
          key[1] * exp(min(own - gate_1, vec4f(0.0))), sum_3_0);
        sum_3_0 = fma(vec4f(select(0.0, weights[3][2], depth + 2 < row + 3)),
          key[2] * exp(min(own - gate_2, vec4f(0.0))), sum_3_0);
        sum_3_0 = fma(vec4f(select(0.0, weights[3][3], depth + 3 < row + 3)),
          key[3] * exp(min(own - gate_3, vec4f(0.0))), sum_3_0);
      }
    }
    let own_weights = score_block(chunk, reader, row, row / 4u);
    let own_key = key_block(chunk, key_head, row, vec);
    if (row + 0 < chunk.count) {
      key_terms[key_terms_at(chunk.row + row + 0, reader, 2u) + vec] = sum_0_0;
    }
    if (row + 1 < chunk.count) {
      key_terms[key_terms_at(chunk.row + row + 1, reader, 2u) + vec] = sum_1_0;
    }
    if (row + 2 < chunk.count) {
      key_terms[key_terms_at(chunk.row + row + 2, reader, 2u) + vec] = sum_2_0;
    }
    if (row + 3 < chunk.count) {
      key_terms[key_terms_at(chunk.row + row + 3, reader, 2u) + vec] = sum_3_0;
    }
  }
  if (first_column + 0 * 4u * 1 <= last_column) {
    let column = column_0;
    let sum_0 = sum_0_0;
    let sum_1 = sum_1_0;
    let sum_2 = sum_2_0;
    let sum_3 = sum_3_0;
  }
}
