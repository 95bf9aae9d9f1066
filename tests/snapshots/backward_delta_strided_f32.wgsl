struct Params {
  rows: u32,
  value_vecs: u32,
  grid_width: u32,
  inner_rows: u32,
  middle_rows: u32,
  output_at: u32,
  output_batch_stride: u32,
  output_middle_stride: u32,
  output_inner_stride: u32,
  lse_token_stride: u32,
  lse_head_stride: u32,
  head_vecs: u32,
}

@group(0) @binding(0) var<storage, read> output_gradient: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> output: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> lse: array<u32>;
@group(0) @binding(3) var<storage, read_write> row_statistics: array<vec2f>;
@group(0) @binding(4) var<uniform> params: Params;

fn load_output_gradient(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(output_gradient[at + vec]);
}

fn load_output(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(output[at + vec]);
}

fn lse_place(token: u32, head: u32) -> u32 {
  return token * params.lse_token_stride + head * params.lse_head_stride;
}

fn dot4(sum: f32, x: vec4f, y: vec4f) -> f32 {
  return fma(x.x, y.x, fma(x.y, y.y, fma(x.z, y.z, fma(x.w, y.w, sum))));
}

const SENTINEL = -0x1.fffffep+127f;

// alpha: by how much a state shrinks when its maximum rises.
fn rescale(old_maximum: f32, maximum: f32) -> f32 {
  return exp(old_maximum - maximum);
}

// p: what a key counts, beside the maximum.
fn weight(score: f32, maximum: f32) -> f32 {
  return select(exp(score - maximum), 0.0, score == SENTINEL);
}

// l' and A': the rescaled state with a step's sums added.
fn carry_sum(sum: f32, alpha: f32, step: f32) -> f32 {
  return fma(sum, alpha, step);
}

fn carry_values(accumulator: vec4f, alpha: f32, step: vec4f) -> vec4f {
  return fma(accumulator, vec4f(alpha), step);
}

// O and L of a row: its state at the end.
fn finish(accumulator: vec4f, sum: f32) -> vec4f {
  return accumulator / select(sum, 1.0, sum == 0.0);
}

fn log_sum_exp(maximum: f32, sum: f32) -> f32 {
  return select(maximum + log(select(sum, 1.0, sum == 0.0)), SENTINEL, sum == 0.0);
}

fn lse_of(bits: u32) -> f32 {
  return bitcast<f32>(select(bits, bitcast<u32>(SENTINEL), bits == 0xff800000u));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group_id.z * params.grid_width + group_id.x) * 64 + lane;
  if (row >= params.rows) {
    return;
  }
  let outer = row / params.inner_rows;
  let inner = row - outer * params.inner_rows;
  let batch = outer / params.middle_rows;
  let middle = outer - batch * params.middle_rows;
  let at = params.output_at + batch * params.output_batch_stride
  + middle * params.output_middle_stride + inner * params.output_inner_stride;
  var delta = 0.0;
  for (var vec = 0u; vec < params.value_vecs; vec++) {
    delta = dot4(delta, load_output_gradient(at, vec), load_output(at, vec));
  }
  row_statistics[row] = vec2f(lse_of(lse[row]), delta);
}
