struct Params {
  out_features: u32,
  rows: u32,
  output_gradient_stride: u32,
  in_features: u32,
  input_stride: u32,
  accumulate_weight_gradient: u32,
  weight_stride: u32,
  scale: f32,
  first_row: u32,
  own_rows: u32,
  row_tiles: u32,
  column_tiles: u32,
}

@group(0) @binding(0) var<storage, read> output_gradient: array<f32>;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> weight_gradient: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

fn tail_vec(value: vec4f, more: u32) -> vec4f {
  return select(vec4f(0.0), value, vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
}

fn load_output_gradient(base: u32, vec: u32) -> vec4f {
  let i = 4u * vec;
  let last = params.out_features - 1u;
  let at = base;
  return tail_vec(vec4f(f32(output_gradient[at + i]), f32(output_gradient[at + min(i + 1u, last)]), f32(output_gradient[at + min(i + 2u, last)]), f32(output_gradient[at + min(i + 3u, last)])), last - i);
}

fn output_gradient_block(row: u32, vec: u32) -> mat4x4f {
  var block = mat4x4f();
  if (row + 0 < params.rows) {
    block[0] = load_output_gradient((row + 0) * params.output_gradient_stride, vec);
  }
  if (row + 1 < params.rows) {
    block[1] = load_output_gradient((row + 1) * params.output_gradient_stride, vec);
  }
  if (row + 2 < params.rows) {
    block[2] = load_output_gradient((row + 2) * params.output_gradient_stride, vec);
  }
  if (row + 3 < params.rows) {
    block[3] = load_output_gradient((row + 3) * params.output_gradient_stride, vec);
  }
  return block;
}

fn load_input(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(input[at + vec]);
}

fn input_block(row: u32, vec: u32) -> mat4x4f {
  var block = mat4x4f();
  if (row + 0 < params.rows) {
    block[0] = load_input((row + 0) * params.input_stride, vec);
  }
  if (row + 1 < params.rows) {
    block[1] = load_input((row + 1) * params.input_stride, vec);
  }
  if (row + 2 < params.rows) {
    block[2] = load_input((row + 2) * params.input_stride, vec);
  }
  if (row + 3 < params.rows) {
    block[3] = load_input((row + 3) * params.input_stride, vec);
  }
  return block;
}

fn load_weight_gradient(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(weight_gradient[at + vec]);
}

fn store_weight_gradient(base: u32, vec: u32, value: vec4f) {
  weight_gradient[base + vec] = vec4<f32>(value);
}

fn add_weight_gradient(base: u32, vec: u32, value: vec4f) {
  var sum = value;
  if (params.accumulate_weight_gradient != 0u) {
    sum += load_weight_gradient(base, vec);
  }
  store_weight_gradient(base, vec, sum);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let column_tile = group % params.column_tiles;
  let row_tile = group / params.column_tiles % params.row_tiles;
  let place = group / (params.column_tiles * params.row_tiles);

  if (place > 0u) {
    return;
  }

  let row_end = (row_tile + 1u) * 32;
  let columns = params.in_features;
  if (column_tile * 32 >= columns) {
    return;
  }
  let last_column = (columns - 1u) / 4u * 4u;
  let row = row_tile * 32 + 4u * (lane / 8);
  let first_column = column_tile * 32 + 4u * (lane % 8);
  if (row >= params.out_features) {
    return;
  }
  let column_0 = min(first_column + 0 * 4u * 8, last_column);
  var sum_0_0 = vec4f(0.0);
  var sum_1_0 = vec4f(0.0);
  var sum_2_0 = vec4f(0.0);
  var sum_3_0 = vec4f(0.0);
  for (var depth = 0u; depth < params.own_rows; depth += 4u) {
    let left = output_gradient_block(params.first_row + depth, row / 4u);
    {
      let column = column_0;
      let right = input_block(params.first_row + depth, column / 4u);
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
    if (row + 0 < params.out_features) {
      add_weight_gradient((row + 0) * params.weight_stride, column / 4u, params.scale * sum_0);
    }
    if (row + 1 < params.out_features) {
      add_weight_gradient((row + 1) * params.weight_stride, column / 4u, params.scale * sum_1);
    }
    if (row + 2 < params.out_features) {
      add_weight_gradient((row + 2) * params.weight_stride, column / 4u, params.scale * sum_2);
    }
    if (row + 3 < params.out_features) {
      add_weight_gradient((row + 3) * params.weight_stride, column / 4u, params.scale * sum_3);
    }
  }
}
