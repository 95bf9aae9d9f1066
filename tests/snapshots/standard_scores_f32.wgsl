struct Params {
  head_vecs: u32,
  sequences_at: u32,
  query_at: u32,
  query_token_stride: u32,
  query_head_stride: u32,
  key_at: u32,
  key_token_stride: u32,
  key_head_stride: u32,
  value_vecs: u32,
  value_at: u32,
  value_token_stride: u32,
  value_head_stride: u32,
  scale: f32,
  group: u32,
  tiles_at: u32,
  group_count: u32,
  grid_width: u32,
  kv_heads: u32,
  scratch_keys: u32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(2) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> scratch: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

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

fn value_place(cursor: Cursor, kv_head: u32) -> u32 {
  return place(cursor, params.value_token_stride) + kv_head * params.value_head_stride + params.value_at;
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
  return key < key_count && mod_mask(batch, head, query, key);
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
  let query_at_0 = query_place(token_0, head_0);
  let query_at_1 = query_place(token_1, head_1);
  let masked = true;
  if (sequence.key_count > 0u) {
    var cursor = seek(sequence, 0u);
    for (var first_key = 0u; first_key < sequence.key_count; first_key += 2) {
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
      for (var vec = 0u; vec < params.head_vecs; vec++) {
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
      if (first_key + 0 < sequence.key_count) {
        scratch[place_of(scratch_at, first_key + 0, 0, lane)] = s_0_0;
      }
      if (first_key + 1 < sequence.key_count) {
        scratch[place_of(scratch_at, first_key + 1, 0, lane)] = s_0_1;
      }
      if (first_key + 0 < sequence.key_count) {
        scratch[place_of(scratch_at, first_key + 0, 1, lane)] = s_1_0;
      }
      if (first_key + 1 < sequence.key_count) {
        scratch[place_of(scratch_at, first_key + 1, 1, lane)] = s_1_1;
      }
    }
  }
}
