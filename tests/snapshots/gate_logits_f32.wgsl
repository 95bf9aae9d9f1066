struct Params {
  query_blocks: u32,
  gate_vecs: u32,
  key_blocks: u32,
  sequences: u32,
  heads: u32,
  key_heads: u32,
  head_group: u32,
  scale: f32,
  row_tiles: u32,
  column_tiles: u32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> gate_query: array<vec4f>;
@group(0) @binding(1) var<storage, read> gate_key: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

fn query_block(plane: u32, first: u32, vec: u32) -> mat4x4f {
  var block = mat4x4f();
  if (first + 0 < params.query_blocks) {
    block[0] = gate_query[(plane * params.query_blocks + first + 0) * params.gate_vecs + vec];
  }
  if (first + 1 < params.query_blocks) {
    block[1] = gate_query[(plane * params.query_blocks + first + 1) * params.gate_vecs + vec];
  }
  if (first + 2 < params.query_blocks) {
    block[2] = gate_query[(plane * params.query_blocks + first + 2) * params.gate_vecs + vec];
  }
  if (first + 3 < params.query_blocks) {
    block[3] = gate_query[(plane * params.query_blocks + first + 3) * params.gate_vecs + vec];
  }
  return block;
}

fn key_block(plane: u32, first: u32, vec: u32) -> mat4x4f {
  var block = mat4x4f();
  if (first + 0 < params.key_blocks) {
    block[0] = gate_key[(plane * params.key_blocks + first + 0) * params.gate_vecs + vec];
  }
  if (first + 1 < params.key_blocks) {
    block[1] = gate_key[(plane * params.key_blocks + first + 1) * params.gate_vecs + vec];
  }
  if (first + 2 < params.key_blocks) {
    block[2] = gate_key[(plane * params.key_blocks + first + 2) * params.gate_vecs + vec];
  }
  if (first + 3 < params.key_blocks) {
    block[3] = gate_key[(plane * params.key_blocks + first + 3) * params.gate_vecs + vec];
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
  let key_plane = sequence * params.key_heads + head / params.head_group;

  let row_end = (row_tile + 1u) * 32;
  let columns = params.key_blocks;
  if (column_tile * 32 >= columns) {
    return;
  }
  let last_column = (columns - 1u) / 4u * 4u;
  let row = row_tile * 32 + 4u * (lane / 8);
  let first_column = column_tile * 32 + 4u * (lane % 8);
  if (row >= params.query_blocks) {
    return;
  }
  let column_0 = min(first_column + 0 * 4u * 8, last_column);
  var sum_0_0 = vec4f(0.0);
  var sum_1_0 = vec4f(0.0);
  var sum_2_0 = vec4f(0.0);
  var sum_3_0 = vec4f(0.0);
  for (var depth = 0u; depth < 4u * params.gate_vecs; depth += 4u) {
    let left = transpose(query_block(place, row, depth / 4u));
    {
      let column = column_0;
      let right = transpose(key_block(key_plane, column, depth / 4u));
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
    if (row + 0 < params.query_blocks) {
      let at = (place * params.query_blocks + row + 0) * params.key_blocks + column;
      if (column + 0 < params.key_blocks) {
        scores[at + 0] = params.scale * sum_0[0];
      }
      if (column + 1 < params.key_blocks) {
        scores[at + 1] = params.scale * sum_0[1];
      }
      if (column + 2 < params.key_blocks) {
        scores[at + 2] = params.scale * sum_0[2];
      }
      if (column + 3 < params.key_blocks) {
        scores[at + 3] = params.scale * sum_0[3];
      }
    }
    if (row + 1 < params.query_blocks) {
      let at = (place * params.query_blocks + row + 1) * params.key_blocks + column;
      if (column + 0 < params.key_blocks) {
        scores[at + 0] = params.scale * sum_1[0];
      }
      if (column + 1 < params.key_blocks) {
        scores[at + 1] = params.scale * sum_1[1];
      }
      if (column + 2 < params.key_blocks) {
        scores[at + 2] = params.scale * sum_1[2];
      }
      if (column + 3 < params.key_blocks) {
        scores[at + 3] = params.scale * sum_1[3];
      }
    }
    if (row + 2 < params.query_blocks) {
      let at = (place * params.query_blocks + row + 2) * params.key_blocks + column;
      if (column + 0 < params.key_blocks) {
        scores[at + 0] = params.scale * sum_2[0];
      }
      if (column + 1 < params.key_blocks) {
        scores[at + 1] = params.scale * sum_2[1];
      }
      if (column + 2 < params.key_blocks) {
        scores[at + 2] = params.scale * sum_2[2];
      }
      if (column + 3 < params.key_blocks) {
        scores[at + 3] = params.scale * sum_2[3];
      }
    }
    if (row + 3 < params.query_blocks) {
      let at = (place * params.query_blocks + row + 3) * params.key_blocks + column;
      if (column + 0 < params.key_blocks) {
        scores[at + 0] = params.scale * sum_3[0];
      }
      if (column + 1 < params.key_blocks) {
        scores[at + 1] = params.scale * sum_3[1];
      }
      if (column + 2 < params.key_blocks) {
        scores[at + 2] = params.scale * sum_3[2];
      }
      if (column + 3 < params.key_blocks) {
        scores[at + 3] = params.scale * sum_3[3];
      }
    }
  }
}
