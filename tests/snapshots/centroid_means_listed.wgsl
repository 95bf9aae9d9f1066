struct Params {
  all: u32,
  clusters: u32,
  row_words: u32,
  chunks: u32,
  rows: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read> counts: array<u32>;
@group(0) @binding(2) var<storage, read> alive: array<u32>;
@group(0) @binding(3) var<storage, read_write> means: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  if (index >= params.all) {
    return;
  }
  let kv_head = index / params.clusters;
  let cluster = index - kv_head * params.clusters;
  var seen = counts[index] > 0u;
  seen = seen && ((alive[kv_head * params.row_words + (cluster >> 5u)] >> (cluster & 31u)) & 1u) == 1u;
  var mean = 0.0;
  if (seen) {
    var sum = 0.0;
    for (var chunk = 0u; chunk < params.chunks; chunk++) {
      sum += sums[(kv_head * params.chunks + chunk) * params.clusters + cluster];
    }
    // As exact ones, it is not above 1 either, however scores were rounded.
    mean = clamp(sum / f32(params.rows), 0x1p-126f, 1.0);
  }
  means[index] = mean;
}
