struct Params {
  heads: u32,
  members: u32,
  row_stride: u32,
  head_vecs: u32,
  clusters: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> scales: array<f32>;
@group(0) @binding(2) var<storage, read_write> centroids: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> labels: array<u32>;
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;
@group(0) @binding(5) var<storage, read_write> halves: array<f32>;
@group(0) @binding(6) var<storage, read_write> moved: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;

fn load_row(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(rows[at + vec]);
}

fn load_centroid(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(centroids[at + vec]);
}

fn store_centroid(base: u32, vec: u32, value: vec4f) {
  centroids[base + vec] = vec4<f32>(value);
}

// Which members of a chunk are the cluster's, a bit each.
var<workgroup> own_bits: array<atomic<u32>, 2>;

var<workgroup> given: array<vec2f, 64>;

fn sum_lanes(value: vec2f, lane: u32) -> vec2f {
  given[lane] = value;
  workgroupBarrier();
  let first = lane - lane % 64;
  var sum = vec2f();
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
  let head = group / params.clusters;
  if (head >= params.heads) {
    return;
  }
  let cluster = group - head * params.clusters;
  let centroid_at = group * params.row_stride;
  let live = lane < params.head_vecs;
  var sum = vec4f(0.0);
  var total = 0u;
  for (var first = 0u; first < params.members; first += 64) {
    if (lane < 2) {
      atomicStore(&own_bits[lane], 0u);
    }
    workgroupBarrier();
    let member = first + lane;
    if (member < params.members && labels[head * params.members + member] == cluster) {
      atomicOr(&own_bits[lane / 32u], 1u << (lane % 32u));
    }
    workgroupBarrier();
    for (var word = 0u; word < 2; word++) {
      var bits = atomicLoad(&own_bits[word]);
      while (bits != 0u) {
        let own = head * params.members + first + 32u * word + countTrailingZeros(bits);
        bits &= bits - 1u;
        total += 1u;
        if (live) {
          sum += load_row(own * params.row_stride, lane) * scales[own];
        }
      }
    }
    workgroupBarrier();
  }
  var centroid = vec4f(0.0);
  var change = 0.0;
  if (live) {
    centroid = load_centroid(centroid_at, lane);
    if (total > 0u) {
      let mean = sum / f32(total);
      change = select(0.0, 1.0, any(mean != centroid));
      centroid = mean;
      store_centroid(centroid_at, lane, mean);
    }
  }
  let sums = sum_lanes(vec2f(dot(centroid, centroid), change), lane);
  if (lane == 0u) {
    counts[group] = total;
    moved[group] = select(0u, 1u, sums.y > 0.0);
    if (total > 0u) {
      halves[group] = 0.5 * sums.x;
    }
  }
}
