struct Params {
  first_copy: u32,
  chunk: u32,
  key_row: u32,
  value_row: u32,
  source_key_block: u32,
  source_value_block: u32,
  source_value_at: u32,
  destination_key_block: u32,
  destination_value_block: u32,
  destination_value_at: u32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> copies: array<u32>;
@group(0) @binding(1) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> destination: array<vec4<u32>>;
@group(0) @binding(3) var<uniform> params: Params;

fn copy_units(from_at: u32, to_at: u32, count: u32, lane: u32) {
  for (var i = lane; i < count; i += 64) {
    destination[to_at + i] = source[from_at + i];
  }
}

// Units of a chunk that begins at start, of count in all.
fn chunk_of(count: u32, start: u32) -> u32 {
  return min(count - min(count, start), params.chunk);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = 3u * (params.first_copy + group_id.x);
  let start = group_id.y * params.chunk;
  let from_block = copies[at];
  let to_block = copies[at + 1u];
  let rows = copies[at + 2u];
  copy_units(
    from_block * params.source_key_block + start,
    to_block * params.destination_key_block + start,
    chunk_of(rows * params.key_row, start), lane);
  copy_units(
    params.source_value_at + from_block * params.source_value_block + start,
    params.destination_value_at + to_block * params.destination_value_block + start,
    chunk_of(rows * params.value_row, start), lane);
}
