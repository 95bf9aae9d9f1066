struct Params {
  width: u32,
  width_vecs: u32,
  row_stride: u32,
  row_count: u32,
  mean: u32,
  loss_gradient: f32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read> row_weights: array<f32>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read> total: array<f32>;
@group(0) @binding(5) var<storage, read_write> logits_gradient: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

fn tail_vec(value: vec4f, more: u32) -> vec4f {
  return select(vec4f(0.0), value, vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
}

fn load_logits(base: u32, vec: u32) -> vec4f {
  let i = 4u * vec;
  let last = params.width - 1u;
  let at = base;
  return tail_vec(vec4f(f32(logits[at + i]), f32(logits[at + min(i + 1u, last)]), f32(logits[at + min(i + 2u, last)]), f32(logits[at + min(i + 3u, last)])), last - i);
}

fn weight_of_row(row: u32) -> f32 {
  if (targets[row] >= params.width) {
    return 0.0;
  }
  return row_weights[row];
}

fn store_logits_gradient(base: u32, vec: u32, value: vec4f) {
  let i = 4u * vec;
  logits_gradient[base + i] = f32(value[0]);
  if (i + 1 < params.width) { logits_gradient[base + i + 1] = f32(value[1]); }
  if (i + 2 < params.width) { logits_gradient[base + i + 2] = f32(value[2]); }
  if (i + 3 < params.width) { logits_gradient[base + i + 3] = f32(value[3]); }
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
  let at = row * params.row_stride;
  let weight = weight_of_row(row);
  var gradient = vec4f(0.0);
  if (weight != 0.0) {
    var factor = weight * params.loss_gradient;
    if (params.mean != 0u) {
      factor /= total[0];
    }
    let columns = 4u * vec + vec4u(0u, 1u, 2u, 3u);
    let hit = select(vec4f(0.0), vec4f(1.0), columns == vec4u(targets[row]));
    gradient = factor * (exp(load_logits(at, vec) - lse[row]) - hit);
  }
  store_logits_gradient(at, vec, gradient);
}
