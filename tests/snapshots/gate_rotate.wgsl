struct Params {
  rotary_pairs: u32,
  block: u32,
  given_blocks: u32,
  blocks: u32,
  sequences: u32,
  heads: u32,
  gate_vecs: u32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> projected: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> rotary: array<vec2f>;
@group(0) @binding(3) var<storage, read> spans: array<u32>;
@group(0) @binding(4) var<storage, read_write> gate: array<vec4f>;
@group(0) @binding(5) var<uniform> params: Params;

fn load_row(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(projected[at + vec]);
}

fn rotate_row(base: u32, vec: u32, position: u32) -> vec4f {
  var row = load_row(base, vec);
  for (var c = 0u; c < 4u; c++) {
    let i = 4u * vec + c;
    if (i < 2u * params.rotary_pairs) {
      let pair = i % params.rotary_pairs;
      let partner = (i + params.rotary_pairs) % (2u * params.rotary_pairs);
      let first = i < params.rotary_pairs;
      let turn = rotary[position * params.rotary_pairs + pair];
      let other = load_row(base, partner / 4u)[partner % 4u];
      row[c] = fma(row[c], turn.x, select(other, -other, first) * turn.y);
    }
  }
  return row;
}

struct Span {
  at: u32,
  first: u32,
  count: u32,
}

fn read_span(at: u32) -> Span {
  return Span(
    spans[at + 0],
    spans[at + 1],
    spans[at + 2],
  );
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  let vec = index % params.gate_vecs;
  let row = index / params.gate_vecs;
  let i = row % params.given_blocks;
  let plane = row / params.given_blocks;
  let sequence = plane / params.heads;
  if (sequence >= params.sequences) {
    return;
  }
  let span = read_span(sequence * 3);
  let own = span.first / params.block + i;
  if (own * params.block >= span.first + span.count) {
    return;
  }
  let position = positions[sequence * params.given_blocks + i];
  gate[(plane * params.blocks + own) * params.gate_vecs + vec]
  = rotate_row(row * params.gate_vecs, vec, position);
}
