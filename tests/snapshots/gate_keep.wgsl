struct Params {
  heads: u32,
  query_blocks: u32,
  rows: u32,
  row_words: u32,
}

@group(0) @binding(0) var<storage, read> gate_rows: array<u32>;
@group(0) @binding(1) var<storage, read_write> blocks: array<u32>;
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

struct GateRow {
  seen: u32,
  forced_first: u32,
  forced_end: u32,
}

fn read_gate_row(at: u32) -> GateRow {
  return GateRow(
    gate_rows[at + 0],
    gate_rows[at + 1],
    gate_rows[at + 2],
  );
}

// That of a row of scores.
fn own_gate_row(row: u32) -> GateRow {
  let sequence = row / (params.heads * params.query_blocks);
  return read_gate_row((sequence * params.query_blocks + row % params.query_blocks) * 3u);
}

// The first so many bits.
fn low_bits(count: u32) -> u32 {
  return select((1u << (count & 31u)) - 1u, 0xffffffffu, count >= 32u);
}

// Of a word those bits whose blocks are before this one.
fn bits_before(word: u32, block: u32) -> u32 {
  return low_bits(block - min(block, 32u * word));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;

  if (index >= params.rows) {
    return;
  }
  let own = own_gate_row(index);
  var count = 0u;
  for (var word = 0u; word < params.row_words; word++) {
    let at = index * params.row_words + word;
    let chosen = blocks[at] & bits_before(word, own.seen);
    let forced = bits_before(word, own.forced_end) & ~bits_before(word, own.forced_first);
    count += countOneBits(chosen);
    blocks[at] = chosen | forced;
  }
  counts[index] = count;
}
