struct Params {
  chunks_at: u32,
  chunk_count: u32,
  decay_batch_stride: u32,
  decay_token_stride: u32,
  decay_head_stride: u32,
  decay_channel_stride: u32,
  state_heads: u32,
  gate_channels: u32,
  gate_width: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read> decay: array<f32>;
@group(0) @binding(2) var<storage, read_write> gates: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Chunk {
  batch: u32,
  token: u32,
  row: u32,
  count: u32,
}

fn read_chunk(at: u32) -> Chunk {
  return Chunk(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
    schedule[at + 3],
  );
}

fn chunk_of(index: u32) -> Chunk {
  return read_chunk(params.chunks_at + 4 * index);
}

fn decay_at(chunk: Chunk, token: u32, head: u32) -> u32 {
  return chunk.batch * params.decay_batch_stride + (chunk.token + token) * params.decay_token_stride + head * params.decay_head_stride;
}

fn decay_of(at: u32, channel: u32) -> f32 {
  return max(f32(decay[at + channel * params.decay_channel_stride]), -104.0);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  let channel = index % params.gate_width;
  let head = index / params.gate_width % params.state_heads;
  let chunk_index = index / (params.gate_width * params.state_heads);
  if (chunk_index >= params.chunk_count) {
    return;
  }
  let chunk = chunk_of(chunk_index);
  let given = min(channel, params.gate_channels - 1u);
  var sum = 0.0;
  for (var token = 0u; token < chunk.count; token++) {
    sum += decay_of(decay_at(chunk, token, head), given);
    gates[((chunk.row + token) * params.state_heads + head) * params.gate_width + channel] = sum;
  }
}
