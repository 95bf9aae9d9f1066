struct Params {
  row_count: u32,
  width: u32,
  mean: u32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> targets: array<u32>;
@group(0) @binding(1) var<storage, read> row_weights: array<f32>;
@group(0) @binding(2) var<storage, read> row_losses: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

fn weight_of_row(row: u32) -> f32 {
  if (targets[row] >= params.width) {
    return 0.0;
  }
  return row_weights[row];
}

var<workgroup> given: array<vec2f, 64>;

fn sum_lanes(value: vec2f, lane: u32) -> vec2f {
  given[lane] = value;
  workgroupBarrier();
  let first = lane - lane % 64;
  var sum = vec2f();
  for (var i = 0u; i < 64; i++) {
    sum += given[first + i];
  }
  workgroupBarrier();
  return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sums = vec2f(0.0);
  for (var row = lane; row < params.row_count; row += 64) {
    let weight = weight_of_row(row);
    if (weight != 0.0) {
      sums += vec2f(weight * row_losses[row], weight);
    }
  }
  let all = sum_lanes(sums, lane);
  if (lane == 0u) {
    if (params.mean == 0u) {
      loss[0] = all.x;
    } else if (all.y != 0.0) {
      loss[0] = all.x / all.y;
    } else {
      loss[0] = 0.0;
    }
  }
}
