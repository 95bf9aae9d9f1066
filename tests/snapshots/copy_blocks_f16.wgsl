enable f16;

struct Params {
  key_block: u32,
  value_block: u32,
  key_row: u32,
  value_row: u32,
  value_at: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> copies: array<u32>;
@group(0) @binding(1) var<storage, read> source: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read_write> destination: array<vec4<f16>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = 3u * group_id.x;
  let source_block = copies[at];
  let target_block = copies[at + 1u];
  let rows = copies[at + 2u];
  for (var i = lane; i < rows * params.key_row; i += 64u) {
    destination[target_block * params.key_block + i] = source[source_block * params.key_block + i];
  }
  for (var i = lane; i < rows * params.value_row; i += 64u) {
    destination[params.value_at + target_block * params.value_block + i] = source[params.value_at + source_block * params.value_block + i];
  }
}
