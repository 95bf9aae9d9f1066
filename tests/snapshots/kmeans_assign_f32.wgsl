struct Params {
  heads: u32,
  members: u32,
  row_stride: u32,
  head_vecs: u32,
  clusters: u32,
  groups: u32,
  first: u32,
  end: u32,
}

@group(0) @binding(0) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> centroids: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read> halves: array<f32>;
@group(0) @binding(4) var<storage, read_write> best: array<f32>;
@group(0) @binding(5) var<storage, read_write> labels: array<u32>;
@group(0) @binding(6) var<uniform> params: Params;

fn load_row(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(rows[at + vec]);
}

fn load_centroid(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(centroids[at + vec]);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let head = group / params.groups;
  let member = (group - head * params.groups) * 64 + lane;
  if (head >= params.heads || member >= params.members) {
    return;
  }
  let own = head * params.members + member;
  let own_at = own * params.row_stride;
  let scale = scales[own];
  var most = -0x1.fffffep+127f;
  var nearest = 0u;
  if (params.first > 0u) {
    most = best[own];
    nearest = labels[own];
  }
  let clusters_at = head * params.clusters;
  for (var first = params.first; first < params.end; first += 4) {
    let cluster_0 = clusters_at + min(first + 0, params.end - 1u);
    var product_0 = 0.0;
    let cluster_1 = clusters_at + min(first + 1, params.end - 1u);
    var product_1 = 0.0;
    let cluster_2 = clusters_at + min(first + 2, params.end - 1u);
    var product_2 = 0.0;
    let cluster_3 = clusters_at + min(first + 3, params.end - 1u);
    var product_3 = 0.0;
    for (var vec = 0u; vec < params.head_vecs; vec++) {
      let row = load_row(own_at, vec) * scale;
      product_0 += dot(row, load_centroid(cluster_0 * params.row_stride, vec));
      product_1 += dot(row, load_centroid(cluster_1 * params.row_stride, vec));
      product_2 += dot(row, load_centroid(cluster_2 * params.row_stride, vec));
      product_3 += dot(row, load_centroid(cluster_3 * params.row_stride, vec));
    }
    let nearness_0 = product_0 - halves[cluster_0];
    if (nearness_0 > most) {
      most = nearness_0;
      nearest = cluster_0 - clusters_at;
    }
    let nearness_1 = product_1 - halves[cluster_1];
    if (nearness_1 > most) {
      most = nearness_1;
      nearest = cluster_1 - clusters_at;
    }
    let nearness_2 = product_2 - halves[cluster_2];
    if (nearness_2 > most) {
      most = nearness_2;
      nearest = cluster_2 - clusters_at;
    }
    let nearness_3 = product_3 - halves[cluster_3];
    if (nearness_3 > most) {
      most = nearness_3;
      nearest = cluster_3 - clusters_at;
    }
  }
  best[own] = most;
  labels[own] = nearest;
}
