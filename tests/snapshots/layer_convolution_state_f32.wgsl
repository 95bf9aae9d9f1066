struct Params {
  tokens_at: u32,
  row_stride: u32,
  width_vecs: u32,
  before: u32,
  row_count: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> initial_state: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> schedule: array<u32>;
@group(0) @binding(3) var<storage, read_write> final_state: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

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

fn store_final_state(base: u32, vec: u32, value: vec4f) {
  final_state[base + vec] = vec4<f32>(value);
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

  let sequence = row / params.before;
  let slot = row - sequence * params.before;
  let position = i32(sequence_at(sequence).count + slot) - i32(params.before);
  store_final_state(row * params.row_stride, vec, input_at(sequence, position, vec));
}
