struct Params {
  tokens_at: u32,
  row_stride: u32,
  width_vecs: u32,
  before: u32,
  width: u32,
  accumulate_input_gradient: u32,
  row_count: u32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> pre_gradient: array<vec4f>;
@group(0) @binding(3) var<storage, read> final_state_gradient: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> input_gradient: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: Params;

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

fn tap_of(tap: u32, vec: u32) -> vec4f {
  let channels = min(4u * vec + vec4u(0u, 1u, 2u, 3u), vec4u(params.width - 1u));
  let at = channels * (params.before + 1u) + tap;
  return vec4f(f32(weight[at.x]), f32(weight[at.y]), f32(weight[at.z]), f32(weight[at.w]));
}

fn pre_gradient_of(token: u32, vec: u32) -> vec4f {
  return pre_gradient[token * params.width_vecs + vec];
}

fn load_final_state_gradient(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(final_state_gradient[at + vec]);
}

fn load_input_gradient(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(input_gradient[at + vec]);
}

fn store_input_gradient(base: u32, vec: u32, value: vec4f) {
  input_gradient[base + vec] = vec4<f32>(value);
}

fn add_input_gradient(base: u32, vec: u32, value: vec4f) {
  var sum = value;
  if (params.accumulate_input_gradient != 0u) {
    sum += load_input_gradient(base, vec);
  }
  store_input_gradient(base, vec, sum);
}

fn gradient_at(index: u32, position: i32, vec: u32) -> vec4f {
  let own = sequence_at(index);
  var sum = vec4f(0.0);
  for (var tap = 0u; tap <= params.before; tap++) {
    let after = position + i32(params.before - tap);
    if (after >= 0 && after < i32(own.count)) {
      sum = fma(tap_of(tap, vec), pre_gradient_of(own.start + u32(after), vec), sum);
    }
  }
  let slot = position - i32(own.count) + i32(params.before);
  if (slot >= 0) {
    sum += load_final_state_gradient((index * params.before + u32(slot)) * params.row_stride, vec);
  }
  return sum;
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

  let sequence = sequence_of(row);
  let position = i32(row - sequence_at(sequence).start);
  add_input_gradient(row * params.row_stride, vec, gradient_at(sequence, position, vec));
}
