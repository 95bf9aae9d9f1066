enable f16;

struct Params {
  rotary_pairs: u32,
  row_count: u32,
  row_stride: u32,
  head_vecs: u32,
  batch_rows: u32,
  batch_tokens: u32,
  token_rows: u32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> input: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read> rotary: array<vec2f>;
@group(0) @binding(4) var<uniform> params: Params;

fn load_row(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(input[at + vec]);
}

fn store_row(base: u32, vec: u32, value: vec4f) {
  output[base + vec] = vec4<f16>(value);
}

fn rotate_row(base: u32, vec: u32, position: u32) -> vec4f {
  var row = load_row(base, vec);
  for (var c = 0u; c < 4u; c++) {
    let i = 4u * vec + c;
    if (i < 2u * params.rotary_pairs) {
      let pair = i / 2u;
      let partner = i ^ 1u;
      let first = (i & 1u) == 0u;
      let turn = rotary[position * params.rotary_pairs + pair];
      let other = load_row(base, partner / 4u)[partner % 4u];
      row[c] = fma(row[c], turn.x, select(other, -other, first) * turn.y);
    }
  }
  return row;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  let row = index / params.head_vecs;
  let vec = index - row * params.head_vecs;
  if (row >= params.row_count) {
    return;
  }
  let token = row / params.batch_rows * params.batch_tokens
  + row / params.token_rows % params.batch_tokens;
  let at = row * params.row_stride;
  store_row(at, vec, rotate_row(at, vec, positions[token]));
}
