struct Params {
  units: u32,
  row_units: u32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> rows: array<u32>;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read_write> destination: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

fn unit_of(index: u32) -> u32 {
  let row = index / params.row_units;
  let taken = rows[row];
  if (taken == 0xffffffffu) {
    return 0u;
  }
  let at = taken * params.row_units + index - row * params.row_units;
  return extractBits(source[at / 2u], 16u * (at % 2u), 16u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  if (index >= (params.units + 1u) / 2u) {
    return;
  }
  var word = unit_of(2u * index);
  if (2u * index + 1u < params.units) {
    word |= unit_of(2u * index + 1u) << 16u;
  } else {
    // Behind the last row lies what is not ours.
    word |= destination[index] & 0xffff0000u;
  }
  destination[index] = word;
}
