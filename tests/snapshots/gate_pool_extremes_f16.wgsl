enable f16;

struct Params {
  block: u32,
  given_blocks: u32,
  blocks: u32,
  sequences: u32,
  heads: u32,
  head_vecs: u32,
  token_stride: u32,
  head_stride: u32,
}

@group(0) @binding(0) var<storage, read> rows: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read> spans: array<u32>;
@group(0) @binding(2) var<storage, read_write> pooled: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

fn load_row(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(rows[at + vec]);
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
  let at = (plane * params.blocks + own) * 3u * params.head_vecs + vec;
  var most = load_row(first_row + (begin - span.first) * params.token_stride, vec);
  var least = most;
  if (begin > own * params.block) {
    most = pooled[at];
    least = pooled[at + params.head_vecs];
    sum = pooled[at + 2u * params.head_vecs];
  }
  for (var row = begin; row < end; row++) {
    let value = load_row(first_row + (row - span.first) * params.token_stride, vec);
    most = max(most, value);
    least = min(least, value);
    sum += value;
  }
  pooled[at] = most;
  pooled[at + params.head_vecs] = least;
  pooled[at + 2u * params.head_vecs] = sum;
}
