struct Params {
  head_vecs: u32,
  sequences_at: u32,
  query_at: u32,
  query_token_stride: u32,
  query_head_stride: u32,
  output_token_stride: u32,
  output_head_stride: u32,
  key_at: u32,
  key_token_stride: u32,
  key_head_stride: u32,
  value_vecs: u32,
  value_at: u32,
  value_token_stride: u32,
  value_head_stride: u32,
  lse_token_stride: u32,
  lse_head_stride: u32,
  row_sizes_at: u32,
  group: u32,
  tiles_at: u32,
  group_count: u32,
  grid_width: u32,
  selected_per_head: u32,
  mask_query_block: u32,
  mask_by_position: u32,
  mask_offset: i32,
  mask_group: u32,
  mask_words: u32,
  mask_batched: u32,
  mask_heads: u32,
  mask_rows: u32,
  mask_key_block: u32,
  selected_bits_at: u32,
  scale: f32,
  query_gradient_token_stride: u32,
  query_gradient_head_stride: u32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(2) var<storage, read> output_gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> row_statistics: array<vec2f>;
@group(0) @binding(6) var<storage, read> selection: array<u32>;
@group(0) @binding(7) var<storage, read_write> query_gradient: array<vec4<f32>>;
@group(0) @binding(8) var<uniform> params: Params;

fn load_query(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(query[at + vec]);
}

fn dot4(sum: f32, x: vec4f, y: vec4f) -> f32 {
  return fma(x.x, y.x, fma(x.y, y.y, fma(x.z, y.z, fma(x.w, y.w, sum))));
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

fn query_place(token: u32, head: u32) -> u32 {
  return params.query_at + token * params.query_token_stride + head * params.query_head_stride;
}

fn load_output_gradient(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(output_gradient[at + vec]);
}

fn output_gradient_place(token: u32, head: u32) -> u32 {
  return token * params.output_token_stride + head * params.output_head_stride;
}

struct Cursor {
  row: u32,
}

fn seek(sequence: Sequence, key: u32) -> Cursor {
  return Cursor(sequence.key_start + key);
}

fn advance(cursor: Cursor, more: bool) -> Cursor {
  return Cursor(cursor.row + select(0u, 1u, more));
}

fn place(cursor: Cursor, token_stride: u32) -> u32 {
  return cursor.row * token_stride;
}

fn load_key(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(key[at + vec]);
}

fn key_place(cursor: Cursor, kv_head: u32) -> u32 {
  return place(cursor, params.key_token_stride) + kv_head * params.key_head_stride + params.key_at;
}

fn load_value(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(value[at + vec]);
}

fn value_place(cursor: Cursor, kv_head: u32) -> u32 {
  return place(cursor, params.value_token_stride) + kv_head * params.value_head_stride + params.value_at;
}

fn lse_place(token: u32, head: u32) -> u32 {
  return token * params.lse_token_stride + head * params.lse_head_stride;
}

struct RowSizes {
  head_vecs: u32,
  value_vecs: u32,
}

fn read_row_sizes(at: u32) -> RowSizes {
  return RowSizes(
    schedule[at + 0],
    schedule[at + 1],
  );
}

struct WorkTile {
  sequence: u32,
  first_row: u32,
  runs_at: u32,
  state_row: u32,
  state_stride: u32,
  kv_head: u32,
  selected_at: u32,
  selected_stride: u32,
}

fn read_tile(at: u32) -> WorkTile {
  return WorkTile(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
    schedule[at + 3],
    schedule[at + 4],
    schedule[at + 5],
    schedule[at + 6],
    schedule[at + 7],
  );
}

// The position that rows of blocks are counted from.
fn block_origin(sequence: Sequence) -> i32 {
  return select(sequence.query_offset, params.mask_offset, params.mask_by_position == 1u);
}

// The row of blocks of a query, by its position.
fn block_row(query: i32, origin: i32) -> u32 {
  return u32(query - origin) / params.mask_query_block;
}

// The first word of a row of blocks, of one of the mask's heads.
fn row_bits(batch: i32, mask_head: u32, row: u32) -> u32 {
  let plane = u32(batch) * params.mask_batched * params.mask_heads + mask_head;
  return (plane * params.mask_rows + row) * params.mask_words;
}

fn selected_list(tile: WorkTile, kv_head: u32) -> u32 {
  return tile.selected_at + tile.selected_stride * kv_head * params.selected_per_head;
}

// That of the work tile at hand.
var<private> own_origin: i32;

fn block_sees(batch: i32, head: i32, query: i32, key: i32) -> bool {
  let row = row_bits(batch, u32(head) / params.mask_group, block_row(query, own_origin));
  let block = u32(key) / params.mask_key_block;
  let word = selection[params.selected_bits_at + row + (block >> 5u)];
  return ((word >> (block & 31u)) & 1u) == 1u;
}

struct RunList {
  runs_at: u32,
  count: u32,
}

fn read_run_list(at: u32) -> RunList {
  return RunList(
    selection[at + 0],
    selection[at + 1],
  );
}

struct KeyRun {
  first_key: u32,
  end_key: u32,
  full: u32,
}

fn read_key_run(at: u32) -> KeyRun {
  return KeyRun(
    selection[at + 0],
    selection[at + 1],
    selection[at + 2],
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

fn non_finite(value: vec4f) -> vec4<bool> {
  let exponent = vec4u(0x7f800000u);
  return (bitcast<vec4u>(value) & exponent) == exponent;
}

fn mod_score(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
  return score;
}

fn mod_mask(batch: i32, head: i32, query: i32, key: i32) -> bool {
  // causal
  let mask0 = (key <= query);
  return mask0;
}

fn modify(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
  let result = score;
  return select(result, SENTINEL, result < SENTINEL);
}

fn sees(batch: i32, head: i32, query: i32, key: i32, key_count: i32) -> bool {
  return key < key_count && block_sees(batch, head, query, key) && mod_mask(batch, head, query, key);
}

fn modify_derivative(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
  return 1.0;
}

fn store_query_gradient(base: u32, vec: u32, value: vec4f) {
  query_gradient[base + vec] = vec4<f32>(value);
}

fn query_gradient_place(token: u32, head: u32) -> u32 {
  return token * params.query_gradient_token_stride + head * params.query_gradient_head_stride;
}

var<workgroup> accumulator: array<vec4f, 256>;

// Where a lane's row r has column vec: lanes side by side.
fn own(r: u32, vec: u32, lane: u32) -> u32 {
  return (vec * 2 + r) * 8 + lane;
}

fn finite_key(base: u32, vec: u32) -> vec4f {
  let k = load_key(base, vec);
  return select(k, vec4f(0.0), non_finite(k));
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
  let tile_list = selected_list(tile, kv_head);
  own_origin = block_origin(sequence);

  let row_sizes = read_row_sizes(params.row_sizes_at);

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

  let query_at_0 = query_place(token_0, head_0);
  let query_at_1 = query_place(token_1, head_1);

  let gradient_at_0 = output_gradient_place(token_0, head_0);
  let statistics_0 = row_statistics[lse_place(token_0, head_0)];

  let gradient_at_1 = output_gradient_place(token_1, head_1);
  let statistics_1 = row_statistics[lse_place(token_1, head_1)];

  for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
    accumulator[own(0, vec, lane)] = vec4f(0.0);
    accumulator[own(1, vec, lane)] = vec4f(0.0);
  }

  let runs = read_run_list(tile_list);
  for (var run_index = 0u; run_index < runs.count; run_index++) {
    let run = read_key_run(runs.runs_at + run_index * 3);
    let end_key = min(run.end_key, sequence.key_count);
    let masked = run.full == 0u;
    var cursor = seek(sequence, run.first_key);
    for (var first_key = run.first_key; first_key < end_key; first_key += 2) {
      let key_0 = key_place(cursor, kv_head);
      let value_0 = value_place(cursor, kv_head);
      cursor = advance(cursor, first_key + 0 + 1u < sequence.key_count);
      let key_1 = key_place(cursor, kv_head);
      let value_1 = value_place(cursor, kv_head);
      cursor = advance(cursor, first_key + 1 + 1u < sequence.key_count);
      var s_0_0 = 0.0;
      var s_0_1 = 0.0;
      var s_1_0 = 0.0;
      var s_1_1 = 0.0;
      for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
        let q_0 = load_query(query_at_0, vec);
        let q_1 = load_query(query_at_1, vec);
        {
          let k = load_key(key_0, vec);
          s_0_0 = dot4(s_0_0, q_0, k);
          s_1_0 = dot4(s_1_0, q_1, k);
        }
        {
          let k = load_key(key_1, vec);
          s_0_1 = dot4(s_0_1, q_0, k);
          s_1_1 = dot4(s_1_1, q_1, k);
        }
      }

      // A loop at run time: unrolled, the mask would be inlined once a score, and
      // compiling would take seconds.
      var hidden_0 = 0u;
      var hidden_1 = 0u;
      if (masked) {
        for (var j = 0u; j < 2; j++) {
          let key = i32(first_key + j);
          hidden_0 |= select(1u << j, 0u, sees(batch_0, i32(head_0), position_0, key, i32(sequence.key_count)));
          hidden_1 |= select(1u << j, 0u, sees(batch_1, i32(head_1), position_1, key, i32(sequence.key_count)));
        }
      }
      s_0_0 = select(s_0_0 * params.scale, SENTINEL, extractBits(hidden_0, 0, 1u) != 0u);
      s_0_1 = select(s_0_1 * params.scale, SENTINEL, extractBits(hidden_0, 1, 1u) != 0u);
      s_1_0 = select(s_1_0 * params.scale, SENTINEL, extractBits(hidden_1, 0, 1u) != 0u);
      s_1_1 = select(s_1_1 * params.scale, SENTINEL, extractBits(hidden_1, 1, 1u) != 0u);
      s_0_0 = weight(s_0_0, statistics_0.x);
      s_0_1 = weight(s_0_1, statistics_0.x);
      s_1_0 = weight(s_1_0, statistics_1.x);
      s_1_1 = weight(s_1_1, statistics_1.x);
      var dp_0_0 = 0.0;
      var dp_0_1 = 0.0;
      var dp_1_0 = 0.0;
      var dp_1_1 = 0.0;
      for (var vec = 0u; vec < row_sizes.value_vecs; vec++) {
        let g_0 = load_output_gradient(gradient_at_0, vec);
        let g_1 = load_output_gradient(gradient_at_1, vec);
        {
          let v = load_value(value_0, vec);
          dp_0_0 = dot4(dp_0_0, g_0, v);
          dp_1_0 = dot4(dp_1_0, g_1, v);
        }
        {
          let v = load_value(value_1, vec);
          dp_0_1 = dot4(dp_0_1, g_0, v);
          dp_1_1 = dot4(dp_1_1, g_1, v);
        }
      }
      let ds_0_0 = select(s_0_0 * (dp_0_0 - statistics_0.y), 0.0, s_0_0 == 0.0);
      let ds_0_1 = select(s_0_1 * (dp_0_1 - statistics_0.y), 0.0, s_0_1 == 0.0);
      let ds_1_0 = select(s_1_0 * (dp_1_0 - statistics_1.y), 0.0, s_1_0 == 0.0);
      let ds_1_1 = select(s_1_1 * (dp_1_1 - statistics_1.y), 0.0, s_1_1 == 0.0);
      for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
        var x_0 = vec4f(0.0);
        var x_1 = vec4f(0.0);
        {
          let k = finite_key(key_0, vec);
          x_0 = fma(vec4f(ds_0_0), k, x_0);
          x_1 = fma(vec4f(ds_1_0), k, x_1);
        }
        {
          let k = finite_key(key_1, vec);
          x_0 = fma(vec4f(ds_0_1), k, x_0);
          x_1 = fma(vec4f(ds_1_1), k, x_1);
        }
        accumulator[own(0, vec, lane)] = accumulator[own(0, vec, lane)] + x_0;
        accumulator[own(1, vec, lane)] = accumulator[own(1, vec, lane)] + x_1;
      }
    }
  }

  if (packed_0 < row_count) {
    let out_0 = query_gradient_place(token_0, head_0);
    for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
      let gradient = accumulator[own(0, vec, lane)] * params.scale;
      store_query_gradient(out_0, vec, gradient);
    }
  }

  if (packed_1 < row_count) {
    let out_1 = query_gradient_place(token_1, head_1);
    for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
      let gradient = accumulator[own(1, vec, lane)] * params.scale;
      store_query_gradient(out_1, vec, gradient);
    }
  }
}
