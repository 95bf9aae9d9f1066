struct Params {
  words: u32,
  row_words: u32,
  row_blocks: u32,
  grid_width: u32,
  threshold: f32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read_write> blocks: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

fn at_least(score: f32) -> bool {
  let number = (bitcast<u32>(score) & 0x7fffffffu) <= 0x7f800000u;
  return number && score >= params.threshold;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let word = (group_id.y * params.grid_width + group_id.x) * 64 + lane;
  if (word >= params.words) {
    return;
  }
  let row = word / params.row_words;
  let first_block = (word - row * params.row_words) * 32;
  let first = row * params.row_blocks + first_block;
  let count = min(32, params.row_blocks - first_block);
  var bits = 0u;
  for (var i = 0u; i < count; i++) {
    bits |= select(0u, 1u << i, at_least(f32(scores[first + i])));
  }
  blocks[word] = bits;
}
