struct Params {
  head_dim: u32,
  block: u32,
  given_blocks: u32,
  blocks: u32,
  sequences: u32,
  heads: u32,
  head_vecs: u32,
  token_stride: u32,
  head_stride: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> rows: array<f32>;
@group(0) @binding(1) var<storage, read> spans: array<u32>;
@group(0) @binding(2) var<storage, read_write> pooled: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

fn tail_vec(value: vec4f, more: u32) -> vec4f {
  return select(vec4f(0.0), value, vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
}

fn load_row(base: u32, vec: u32) -> vec4f {
  let i = 4u * vec;
  let last = params.head_dim - 1u;
  let at = base;
  return tail_vec(vec4f(f32(rows[at + i]), f32(rows[at + min(i + 1u, last)]), f32(rows[at + min(i + 2u, last)]), f32(rows[at + min(i + 3u, last)])), last - i);
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
  let vec = index % params.head_vecs;
  let i = index / params.head_vecs % params.given_blocks;
  let plane = index / (params.head_vecs * params.given_blocks);
  let head = plane % params.heads;
  let sequence = plane / params.heads;
  if (sequence >= params.sequences) {
    return;
  }
  let span = read_span(sequence * 3);
  let own = span.first / params.block + i;
  let begin = max(own * params.block, span.first);
  let end = min((own + 1u) * params.block, span.first + span.count);
  if (begin >= end) {
    return;
  }
  let first_row = span.at + head * params.head_stride;
  var sum = vec4f(0.0);
  for (var row = begin; row < end; row++) {
    sum += load_row(first_row + (row - span.first) * params.token_stride, vec);
  }
  pooled[(plane * params.blocks + own) * params.head_vecs + vec] = sum / f32(end - begin);
}
