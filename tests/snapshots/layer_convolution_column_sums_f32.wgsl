struct Params {
  columns: u32,
  chunks: u32,
  width: u32,
  width_vecs: u32,
  before: u32,
  accumulate_weight_gradient: u32,
  accumulate_bias_gradient: u32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> sums: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> weight_gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> bias_gradient: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

fn store_sum(column: u32, sum: vec4f) {
  let tap = column / params.width_vecs;
  let vec = column - tap * params.width_vecs;
  for (var c = 0u; c < min(4u, params.width - 4u * vec); c++) {
    let channel = 4u * vec + c;
    if (tap <= params.before) {
      let at = channel * (params.before + 1u) + tap;
      var gradient = sum[c];
      if (params.accumulate_weight_gradient != 0u) {
        gradient += weight_gradient[at];
      }
      weight_gradient[at] = gradient;
    }
    if (tap > params.before) {
      var gradient = sum[c];
      if (params.accumulate_bias_gradient != 0u) {
        gradient += bias_gradient[channel];
      }
      bias_gradient[channel] = gradient;
    }
  }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  if (index >= params.columns) {
    return;
  }
  var sum = vec4f(0.0);
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    sum += sums[chunk * params.columns + index];
  }
  store_sum(index, sum);
}
