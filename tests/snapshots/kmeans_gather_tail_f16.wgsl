enable f16;

struct Params {
  head_dim: u32,
  heads: u32,
  members: u32,
  row_stride: u32,
  head_vecs: u32,
  count: u32,
  first_head: u32,
  head_stride: u32,
}

@group(0) @binding(0) var<storage, read> source: array<f16>;
@group(0) @binding(1) var<storage, read_write> rows: array<f32>;
@group(0) @binding(2) var<storage, read> places: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> scales: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

fn tail_vec(value: vec4f, more: u32) -> vec4f {
  return select(vec4f(0.0), value, vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
}

fn load_source(base: u32, vec: u32) -> vec4f {
  let i = 4u * vec;
  let last = params.head_dim - 1u;
  let at = base;
  return tail_vec(vec4f(f32(source[at + i]), f32(source[at + min(i + 1u, last)]), f32(source[at + min(i + 2u, last)]), f32(source[at + min(i + 3u, last)])), last - i);
}

fn store_row(base: u32, vec: u32, value: vec4f) {
  let i = 4u * vec;
  rows[base + i] = f32(value[0]);
  if (i + 1 < params.head_dim) { rows[base + i + 1] = f32(value[1]); }
  if (i + 2 < params.head_dim) { rows[base + i + 2] = f32(value[2]); }
  if (i + 3 < params.head_dim) { rows[base + i + 3] = f32(value[3]); }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  if (index >= params.heads * params.count) {
    return;
  }
  let head = index / params.count;
  let place = places[index - head * params.count];
  let source_at = place.y + (params.first_head + head) * params.head_stride;
  let member = head * params.members + place.x;
  var largest = 0.0;
  for (var vec = 0u; vec < params.head_vecs; vec++) {
    let key = load_source(source_at, vec);
    store_row(member * params.row_stride, vec, key);
    let size = abs(key);
    largest = max(largest, max(max(size.x, size.y), max(size.z, size.w)));
  }
  var scale = 0.0;
  if (largest > 0.0) {
    var squares = 0.0;
    for (var vec = 0u; vec < params.head_vecs; vec++) {
      let key = load_source(source_at, vec) / largest;
      squares += dot(key, key);
    }
    scale = 1.0 / largest / sqrt(squares);
  }
  scales[member] = scale;
}
