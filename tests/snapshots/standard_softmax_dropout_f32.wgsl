struct Params {
  lse_token_stride: u32,
  lse_head_stride: u32,
  dropout_seed_low: u32,
  dropout_seed_high: u32,
  dropout_threshold: u32,
  dropout_factor: f32,
  sequences_at: u32,
  group: u32,
  tiles_at: u32,
  group_count: u32,
  grid_width: u32,
  kv_heads: u32,
  scratch_keys: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read_write> scratch: array<f32>;
@group(0) @binding(1) var<storage, read_write> lse: array<f32>;
@group(0) @binding(2) var<storage, read> schedule: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

const SENTINEL = -0x1.fffffep+127f;

// alpha: by how much a state shrinks when its maximum rises.
fn rescale(old_maximum: f32, maximum: f32) -> f32 {
  return exp(old_maximum - maximum);
}

// p: what a key counts, beside the maximum.
fn weight(score: f32, maximum: f32) -> f32 {
  return select(exp(score - maximum), 0.0, score == SENTINEL);
}

// l' and A': the rescaled state with a step's sums added.
fn carry_sum(sum: f32, alpha: f32, step: f32) -> f32 {
  return fma(sum, alpha, step);
}

fn carry_values(accumulator: vec4f, alpha: f32, step: vec4f) -> vec4f {
  return fma(accumulator, vec4f(alpha), step);
}

// O and L of a row: its state at the end.
fn finish(accumulator: vec4f, sum: f32) -> vec4f {
  return accumulator / select(sum, 1.0, sum == 0.0);
}

fn log_sum_exp(maximum: f32, sum: f32) -> f32 {
  return select(maximum + log(select(sum, 1.0, sum == 0.0)), SENTINEL, sum == 0.0);
}

fn lse_place(token: u32, head: u32) -> u32 {
  return token * params.lse_token_stride + head * params.lse_head_stride;
}

// Each bit of the result depends on all of x (MurmurHash3's finalizer).
fn mix_bits(x: u32) -> u32 {
  var h = x ^ (x >> 16u);
  h *= 0x85ebca6bu;
  h ^= h >> 13u;
  h *= 0xc2b2ae35u;
  return h ^ (h >> 16u);
}

fn take_in(state: vec2u, word: i32) -> vec2u {
  let a = mix_bits((state.x ^ bitcast<u32>(word)) + 0x9e3779b9u);
  return vec2u(a, mix_bits(state.y ^ a));
}

fn dropout_row(batch: i32, head: i32, query: i32) -> vec2u {
  let seed = vec2u(params.dropout_seed_low, params.dropout_seed_high);
  return take_in(take_in(take_in(seed, batch), head), query);
}

fn drops(row: vec2u, key: i32) -> bool {
  let bits = mix_bits(mix_bits(bitcast<u32>(key) ^ row.x) ^ row.y);
  return bits < params.dropout_threshold;
}

fn kept(dropped: bool) -> f32 {
  return select(params.dropout_factor, 0.0, dropped);
}

fn keep(batch: i32, head: i32, query: i32, key: i32) -> f32 {
  return kept(drops(dropout_row(batch, head, query), key));
}

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

struct WorkTile {
  sequence: u32,
  first_row: u32,
  runs_at: u32,
  state_row: u32,
  state_stride: u32,
  kv_head: u32,
}

fn read_tile(at: u32) -> WorkTile {
  return WorkTile(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
    schedule[at + 3],
    schedule[at + 4],
    schedule[at + 5],
  );
}

// Where a lane's row r has its score of a key.
fn place_of(scratch_at: u32, key: u32, r: u32, lane: u32) -> u32 {
  return (scratch_at + key) * 16 + r * 8 + lane;
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group_index = group_id.z * params.grid_width + group_id.x;
  if (group_index >= params.group_count) {
    return;
  }
  let tile_index = group_index;
  let tile = read_tile(params.tiles_at + tile_index * 8);
  let kv_head = tile.kv_head + group_id.y;
  let sequence = read_sequence(params.sequences_at + tile.sequence * 8);
  let row_count = sequence.query_count * params.group;
  let scratch_at = (tile_index * params.kv_heads + kv_head) * params.scratch_keys;
  let packed_0 = tile.first_row + 0u + lane;
  let row_0 = min(packed_0, row_count - 1u);
  let query_0 = row_0 / params.group;
  let head_0 = kv_head * params.group + row_0 - query_0 * params.group;
  let batch_0 = sequence.batch;
  let position_0 = i32(query_0) + sequence.query_offset;
  let token_0 = sequence.query_start + query_0;
  let packed_1 = tile.first_row + 8u + lane;
  let row_1 = min(packed_1, row_count - 1u);
  let query_1 = row_1 / params.group;
  let head_1 = kv_head * params.group + row_1 - query_1 * params.group;
  let batch_1 = sequence.batch;
  let position_1 = i32(query_1) + sequence.query_offset;
  let token_1 = sequence.query_start + query_1;
  let dropout_0 = dropout_row(batch_0, i32(head_0), position_0);
  let dropout_1 = dropout_row(batch_1, i32(head_1), position_1);
  var maximum_0 = SENTINEL;
  var sum_0 = 0.0;
  var maximum_1 = SENTINEL;
  var sum_1 = 0.0;
  for (var key = 0u; key < sequence.key_count; key++) {
    maximum_0 = max(maximum_0, scratch[place_of(scratch_at, key, 0, lane)]);
    maximum_1 = max(maximum_1, scratch[place_of(scratch_at, key, 1, lane)]);
  }
  for (var first_key = 0u; first_key < sequence.key_count; first_key += 2) {
    var step_0 = 0.0;
    var step_1 = 0.0;
    for (var key = first_key; key < min(first_key + 2, sequence.key_count); key++) {
      {
        let at = place_of(scratch_at, key, 0, lane);
        let p = weight(scratch[at], maximum_0);
        scratch[at] = p;
        step_0 += p;
      }
      {
        let at = place_of(scratch_at, key, 1, lane);
        let p = weight(scratch[at], maximum_1);
        scratch[at] = p;
        step_1 += p;
      }
    }
    sum_0 += step_0;
    sum_1 += step_1;
  }
  let divisor_0 = select(sum_0, 1.0, sum_0 == 0.0);
  let divisor_1 = select(sum_1, 1.0, sum_1 == 0.0);
  for (var key = 0u; key < sequence.key_count; key++) {
    scratch[place_of(scratch_at, key, 0, lane)] /= divisor_0;
    scratch[place_of(scratch_at, key, 0, lane)] *= kept(drops(dropout_0, i32(key)));
    scratch[place_of(scratch_at, key, 1, lane)] /= divisor_1;
    scratch[place_of(scratch_at, key, 1, lane)] *= kept(drops(dropout_1, i32(key)));
  }
  if (packed_0 < row_count) {
    lse[lse_place(token_0, head_0)] = log_sum_exp(maximum_0, sum_0);
  }
  if (packed_1 < row_count) {
    lse[lse_place(token_1, head_1)] = log_sum_exp(maximum_1, sum_1);
  }
}
