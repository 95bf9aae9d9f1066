struct Params {
  query_token_stride: u32,
  query_head_stride: u32,
  head_vecs: u32,
  rows: u32,
  group: u32,
  kv_heads: u32,
  clusters: u32,
  centroid_stride: u32,
  scale: f32,
  row_tiles: u32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> centroids: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> counts: array<u32>;
@group(0) @binding(3) var<storage, read_write> denominators: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

fn load_query(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(query[at + vec]);
}

fn query_place(token: u32, head: u32) -> u32 {
  return token * params.query_token_stride + head * params.query_head_stride;
}

fn load_centroid(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(centroids[at + vec]);
}

fn dot4(sum: f32, x: vec4f, y: vec4f) -> f32 {
  return fma(x.x, y.x, fma(x.y, y.y, fma(x.z, y.z, fma(x.w, y.w, sum))));
}

// Queries of a tile; those past the last are zeros.
var<workgroup> tile_rows: array<vec4f, 512>;

fn load_tile(first_row: u32, kv_head: u32, lane: u32) {
  for (var i = lane; i < 8 * params.head_vecs; i += 64) {
    let row = first_row + i / params.head_vecs;
    var value = vec4f(0.0);
    if (row < params.rows) {
      let head = kv_head * params.group + row % params.group;
      value = load_query(query_place(row / params.group, head), i % params.head_vecs);
    }
    tile_rows[i] = value;
  }
  workgroupBarrier();
}

// How many clusters a kv head looks at, and which is the i-th.
fn looked_at(kv_head: u32) -> u32 {
  return params.clusters;
}

fn cluster_of(kv_head: u32, i: u32) -> u32 {
  return i;
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

// The states of a tile's queries, lane by lane.
var<workgroup> maxima: array<f32, 64 * 8>;
var<workgroup> totals: array<f32, 64 * 8>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let kv_head = group / params.row_tiles;
  let first_row = (group - kv_head * params.row_tiles) * 8;
  if (kv_head >= params.kv_heads) {
    return;
  }
  load_tile(first_row, kv_head, lane);
  var m_0 = SENTINEL;
  var l_0 = 0.0;
  var m_1 = SENTINEL;
  var l_1 = 0.0;
  var m_2 = SENTINEL;
  var l_2 = 0.0;
  var m_3 = SENTINEL;
  var l_3 = 0.0;
  var m_4 = SENTINEL;
  var l_4 = 0.0;
  var m_5 = SENTINEL;
  var l_5 = 0.0;
  var m_6 = SENTINEL;
  var l_6 = 0.0;
  var m_7 = SENTINEL;
  var l_7 = 0.0;
  let count = looked_at(kv_head);
  for (var i = lane; i < count; i += 64) {
    let place = kv_head * params.clusters + cluster_of(kv_head, i);
    let members = counts[place];
    if (members > 0u) {
      let centroid_at = place * params.centroid_stride;
      let bias = log(f32(members));
      var s_0_0 = 0.0;
      var s_1_0 = 0.0;
      var s_2_0 = 0.0;
      var s_3_0 = 0.0;
      var s_4_0 = 0.0;
      var s_5_0 = 0.0;
      var s_6_0 = 0.0;
      var s_7_0 = 0.0;
      for (var vec = 0u; vec < params.head_vecs; vec++) {
        let q_0 = tile_rows[0 * params.head_vecs + vec];
        let q_1 = tile_rows[1 * params.head_vecs + vec];
        let q_2 = tile_rows[2 * params.head_vecs + vec];
        let q_3 = tile_rows[3 * params.head_vecs + vec];
        let q_4 = tile_rows[4 * params.head_vecs + vec];
        let q_5 = tile_rows[5 * params.head_vecs + vec];
        let q_6 = tile_rows[6 * params.head_vecs + vec];
        let q_7 = tile_rows[7 * params.head_vecs + vec];
        {
          let c = load_centroid(centroid_at, vec);
          s_0_0 = dot4(s_0_0, q_0, c);
          s_1_0 = dot4(s_1_0, q_1, c);
          s_2_0 = dot4(s_2_0, q_2, c);
          s_3_0 = dot4(s_3_0, q_3, c);
          s_4_0 = dot4(s_4_0, q_4, c);
          s_5_0 = dot4(s_5_0, q_5, c);
          s_6_0 = dot4(s_6_0, q_6, c);
          s_7_0 = dot4(s_7_0, q_7, c);
        }
      }
      let score_0 = fma(s_0_0, params.scale, bias);
      let max_0 = max(m_0, score_0);
      l_0 = carry_sum(l_0, rescale(m_0, max_0), weight(score_0, max_0));
      m_0 = max_0;
      let score_1 = fma(s_1_0, params.scale, bias);
      let max_1 = max(m_1, score_1);
      l_1 = carry_sum(l_1, rescale(m_1, max_1), weight(score_1, max_1));
      m_1 = max_1;
      let score_2 = fma(s_2_0, params.scale, bias);
      let max_2 = max(m_2, score_2);
      l_2 = carry_sum(l_2, rescale(m_2, max_2), weight(score_2, max_2));
      m_2 = max_2;
      let score_3 = fma(s_3_0, params.scale, bias);
      let max_3 = max(m_3, score_3);
      l_3 = carry_sum(l_3, rescale(m_3, max_3), weight(score_3, max_3));
      m_3 = max_3;
      let score_4 = fma(s_4_0, params.scale, bias);
      let max_4 = max(m_4, score_4);
      l_4 = carry_sum(l_4, rescale(m_4, max_4), weight(score_4, max_4));
      m_4 = max_4;
      let score_5 = fma(s_5_0, params.scale, bias);
      let max_5 = max(m_5, score_5);
      l_5 = carry_sum(l_5, rescale(m_5, max_5), weight(score_5, max_5));
      m_5 = max_5;
      let score_6 = fma(s_6_0, params.scale, bias);
      let max_6 = max(m_6, score_6);
      l_6 = carry_sum(l_6, rescale(m_6, max_6), weight(score_6, max_6));
      m_6 = max_6;
      let score_7 = fma(s_7_0, params.scale, bias);
      let max_7 = max(m_7, score_7);
      l_7 = carry_sum(l_7, rescale(m_7, max_7), weight(score_7, max_7));
      m_7 = max_7;
    }
  }
  maxima[lane * 8 + 0] = m_0;
  totals[lane * 8 + 0] = l_0;
  maxima[lane * 8 + 1] = m_1;
  totals[lane * 8 + 1] = l_1;
  maxima[lane * 8 + 2] = m_2;
  totals[lane * 8 + 2] = l_2;
  maxima[lane * 8 + 3] = m_3;
  totals[lane * 8 + 3] = l_3;
  maxima[lane * 8 + 4] = m_4;
  totals[lane * 8 + 4] = l_4;
  maxima[lane * 8 + 5] = m_5;
  totals[lane * 8 + 5] = l_5;
  maxima[lane * 8 + 6] = m_6;
  totals[lane * 8 + 6] = l_6;
  maxima[lane * 8 + 7] = m_7;
  totals[lane * 8 + 7] = l_7;
  workgroupBarrier();
  let row = first_row + lane;
  if (lane >= 8 || row >= params.rows) {
    return;
  }
  var maximum = SENTINEL;
  for (var other = 0u; other < 64; other++) {
    maximum = max(maximum, maxima[other * 8 + lane]);
  }
  var total = 0.0;
  for (var other = 0u; other < 64; other++) {
    total += totals[other * 8 + lane] * weight(maxima[other * 8 + lane], maximum);
  }
  denominators[kv_head * params.rows + row] = log_sum_exp(maximum, total);
}
