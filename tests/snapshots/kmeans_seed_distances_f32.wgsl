struct Params {
  heads: u32,
  members: u32,
  row_stride: u32,
  head_vecs: u32,
  clusters: u32,
  groups: u32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> scales: array<f32>;
@group(0) @binding(2) var<storage, read> picks: array<u32>;
@group(0) @binding(3) var<storage, read_write> distances: array<f32>;
@group(0) @binding(4) var<storage, read_write> labels: array<u32>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

fn load_row(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(rows[at + vec]);
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
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let head = group / params.groups;
  if (head >= params.heads) {
    return;
  }
  let member = (group - head * params.groups) * 64 + lane;
  let own = head * params.members + member;
  let picks_at = head * (params.clusters + 1u);
  let taken = picks[picks_at];
  var distance = 0.0;
  // What has no direction is no seed.
  if (member < params.members && scales[own] > 0.0) {
    if (taken == 0u) {
      distance = 1.0;
    } else {
      let seed = head * params.members + picks[picks_at + taken];
      let seed_at = seed * params.row_stride;
      let own_at = own * params.row_stride;
      for (var vec = 0u; vec < params.head_vecs; vec++) {
        let apart = load_row(own_at, vec) * scales[own] - load_row(seed_at, vec) * scales[seed];
        distance += dot(apart, apart);
      }
      if (taken == 1u || distance < distances[own]) {
        labels[own] = taken - 1u;
      } else {
        distance = distances[own];
      }
    }
    distances[own] = distance;
  } else if (member < params.members) {
    labels[own] = 0u;
  }
  let sum = sum_lanes(distance, lane);
  if (lane == 0u) {
    sums[group] = sum;
  }
}
