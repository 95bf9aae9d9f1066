struct Params {
  head_dim: u32,
  value_dim: u32,
  token_count: u32,
  kv_heads: u32,
  head_vecs: u32,
  value_vecs: u32,
  key_stride: u32,
  value_stride: u32,
  arena_key_stride: u32,
  arena_value_stride: u32,
  value_at: u32,
  first_slot: u32,
  slot_count: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> key: array<f32>;
@group(0) @binding(1) var<storage, read_write> arena: array<f32>;
@group(0) @binding(2) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> slots: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

fn tail_vec(value: vec4f, more: u32) -> vec4f {
  return select(vec4f(0.0), value, vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
}

fn load_key(base: u32, vec: u32) -> vec4f {
  let i = 4u * vec;
  let last = params.head_dim - 1u;
  let at = base;
  return tail_vec(vec4f(f32(key[at + i]), f32(key[at + min(i + 1u, last)]), f32(key[at + min(i + 2u, last)]), f32(key[at + min(i + 3u, last)])), last - i);
}

fn store_key(base: u32, vec: u32, value: vec4f) {
  let i = 4u * vec;
  arena[base + i] = f32(value[0]);
  if (i + 1 < params.head_dim) { arena[base + i + 1] = f32(value[1]); }
  if (i + 2 < params.head_dim) { arena[base + i + 2] = f32(value[2]); }
  if (i + 3 < params.head_dim) { arena[base + i + 3] = f32(value[3]); }
}

fn load_value(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(value[at + vec]);
}

fn store_value(base: u32, vec: u32, value: vec4f) {
  let i = 4u * vec;
  arena[base + i] = f32(value[0]);
  if (i + 1 < params.value_dim) { arena[base + i + 1] = f32(value[1]); }
  if (i + 2 < params.value_dim) { arena[base + i + 2] = f32(value[2]); }
  if (i + 3 < params.value_dim) { arena[base + i + 3] = f32(value[3]); }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let index = group * 64 + lane;
  if (index >= params.token_count * params.kv_heads) {
    return;
  }
  let token = index / params.kv_heads;
  let kv_head = index - token * params.kv_heads;
  let slot = slots[token];
  if (slot < params.first_slot || slot - params.first_slot >= params.slot_count) {
    return;
  }
  let row = (slot - params.first_slot) * params.kv_heads + kv_head;
  for (var vec = 0u; vec < params.head_vecs; vec++) {
    let key = load_key(index * params.key_stride, vec);
    store_key(row * params.arena_key_stride, vec, key);
  }
  for (var vec = 0u; vec < params.value_vecs; vec++) {
    let value = load_value(index * params.value_stride, vec);
    store_value(params.value_at + row * params.arena_value_stride, vec, value);
  }
}
