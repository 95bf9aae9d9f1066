
struct Params {
  token_count: u32,
  kv_heads: u32,
  head_dim: u32,
  head_vecs: u32,
  value_dim: u32,
  value_vecs: u32,
  key_stride: u32,
  value_stride: u32,
  arena_key_stride: u32,
  arena_value_stride: u32,
  value_at: u32,
  first_slot: u32,
  slot_count: u32,
  rotary_pairs: u32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> key: array<f32>;
@group(0) @binding(1) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read_write> arena: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

fn load_tail(x: f32, y: f32, z: f32, w: f32, i: u32, last: u32) -> vec4f {
  return vec4f(x, select(0.0, y, i + 1u <= last), select(0.0, z, i + 2u <= last),
    select(0.0, w, i + 3u <= last));
}

fn load_key(base: u32, vec: u32) -> vec4f {
  let i = 4u * vec;
  let last = params.head_dim - 1u;
  return load_tail(f32(key[base + i]), f32(key[base + min(i + 1u, last)]),
    f32(key[base + min(i + 2u, last)]), f32(key[base + min(i + 3u, last)]), i, last);
}

fn load_value(base: u32, vec: u32) -> vec4f {
  return vec4f(value[base + vec]);
}

fn store_key(base: u32, vec: u32, value: vec4f) {
  let i = 4u * vec;
  arena[base + i] = f32(value[0]);
  if (i + 1u < params.head_dim) { arena[base + i + 1u] = f32(value[1]); }
  if (i + 2u < params.head_dim) { arena[base + i + 2u] = f32(value[2]); }
  if (i + 3u < params.head_dim) { arena[base + i + 3u] = f32(value[3]); }
}

fn store_value(base: u32, vec: u32, value: vec4f) {
  let i = 4u * vec;
  arena[base + i] = f32(value[0]);
  if (i + 1u < params.value_dim) { arena[base + i + 1u] = f32(value[1]); }
  if (i + 2u < params.value_dim) { arena[base + i + 2u] = f32(value[2]); }
  if (i + 3u < params.value_dim) { arena[base + i + 3u] = f32(value[3]); }
}



@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let index = (group_id.y * grid.x + group_id.x) * 64u + lane;
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
    store_key(row * params.arena_key_stride, vec, load_key(index * params.key_stride, vec));
  }
  for (var vec = 0u; vec < params.value_vecs; vec++) {
    store_value(params.value_at + row * params.arena_value_stride, vec,
      load_value(index * params.value_stride, vec));
  }
}
