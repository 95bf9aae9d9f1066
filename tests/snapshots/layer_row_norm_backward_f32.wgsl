struct Params {
  width: u32,
  accumulate_input_gradient: u32,
  row_count: u32,
  row_stride: u32,
  width_vecs: u32,
  mean: f32,
  eps: f32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> output_gradient: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> input_gradient: array<f32>;
@group(0) @binding(4) var<storage, read_write> row_factors: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

fn tail_vec(value: vec4f, more: u32) -> vec4f {
  return select(vec4f(0.0), value, vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
}

fn load_input(base: u32, vec: u32) -> vec4f {
  let i = 4u * vec;
  let last = params.width - 1u;
  let at = base;
  return tail_vec(vec4f(f32(input[at + i]), f32(input[at + min(i + 1u, last)]), f32(input[at + min(i + 2u, last)]), f32(input[at + min(i + 3u, last)])), last - i);
}

fn load_output_gradient(base: u32, vec: u32) -> vec4f {
  let i = 4u * vec;
  let last = params.width - 1u;
  let at = base;
  return tail_vec(vec4f(f32(output_gradient[at + i]), f32(output_gradient[at + min(i + 1u, last)]), f32(output_gradient[at + min(i + 2u, last)]), f32(output_gradient[at + min(i + 3u, last)])), last - i);
}

fn load_weight(base: u32, vec: u32) -> vec4f {
  let i = 4u * vec;
  let last = params.width - 1u;
  let at = base;
  return tail_vec(vec4f(f32(weight[at + i]), f32(weight[at + min(i + 1u, last)]), f32(weight[at + min(i + 2u, last)]), f32(weight[at + min(i + 3u, last)])), last - i);
}

fn load_input_gradient(base: u32, vec: u32) -> vec4f {
  let i = 4u * vec;
  let last = params.width - 1u;
  let at = base;
  return tail_vec(vec4f(f32(input_gradient[at + i]), f32(input_gradient[at + min(i + 1u, last)]), f32(input_gradient[at + min(i + 2u, last)]), f32(input_gradient[at + min(i + 3u, last)])), last - i);
}

fn store_input_gradient(base: u32, vec: u32, value: vec4f) {
  let i = 4u * vec;
  input_gradient[base + i] = f32(value[0]);
  if (i + 1 < params.width) { input_gradient[base + i + 1] = f32(value[1]); }
  if (i + 2 < params.width) { input_gradient[base + i + 2] = f32(value[2]); }
  if (i + 3 < params.width) { input_gradient[base + i + 3] = f32(value[3]); }
}

fn add_input_gradient(base: u32, vec: u32, value: vec4f) {
  var sum = value;
  if (params.accumulate_input_gradient != 0u) {
    sum += load_input_gradient(base, vec);
  }
  store_input_gradient(base, vec, sum);
}

fn dot4(sum: f32, x: vec4f, y: vec4f) -> f32 {
  return fma(x.x, y.x, fma(x.y, y.y, fma(x.z, y.z, fma(x.w, y.w, sum))));
}

var<workgroup> given: array<vec2f, 64>;

fn sum_lanes(value: vec2f, lane: u32) -> vec2f {
  given[lane] = value;
  workgroupBarrier();
  let first = lane - lane % 16;
  var sum = vec2f();
  for (var i = 0u; i < 16; i++) {
    sum += given[first + i];
  }
  workgroupBarrier();
  return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let own = lane % 16;
  let row = group * 4 + lane / 16;
  let live = row < params.row_count;
  // Lanes past the last row go along with it: all must reach the barriers.
  let at = min(row, params.row_count - 1u) * params.row_stride;

  var sums = vec2f(0.0);
  for (var vec = own; vec < params.width_vecs; vec += 16) {
    let x = load_input(at, vec);
    let g = load_output_gradient(at, vec) * load_weight(0u, vec);
    sums = vec2f(dot4(sums.x, x, x), dot4(sums.y, g, x));
  }
  let total = sum_lanes(sums, lane);
  let factor = inverseSqrt(total.x * params.mean + params.eps);
  // What <g, n> n is of x, with one r for each n; the third is before the whole.
  let along = params.mean * factor * factor * total.y;
  if (live) {
    for (var vec = own; vec < params.width_vecs; vec += 16) {
      let g = load_output_gradient(at, vec) * load_weight(0u, vec);
      add_input_gradient(at, vec, factor * (g - along * load_input(at, vec)));
    }
    if (own == 0u) {
      row_factors[row] = factor;
    }
  }
}
