struct Params {
  elements: u32,
  table_count: u32,
  grid_width: u32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> tables: array<f32>;
@group(0) @binding(1) var<storage, read_write> capture_gradient: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let element = (group_id.z * params.grid_width + group_id.x) * 64 + lane;
  if (element >= params.elements) {
    return;
  }
  var sum = 0.0;
  for (var i = 0u; i < params.table_count; i++) {
    sum += tables[i * params.elements + element];
  }
  capture_gradient[element] = sum;
}
