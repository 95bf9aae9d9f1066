enable f16;

struct Params {
  accumulate_input_gradient: u32,
  accumulate_gate_gradient: u32,
  vecs: u32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> input: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read> gate: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> output_gradient: array<vec4<f16>>;
@group(0) @binding(3) var<storage, read_write> input_gradient: array<vec4<f16>>;
@group(0) @binding(4) var<storage, read_write> gate_gradient: array<vec4<f16>>;
@group(0) @binding(5) var<uniform> params: Params;

fn load_input(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(input[at + vec]);
}

fn load_gate(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(gate[at + vec]);
}

fn load_output_gradient(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(output_gradient[at + vec]);
}

fn load_input_gradient(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(input_gradient[at + vec]);
}

fn store_input_gradient(base: u32, vec: u32, value: vec4f) {
  input_gradient[base + vec] = vec4<f16>(value);
}

fn add_input_gradient(base: u32, vec: u32, value: vec4f) {
  var sum = value;
  if (params.accumulate_input_gradient != 0u) {
    sum += load_input_gradient(base, vec);
  }
  store_input_gradient(base, vec, sum);
}

fn load_gate_gradient(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(gate_gradient[at + vec]);
}

fn store_gate_gradient(base: u32, vec: u32, value: vec4f) {
  gate_gradient[base + vec] = vec4<f16>(value);
}

fn add_gate_gradient(base: u32, vec: u32, value: vec4f) {
  var sum = value;
  if (params.accumulate_gate_gradient != 0u) {
    sum += load_gate_gradient(base, vec);
  }
  store_gate_gradient(base, vec, sum);
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

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  let vec = index;
  if (vec >= params.vecs) {
    return;
  }
  let input = load_input(0u, vec);
  let gate = load_gate(0u, vec);

  let output_gradient = load_output_gradient(0u, vec);
  add_input_gradient(0u, vec, output_gradient * silu(gate));
  add_gate_gradient(0u, vec, output_gradient * input * silu_slope(gate));
}
