enable f16;

struct Params {
  row_count: u32,
  row_stride: u32,
  width_vecs: u32,
  mean: f32,
  eps: f32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

fn load_input(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(input[at + vec]);
}

fn load_weight(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(weight[at + vec]);
}

fn store_output(base: u32, vec: u32, value: vec4f) {
  output[base + vec] = vec4<f32>(value);
}

fn dot4(sum: f32, x: vec4f, y: vec4f) -> f32 {
  return fma(x.x, y.x, fma(x.y, y.y, fma(x.z, y.z, fma(x.w, y.w, sum))));
}

var<workgroup> given: array<f32, 64>;

fn sum_lanes(value: f32, lane: u32) -> f32 {
  given[lane] = value;
  workgroupBarrier();
  let first = lane - lane % 16;
  var sum = f32();
  for (var i = 0u; i < 16; i++) {
    sum += given[first + i];
  }
  workgroupBarrier();
  return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let own = lane % 16;
  let row = group * 4 + lane / 16;
  let live = row < params.row_count;
  // Lanes past the last row go along with it: all must reach the barriers.
  let at = min(row, params.row_count - 1u) * params.row_stride;

  var squares = 0.0;
  for (var vec = own; vec < params.width_vecs; vec += 16) {
    let x = load_input(at, vec);
    squares = dot4(squares, x, x);
  }
  let factor = inverseSqrt(sum_lanes(squares, lane) * params.mean + params.eps);
  if (live) {
    for (var vec = own; vec < params.width_vecs; vec += 16) {
      store_output(at, vec, load_input(at, vec) * factor * load_weight(0u, vec));
    }
  }
}
