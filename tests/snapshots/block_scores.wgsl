struct Params {
  sequences_at: u32,
  score_block: u32,
  score_blocks: u32,
  score_rows: u32,
  group_count: u32,
  grid_width: u32,
  lse_token_stride: u32,
  lse_head_stride: u32,
}

@group(0) @binding(0) var<storage, read> block_maxima: array<u32>;
@group(0) @binding(1) var<storage, read> lse: array<f32>;
@group(0) @binding(2) var<storage, read> schedule: array<u32>;
@group(0) @binding(3) var<storage, read_write> block_scores: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

struct Sequence {
  query_start: u32,
  query_count: u32,
  key_start: u32,
  key_count: u32,
  query_offset: i32,
  batch: i32,
  queries_at: u32,
}

fn read_sequence(at: u32) -> Sequence {
  return Sequence(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
    schedule[at + 3],
    i32(schedule[at + 4]),
    i32(schedule[at + 5]),
    schedule[at + 6],
  );
}

// The score that has an order, which is not 0.
fn score_of(order: u32) -> f32 {
  return bitcast<f32>(select(~order, order & 0x7fffffffu, order >= 0x80000000u));
}

fn lse_place(token: u32, head: u32) -> u32 {
  return token * params.lse_token_stride + head * params.lse_head_stride;
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

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.z * params.grid_width + group_id.x;
  if (group >= params.group_count) {
    return;
  }
  let batch = group / params.score_rows;
  let block_row = group - batch * params.score_rows;
  let head = group_id.y;
  let sequence = read_sequence(params.sequences_at + batch * 8);
  let first = block_row * params.score_block;
  let end = min(first + params.score_block, sequence.query_count);
  let row_at = ((batch * grid.y + head) * params.score_rows + block_row) * params.score_blocks;
  var sum = 0.0;
  for (var block = lane; block < params.score_blocks; block += 64) {
    var highest = 0.0;
    for (var query = first; query < end; query++) {
      let row = lse_place(sequence.query_start + query, head);
      let order = block_maxima[row * params.score_blocks + block];
      let log_sum = lse[row];
      if (order != 0u) {
        highest = max(highest, exp(score_of(order) - log_sum));
      }
    }
    block_scores[row_at + block] = highest;
    sum += highest;
  }
  let all = sum_lanes(sum, lane);
  for (var block = lane; block < params.score_blocks; block += 64) {
    block_scores[row_at + block] /= select(all, 1.0, all == 0.0);
  }
}
