struct Params {
  tokens_at: u32,
  row_stride: u32,
  width_vecs: u32,
  before: u32,
  width: u32,
  row_count: u32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> initial_state: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> schedule: array<u32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(6) var<uniform> params: Params;

fn load_input(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(input[at + vec]);
}

fn load_initial_state(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(initial_state[at + vec]);
}

struct ConvolutionSequence {
  start: u32,
  count: u32,
}

fn read_convolution_sequence(at: u32) -> ConvolutionSequence {
  return ConvolutionSequence(
    schedule[at + 0],
    schedule[at + 1],
  );
}

fn sequence_at(index: u32) -> ConvolutionSequence {
  return read_convolution_sequence(2 * index);
}

fn sequence_of(token: u32) -> u32 {
  return schedule[params.tokens_at + token];
}

fn input_at(index: u32, position: i32, vec: u32) -> vec4f {
  if (position >= 0) {
    let token = sequence_at(index).start + u32(position);
    return load_input(token * params.row_stride, vec);
  }
  let slot = index * params.before + u32(position + i32(params.before));
  return load_initial_state(slot * params.row_stride, vec);
}

fn tap_of(tap: u32, vec: u32) -> vec4f {
  let channels = min(4u * vec + vec4u(0u, 1u, 2u, 3u), vec4u(params.width - 1u));
  let at = channels * (params.before + 1u) + tap;
  return vec4f(f32(weight[at.x]), f32(weight[at.y]), f32(weight[at.z]), f32(weight[at.w]));
}

fn load_bias(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(bias[at + vec]);
}

fn logistic(x: vec4f) -> vec4f {
  let e = exp(-abs(x));
  return select(e, vec4f(1.0), x >= vec4f(0.0)) / (1.0 + e);
}

fn silu(x: vec4f) -> vec4f {
  return x * logistic(x);
}

fn silu_slope(x: vec4f) -> vec4f {
  return logistic(x) * (1.0 + x * logistic(-x));
}

fn convolve(token: u32, vec: u32) -> vec4f {
  let index = sequence_of(token);
  let first = i32(token - sequence_at(index).start) - i32(params.before);
  var sum = load_bias(0u, vec);
  for (var tap = 0u; tap <= params.before; tap++) {
    sum = fma(tap_of(tap, vec), input_at(index, first + i32(tap), vec), sum);
  }
  return sum;
}

fn store_output(base: u32, vec: u32, value: vec4f) {
  output[base + vec] = vec4<f32>(value);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  let row = index / params.width_vecs;
  let vec = index - row * params.width_vecs;
  if (row >= params.row_count) {
    return;
  }

  let z = convolve(row, vec);
  store_output(row * params.row_stride, vec, silu(z));
}
