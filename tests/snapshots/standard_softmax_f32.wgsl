struct Params {
  query_heads: u32,
  kv_heads: u32,
  group: u32,
  head_dim: u32,
  head_vecs: u32,
  head_stride: u32,
  value_dim: u32,
  value_vecs: u32,
  value_stride: u32,
  value_at: u32,
  block_size: u32,
  block_shift: u32,
  segment_blocks: u32,
  scale: f32,
  sequences_at: u32,
  items_at: u32,
  workers_at: u32,
  group_count: u32,
  grid_width: u32,
  runs_per_head: u32,
  stats_at: u32,
  scratch_keys: u32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read_write> scratch: array<f32>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Sequence {
  query_start: u32,
  query_count: u32,
  key_start: u32,
  key_count: u32,
  query_offset: i32,
  batch: i32,
  queries: u32,
}

fn read_sequence(index: u32) -> Sequence {
  let at = params.sequences_at + index * 8u;
  return Sequence(schedule[at], schedule[at + 1u], schedule[at + 2u], schedule[at + 3u],
    bitcast<i32>(schedule[at + 4u]), i32(schedule[at + 5u]), schedule[at + 6u]);
}

struct Item {
  sequence: u32,
  first_row: u32,
  runs: u32,
  state_row: u32,
  state_stride: u32,
  kv_head: u32,
}

fn read_item(index: u32) -> Item {
  let at = params.items_at + index * 8u;
  return Item(schedule[at + 0u], schedule[at + 1u], schedule[at + 2u], schedule[at + 3u], schedule[at + 4u], schedule[at + 5u]);
}

const SENTINEL = -0x1.fffffep+127f;

fn weight(score: f32, maximum: f32) -> f32 {
  return select(exp(score - maximum), 0.0, score == SENTINEL);
}

fn non_finite(value: vec4f) -> vec4<bool> {
  let exponent = vec4u(0x7f800000u);
  return (bitcast<vec4u>(value) & exponent) == exponent;
}

fn finish(accumulator: vec4f, sum: f32) -> vec4f {
  return accumulator / select(sum, 1.0, sum == 0.0);
}

fn log_sum_exp(maximum: f32, sum: f32) -> f32 {
  return select(maximum + log(select(sum, 1.0, sum == 0.0)), SENTINEL, sum == 0.0);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group_index = group_id.z * params.grid_width + group_id.x;
  if (group_index >= params.group_count) {
    return;
  }
  let item_index = group_index;
  let item = read_item(item_index);
  let kv_head = item.kv_head + group_id.y;
  let sequence = read_sequence(item.sequence);
  let row_count = sequence.query_count * params.group;
  let scratch_at = (item_index * params.kv_heads + kv_head) * params.scratch_keys;
  let packed_0 = item.first_row + 0u + lane;
  let row_0 = min(packed_0, row_count - 1u);
  let query_0 = row_0 / params.group;
  let head_0 = kv_head * params.group + row_0 - query_0 * params.group;
  let batch_0 = sequence.batch;
  let position_0 = i32(query_0) + sequence.query_offset;
  let token_0 = (sequence.query_start + query_0) * params.query_heads + head_0;
  let query_at_0 = token_0 * params.head_stride;
  let packed_1 = item.first_row + 8u + lane;
  let row_1 = min(packed_1, row_count - 1u);
  let query_1 = row_1 / params.group;
  let head_1 = kv_head * params.group + row_1 - query_1 * params.group;
  let batch_1 = sequence.batch;
  let position_1 = i32(query_1) + sequence.query_offset;
  let token_1 = (sequence.query_start + query_1) * params.query_heads + head_1;
  let query_at_1 = token_1 * params.head_stride;
  {
    var maximum = SENTINEL;
    for (var key = 0u; key < sequence.key_count; key++) {
      maximum = max(maximum, scratch[(scratch_at + key) * 16u + 0u + lane]);
    }
    var sum = 0.0;
    for (var first_key = 0u; first_key < sequence.key_count; first_key += 2u) {
      var step_sum = 0.0;
      for (var key = first_key; key < min(first_key + 2u, sequence.key_count); key++) {
        let p = weight(scratch[(scratch_at + key) * 16u + 0u + lane], maximum);
        scratch[(scratch_at + key) * 16u + 0u + lane] = p;
        step_sum += p;
      }
      sum += step_sum;
    }
    let divisor = select(sum, 1.0, sum == 0.0);
    for (var key = 0u; key < sequence.key_count; key++) {
      scratch[(scratch_at + key) * 16u + 0u + lane] /= divisor;
    }
    if (packed_0 < row_count) {
      lse[token_0] = log_sum_exp(maximum, sum);
    }
  }
  {
    var maximum = SENTINEL;
    for (var key = 0u; key < sequence.key_count; key++) {
      maximum = max(maximum, scratch[(scratch_at + key) * 16u + 8u + lane]);
    }
    var sum = 0.0;
    for (var first_key = 0u; first_key < sequence.key_count; first_key += 2u) {
      var step_sum = 0.0;
      for (var key = first_key; key < min(first_key + 2u, sequence.key_count); key++) {
        let p = weight(scratch[(scratch_at + key) * 16u + 8u + lane], maximum);
        scratch[(scratch_at + key) * 16u + 8u + lane] = p;
        step_sum += p;
      }
      sum += step_sum;
    }
    let divisor = select(sum, 1.0, sum == 0.0);
    for (var key = 0u; key < sequence.key_count; key++) {
      scratch[(scratch_at + key) * 16u + 8u + lane] /= divisor;
    }
    if (packed_1 < row_count) {
      lse[token_1] = log_sum_exp(maximum, sum);
    }
  }
}
