struct Params {
  words: u32,
  grid_width: u32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read_write> block_maxima: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let word = (group_id.z * params.grid_width + group_id.x) * 64 + lane;
  if (word < params.words) {
    block_maxima[word] = 0.0;
  }
}
