struct Params {
  block: u32,
  given_blocks: u32,
  blocks: u32,
  sequences: u32,
  heads: u32,
  pooled_heads: u32,
  head_group: u32,
  head_dim: u32,
  head_vecs: u32,
  gate_dim: u32,
  gate_vecs: u32,
  weight_stride: u32,
  row_tiles: u32,
  column_tiles: u32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> spans: array<u32>;
@group(0) @binding(1) var<storage, read> pooled: array<vec4f>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> projected: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

struct Span {
  at: u32,
  first: u32,
  count: u32,
}

fn read_span(at: u32) -> Span {
  return Span(
    spans[at + 0],
    spans[at + 1],
    spans[at + 2],
  );
}

fn pooled_block(plane: u32, first: u32, part: u32, vec: u32, total: u32) -> mat4x4f {
  var block = mat4x4f();
  if ((first + 0) * params.block < total) {
    let at = (plane * params.blocks + first + 0) * 3u;
    block[0] = pooled[(at + part) * params.head_vecs + vec];
    if (part == 2u) {
      block[0] /= f32(min(params.block, total - (first + 0) * params.block));
    }
  }
  if ((first + 1) * params.block < total) {
    let at = (plane * params.blocks + first + 1) * 3u;
    block[1] = pooled[(at + part) * params.head_vecs + vec];
    if (part == 2u) {
      block[1] /= f32(min(params.block, total - (first + 1) * params.block));
    }
  }
  if ((first + 2) * params.block < total) {
    let at = (plane * params.blocks + first + 2) * 3u;
    block[2] = pooled[(at + part) * params.head_vecs + vec];
    if (part == 2u) {
      block[2] /= f32(min(params.block, total - (first + 2) * params.block));
    }
  }
  if ((first + 3) * params.block < total) {
    let at = (plane * params.blocks + first + 3) * 3u;
    block[3] = pooled[(at + part) * params.head_vecs + vec];
    if (part == 2u) {
      block[3] /= f32(min(params.block, total - (first + 3) * params.block));
    }
  }
  return block;
}

fn load_weight(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(weight[at + vec]);
}

fn weight_block(head: u32, part: u32, depth: u32, vec: u32) -> mat4x4f {
  var block = mat4x4f();
  let first = (head * 3u + part) * params.head_dim;
  if (depth + 0 < params.head_dim) {
    block[0] = load_weight((first + depth + 0) * params.weight_stride, vec);
  }
  if (depth + 1 < params.head_dim) {
    block[1] = load_weight((first + depth + 1) * params.weight_stride, vec);
  }
  if (depth + 2 < params.head_dim) {
    block[2] = load_weight((first + depth + 2) * params.weight_stride, vec);
  }
  if (depth + 3 < params.head_dim) {
    block[3] = load_weight((first + depth + 3) * params.weight_stride, vec);
  }
  return block;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let column_tile = group % params.column_tiles;
  let row_tile = group / params.column_tiles % params.row_tiles;
  let place = group / (params.column_tiles * params.row_tiles);
  let head = place % params.heads;
  let sequence = place / params.heads;
  if (sequence >= params.sequences) {
    return;
  }
  let span = read_span(sequence * 3);
  let first_block = span.first / params.block;
  let total = span.first + span.count;
  let pooled_plane = sequence * params.pooled_heads + head / params.head_group;
  let row_end = (row_tile + 1u) * 32;
  let columns = params.gate_dim;
  if (column_tile * 32 >= columns) {
    return;
  }
  let last_column = (columns - 1u) / 4u * 4u;
  let row = row_tile * 32 + 4u * (lane / 8);
  let first_column = column_tile * 32 + 4u * (lane % 8);
  if (row >= params.given_blocks) {
    return;
  }
  let column_0 = min(first_column + 0 * 4u * 8, last_column);
  var sum_0_0 = vec4f(0.0);
  var sum_1_0 = vec4f(0.0);
  var sum_2_0 = vec4f(0.0);
  var sum_3_0 = vec4f(0.0);
  for (var depth = 0u; depth < params.head_dim; depth += 4u) {
    let left = transpose(pooled_block(pooled_plane, first_block + row, 0u, depth / 4u, total));
    {
      let column = column_0;
      let right = weight_block(head, 0u, depth, column / 4u);
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
  for (var depth = 0u; depth < params.head_dim; depth += 4u) {
    let left = transpose(pooled_block(pooled_plane, first_block + row, 1u, depth / 4u, total));
    {
      let column = column_0;
      let right = weight_block(head, 1u, depth, column / 4u);
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
  for (var depth = 0u; depth < params.head_dim; depth += 4u) {
    let left = transpose(pooled_block(pooled_plane, first_block + row, 2u, depth / 4u, total));
    {
      let column = column_0;
      let right = weight_block(head, 2u, depth, column / 4u);
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
  if (first_column + 0 * 4u * 8 <= last_column) {
    let column = column_0;
    let sum_0 = sum_0_0;
    let sum_1 = sum_1_0;
    let sum_2 = sum_2_0;
    let sum_3 = sum_3_0;
    if (row + 0 < params.given_blocks) {
      projected[(place * params.given_blocks + row + 0) * params.gate_vecs + column / 4u] = sum_0;
    }
    if (row + 1 < params.given_blocks) {
      projected[(place * params.given_blocks + row + 1) * params.gate_vecs + column / 4u] = sum_1;
    }
    if (row + 2 < params.given_blocks) {
      projected[(place * params.given_blocks + row + 2) * params.gate_vecs + column / 4u] = sum_2;
    }
    if (row + 3 < params.given_blocks) {
      projected[(place * params.given_blocks + row + 3) * params.gate_vecs + column / 4u] = sum_3;
    }
  }
}
