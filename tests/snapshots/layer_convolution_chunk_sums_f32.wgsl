struct Params {
  tokens_at: u32,
  row_stride: u32,
  width_vecs: u32,
  before: u32,
  columns: u32,
  chunks: u32,
  rows: u32,
  chunk_rows: u32,
}

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> initial_state: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> schedule: array<u32>;
@group(0) @binding(3) var<storage, read> pre_gradient: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> sums: array<vec4f>;
@group(0) @binding(5) var<uniform> params: Params;

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

fn pre_gradient_of(token: u32, vec: u32) -> vec4f {
  return pre_gradient[token * params.width_vecs + vec];
}

fn term(row: u32, column: u32) -> vec4f {
  let tap = column / params.width_vecs;
  let vec = column - tap * params.width_vecs;
  let gradient = pre_gradient_of(row, vec);
  if (tap > params.before) {
    return gradient;
  }
  let index = sequence_of(row);
  let position = i32(row - sequence_at(index).start + tap) - i32(params.before);
  return gradient * input_at(index, position, vec);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  let chunk = index / params.columns;
  let column = index - chunk * params.columns;
  if (chunk >= params.chunks) {
    return;
  }
  let end = min((chunk + 1u) * params.chunk_rows, params.rows);
  var sum = vec4f(0.0);
  for (var row = chunk * params.chunk_rows; row < end; row++) {
    sum += term(row, column);
  }
  sums[index] = sum;
}
