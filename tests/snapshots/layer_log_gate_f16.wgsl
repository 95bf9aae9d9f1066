enable f16;

struct Params {
  normalizer: f32,
  vecs: u32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> input: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

fn load_input(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(input[at + vec]);
}

fn store_output(base: u32, vec: u32, value: vec4f) {
  output[base + vec] = vec4<f32>(value);
}

fn logistic(x: vec4f) -> vec4f {
  let e = exp(-abs(x));
  return select(e, vec4f(1.0), x >= vec4f(0.0)) / (1.0 + e);
}

fn log_logistic(x: vec4f) -> vec4f {
  let e = exp(-abs(x));
  let z = e / (2.0 + e);
  let squared = z * z;
  var series = vec4f(1.0 / 17.0);
  series = fma(series, squared, vec4f(1.0 / 15.0));
  series = fma(series, squared, vec4f(1.0 / 13.0));
  series = fma(series, squared, vec4f(1.0 / 11.0));
  series = fma(series, squared, vec4f(1.0 / 9.0));
  series = fma(series, squared, vec4f(1.0 / 7.0));
  series = fma(series, squared, vec4f(1.0 / 5.0));
  series = fma(series, squared, vec4f(1.0 / 3.0));
  series = fma(series, squared, vec4f(1.0));
  return min(x, vec4f(0.0)) - 2.0 * z * series;
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

  store_output(0u, vec, log_logistic(input) / params.normalizer);
}
