
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

@group(0) @binding(0) var<storage, read> states: array<vec4f>;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

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
  parts: u32,
  part_count: u32,
  row_count: u32,
  kv_head: u32,
}

fn read_item(index: u32) -> Item {
  let at = params.items_at + index * 8u;
  return Item(schedule[at + 0u], schedule[at + 1u], schedule[at + 2u], schedule[at + 3u], schedule[at + 4u], schedule[at + 5u]);
}

fn part_row(item: Item, part: u32, kv_head: u32) -> u32 {
  let at = item.parts + 2u * part;
  return schedule[at] + kv_head * schedule[at + 1u];
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

fn store_output(base: u32, vec: u32, value: vec4f) {
  output[base + vec] = vec4<f32>(value);
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
  for (var index = lane; index < item.row_count * params.value_vecs; index += 8u) {
    let local = index / params.value_vecs;
    let vec = index - local * params.value_vecs;
    let row = item.first_row + local;
    let query = row / params.group;
    let head = kv_head * params.group + row - query * params.group;
    let out = (sequence.query_start + query) * params.query_heads + head;

    var maximum = SENTINEL;
    for (var part = 0u; part < item.part_count; part++) {
      maximum = max(maximum, states[params.stats_at + part_row(item, part, kv_head) + local].x);
    }
    var sum = 0.0;
    var accumulator = vec4f(0.0);
    for (var part = 0u; part < item.part_count; part++) {
      let at = part_row(item, part, kv_head) + local;
      let stats = states[params.stats_at + at];
      let scaling = select(exp(stats.x - maximum), 1.0, stats.x == maximum);
      sum = fma(scaling, stats.y, sum);
      accumulator = fma(vec4f(scaling), states[at * params.value_vecs + vec], accumulator);
    }
    store_output(out * params.value_stride, vec, finish(accumulator, sum));
    if (vec == 0u) {
      lse[out] = log_sum_exp(maximum, sum);
    }
  }
}
