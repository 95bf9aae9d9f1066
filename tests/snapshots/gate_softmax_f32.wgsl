struct Params {
  heads: u32,
  query_blocks: u32,
  rows: u32,
  key_blocks: u32,
}

@group(0) @binding(0) var<storage, read> gate_rows: array<u32>;
@group(0) @binding(1) var<storage, read_write> scores: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

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

var<workgroup> given: array<f32, 64>;

fn sum_lanes(value: f32, lane: u32) -> f32 {
  given[lane] = value;
  workgroupBarrier();
  let first = lane - lane % 64;
  var sum = f32();
  for (var i = 0u; i < 64; i++) {
    sum += given[first + i];
  }
  workgroupBarrier();
  return sum;
}

var<workgroup> highest: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  if (group >= params.rows) {
    return;
  }
  let own = own_gate_row(group);
  let first = group * params.key_blocks;
  // Of a row that sees nothing this is no logit, and nothing comes of it.
  var most = scores[first];
  for (var i = lane; i < own.seen; i += 64) {
    most = max(most, scores[first + i]);
  }
  highest[lane] = most;
  workgroupBarrier();
  for (var i = 0u; i < 64; i++) {
    most = max(most, highest[i]);
  }
  var part = 0.0;
  for (var i = lane; i < own.seen; i += 64) {
    part += exp(scores[first + i] - most);
  }
  let sum = sum_lanes(part, lane);
  for (var i = lane; i < params.key_blocks; i += 64) {
    var score = -1.0;
    if (i < own.seen) {
      score = exp(scores[first + i] - most) / sum;
    }
    scores[first + i] = score;
  }
}
