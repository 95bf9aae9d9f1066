struct Params {
  clusters: u32,
  heads: u32,
  members: u32,
  groups: u32,
}

@group(0) @binding(0) var<storage, read> draws: array<f32>;
@group(0) @binding(1) var<storage, read> distances: array<f32>;
@group(0) @binding(2) var<storage, read> sums: array<f32>;
@group(0) @binding(3) var<storage, read_write> picks: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 32 + lane;
  let head = index;
  if (head >= params.heads) {
    return;
  }
  let picks_at = head * (params.clusters + 1u);
  let taken = picks[picks_at];
  if (taken >= params.clusters) {
    return;
  }
  let sums_at = head * params.groups;
  var all = 0.0;
  for (var i = 0u; i < params.groups; i++) {
    all += sums[sums_at + i];
  }
  let aim = draws[head * params.clusters + taken] * all;
  // The last group that has a distance, if rounding leaves none that passes.
  var before = 0.0;
  var chosen = 0u;
  var chosen_before = 0.0;
  for (var i = 0u; i < params.groups; i++) {
    let sum = sums[sums_at + i];
    if (sum > 0.0) {
      chosen = i;
      chosen_before = before;
      before += sum;
      if (before > aim) {
        break;
      }
    }
  }
  let first = chosen * 64;
  let count = min(64, params.members - first);
  let distances_at = head * params.members + first;
  var pick = first;
  var passed = chosen_before;
  for (var i = 0u; i < count; i++) {
    let distance = distances[distances_at + i];
    if (distance > 0.0) {
      pick = first + i;
      passed += distance;
      if (passed > aim) {
        break;
      }
    }
  }
  picks[picks_at + 1u + taken] = pick;
  picks[picks_at] = taken + 1u;
}
