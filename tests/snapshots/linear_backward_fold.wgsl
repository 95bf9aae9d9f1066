struct Params {
  outer: u32,
  count: u32,
  inner: u32,
  runs: u32,
}

@group(0) @binding(0) var<storage, read> terms: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  if (index >= params.outer * params.runs * params.inner) {
    return;
  }
  let column = index % params.inner;
  let run = index / params.inner % params.runs;
  let row = index / (params.inner * params.runs);
  let end = min(params.count, (run + 1u) * 256);
  var sum = 0.0;
  for (var term = run * 256; term < end; term++) {
    sum += terms[(row * params.count + term) * params.inner + column];
  }
  sums[index] = sum;
}
