struct Params {
  heads: u32,
  members: u32,
  row_stride: u32,
  head_vecs: u32,
  clusters: u32,
  more: u32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> centroids: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> counts: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

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
  if (params.more != 0u) {
    total = counts[group];
    if (live) {
      sum = load_centroid(centroid_at, lane) * f32(total);
    }
  }
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
          sum += load_row(own * params.row_stride, lane) * 1.0;
        }
      }
    }
    workgroupBarrier();
  }
  // Every lane has read the count by now.
  storageBarrier();
  if (live) {
    store_centroid(centroid_at, lane, sum / f32(max(total, 1u)));
  }
  if (lane == 0u) {
    counts[group] = total;
  }
}
