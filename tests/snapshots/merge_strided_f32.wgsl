struct Params {
  value_vecs: u32,
  stats_at: u32,
  sequences_at: u32,
  group: u32,
  tiles_at: u32,
  group_count: u32,
  grid_width: u32,
  output_at: u32,
  output_token_stride: u32,
  output_head_stride: u32,
  output_batch_stride: u32,
  lse_token_stride: u32,
  lse_head_stride: u32,
  lse_batch_stride: u32,
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

struct MergeTile {
  sequence: u32,
  first_row: u32,
  states_at: u32,
  state_count: u32,
  row_count: u32,
  kv_head: u32,
}

fn read_tile(at: u32) -> MergeTile {
  return MergeTile(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
    schedule[at + 3],
    schedule[at + 4],
    schedule[at + 5],
  );
}

struct State {
  row: u32,
  stride: u32,
}

fn read_state(at: u32) -> State {
  return State(
    schedule[at + 0],
    schedule[at + 1],
  );
}

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

fn store_output(base: u32, vec: u32, value: vec4f) {
  output[base + vec] = vec4<f32>(value);
}

fn output_place(batch: i32, token: u32, head: u32) -> u32 {
  return params.output_at + u32(batch) * params.output_batch_stride + token * params.output_token_stride + head * params.output_head_stride;
}

fn lse_place(batch: i32, token: u32, head: u32) -> u32 {
  return u32(batch) * params.lse_batch_stride + token * params.lse_token_stride + head * params.lse_head_stride;
}

fn write_row(row: u32, vec: u32, accumulator: vec4f, sum: f32) {
  store_output(row, vec, finish(accumulator, sum));
}

fn write_stats(row: u32, maximum: f32, sum: f32) {
  lse[row] = log_sum_exp(maximum, sum);
}

fn state_row(tile: MergeTile, index: u32, kv_head: u32) -> u32 {
  let state = read_state(tile.states_at + index * 2);
  return state.row + kv_head * state.stride;
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
  for (var index = lane; index < tile.row_count * params.value_vecs; index += 8) {
    let local = index / params.value_vecs;
    let vec = index - local * params.value_vecs;
    let row = tile.first_row + local;
    let query = row / params.group;
    let head = kv_head * params.group + row - query * params.group;
    let token = sequence.query_start + query;

    var maximum = SENTINEL;
    for (var i = 0u; i < tile.state_count; i++) {
      maximum = max(maximum, states[params.stats_at + state_row(tile, i, kv_head) + local].x);
    }
    var sum = 0.0;
    var accumulator = vec4f(0.0);
    for (var i = 0u; i < tile.state_count; i++) {
      let at = state_row(tile, i, kv_head) + local;
      let stats = states[params.stats_at + at];
      let scaling = select(exp(stats.x - maximum), 1.0, stats.x == maximum);
      sum = fma(scaling, stats.y, sum);
      accumulator = fma(vec4f(scaling), states[at * params.value_vecs + vec], accumulator);
    }
    write_row(output_place(sequence.batch, token, head), vec, accumulator, sum);
    if (vec == 0u) {
      write_stats(lse_place(sequence.batch, token, head), maximum, sum);
    }
  }
}
