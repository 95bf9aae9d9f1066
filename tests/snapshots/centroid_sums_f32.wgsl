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
  chunks: u32,
  chunk_rows: u32,
  cluster_tiles: u32,
}

@group(0) @binding(0) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> centroids: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> counts: array<u32>;
@group(0) @binding(3) var<storage, read> denominators: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

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

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let cluster_tile = group % params.cluster_tiles;
  let plane = group / params.cluster_tiles;
  let kv_head = plane / params.chunks;
  let chunk = plane - kv_head * params.chunks;
  if (kv_head >= params.kv_heads) {
    return;
  }
  let i = cluster_tile * 64 + lane;
  let live = i < looked_at(kv_head);
  // Lanes past the last cluster go along with it: all must reach the barriers.
  let cluster = cluster_of(kv_head, select(0u, i, live));
  let place = kv_head * params.clusters + cluster;
  let centroid_at = place * params.centroid_stride;
  let first = chunk * params.chunk_rows;
  let end = min(first + params.chunk_rows, params.rows);
  var sum = 0.0;
  for (var first_row = first; first_row < end; first_row += 8) {
    load_tile(first_row, kv_head, lane);
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
    if (first_row + 0 < end) {
      let denominator = denominators[kv_head * params.rows + first_row + 0];
      sum += exp(fma(s_0_0, params.scale, -denominator));
    }
    if (first_row + 1 < end) {
      let denominator = denominators[kv_head * params.rows + first_row + 1];
      sum += exp(fma(s_1_0, params.scale, -denominator));
    }
    if (first_row + 2 < end) {
      let denominator = denominators[kv_head * params.rows + first_row + 2];
      sum += exp(fma(s_2_0, params.scale, -denominator));
    }
    if (first_row + 3 < end) {
      let denominator = denominators[kv_head * params.rows + first_row + 3];
      sum += exp(fma(s_3_0, params.scale, -denominator));
    }
    if (first_row + 4 < end) {
      let denominator = denominators[kv_head * params.rows + first_row + 4];
      sum += exp(fma(s_4_0, params.scale, -denominator));
    }
    if (first_row + 5 < end) {
      let denominator = denominators[kv_head * params.rows + first_row + 5];
      sum += exp(fma(s_5_0, params.scale, -denominator));
    }
    if (first_row + 6 < end) {
      let denominator = denominators[kv_head * params.rows + first_row + 6];
      sum += exp(fma(s_6_0, params.scale, -denominator));
    }
    if (first_row + 7 < end) {
      let denominator = denominators[kv_head * params.rows + first_row + 7];
      sum += exp(fma(s_7_0, params.scale, -denominator));
    }
    workgroupBarrier();
  }
  if (live) {
    sums[plane * params.clusters + cluster] = sum;
  }
}
