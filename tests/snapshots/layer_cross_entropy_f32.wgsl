struct Params {
  width: u32,
  width_vecs: u32,
  row_stride: u32,
  row_count: u32,
}

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;
@group(0) @binding(3) var<storage, read_write> row_losses: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

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
  return 1.0;
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

// The maximum and the sum of each lane's part of the row.
var<workgroup> states: array<vec2f, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let row = group;
  if (row >= params.row_count) {
    return;
  }
  let at = row * params.row_stride;
  var maximum = SENTINEL;
  var sum = 0.0;
  for (var vec = lane; vec < params.width_vecs; vec += 64) {
    // What is past the row's end is masked, not 0.
    let kept = vec4u(0u, 1u, 2u, 3u) < vec4u(params.width - 4u * vec);
    let x = select(vec4f(SENTINEL), load_logits(at, vec), kept);
    let largest = max(max(maximum, max(x.x, x.y)), max(x.z, x.w));
    let own = weight(x.x, largest) + weight(x.y, largest) + weight(x.z, largest) + weight(x.w, largest);
    sum = sum * weight(maximum, largest) + own;
    maximum = largest;
  }
  states[lane] = vec2f(maximum, sum);
  workgroupBarrier();
  if (lane != 0u) {
    return;
  }
  for (var i = 1u; i < 64; i++) {
    let largest = max(maximum, states[i].x);
    sum = sum * weight(maximum, largest) + states[i].y * weight(states[i].x, largest);
    maximum = largest;
  }
  let target_column = targets[row];
  var loss = 0.0;
  if (target_column < params.width) {
    let own = load_logits(at, target_column / 4u)[target_column % 4u];
    // In this order, as the two are often alike.
    loss = maximum - own + log(sum);
  }
  row_losses[row] = loss;
  lse[row] = maximum + log(sum);
}
