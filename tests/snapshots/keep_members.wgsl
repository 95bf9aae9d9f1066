struct Params {
  words: u32,
  row_words: u32,
  members: u32,
  labelled: u32,
  clusters: u32,
  threshold: f32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> means: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> bits: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  if (index >= params.words) {
    return;
  }
  let head = index / params.row_words;
  let first = (index - head * params.row_words) * 32;
  let count = min(32, params.members - first);
  var kept = 0u;
  for (var i = 0u; i < count; i++) {
    var keep = true;
    if (first + i < params.labelled) {
      let cluster = labels[head * params.labelled + first + i];
      keep = means[head * params.clusters + cluster] > params.threshold;
    }
    kept |= select(0u, 1u << i, keep);
  }
  bits[index] = kept;
}
