struct Params {
  rows: u32,
  value_vecs: u32,
  value_stride: u32,
  grid_width: u32,
  heads: u32,
  group: u32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> other: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> other_lse: array<u32>;
@group(0) @binding(2) var<storage, read_write> lse: array<u32>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

fn load_other(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(other[at + vec]);
}

fn load_output(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(output[at + vec]);
}

fn store_output(base: u32, vec: u32, value: vec4f) {
  output[base + vec] = vec4<f32>(value);
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
  let row = (group_id.y * params.grid_width + group_id.x) * 64 + lane;
  if (row >= params.rows) {
    return;
  }
  let own_lse = lse_of(lse[row]);
  let head = row % params.heads;
  let kv_head_rows = params.rows / params.heads * params.group;
  let other_row = head / params.group * kv_head_rows + row / params.heads * params.group + head % params.group;
  let their_lse = lse_of(other_lse[other_row]);
  let maximum = max(own_lse, their_lse);
  let own = weight(own_lse, maximum);
  let theirs = weight(their_lse, maximum);
  let sum = own + theirs;
  for (var vec = 0u; vec < params.value_vecs; vec++) {
    let at = row * params.value_stride;
    let both = fma(vec4f(theirs), load_other(at, vec), load_output(at, vec) * own);
    store_output(at, vec, finish(both, sum));
  }
  lse[row] = bitcast<u32>(log_sum_exp(maximum, sum));
}
