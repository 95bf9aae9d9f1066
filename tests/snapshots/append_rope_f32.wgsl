struct Params {
  rotary_pairs: u32,
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
}

@group(0) @binding(0) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> arena: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read> rotary: array<vec2f>;
@group(0) @binding(5) var<storage, read> slots: array<u32>;
@group(0) @binding(6) var<uniform> params: Params;

fn load_key(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(key[at + vec]);
}

fn store_key(base: u32, vec: u32, value: vec4f) {
  arena[base + vec] = vec4<f32>(value);
}

fn load_value(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(value[at + vec]);
}

fn store_value(base: u32, vec: u32, value: vec4f) {
  arena[base + vec] = vec4<f32>(value);
}

fn rotate_key(base: u32, vec: u32, position: u32) -> vec4f {
  var key = load_key(base, vec);
  for (var c = 0u; c < 4u; c++) {
    let i = 4u * vec + c;
    if (i < 2u * params.rotary_pairs) {
      let pair = i % params.rotary_pairs;
      let partner = (i + params.rotary_pairs) % (2u * params.rotary_pairs);
      let first = i < params.rotary_pairs;
      let turn = rotary[position * params.rotary_pairs + pair];
      let other = load_key(base, partner / 4u)[partner % 4u];
      key[c] = fma(key[c], turn.x, select(other, -other, first) * turn.y);
    }
  }
  return key;
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
    let key = rotate_key(index * params.key_stride, vec, positions[token]);
    store_key(row * params.arena_key_stride, vec, key);
  }
  for (var vec = 0u; vec < params.value_vecs; vec++) {
    let value = load_value(index * params.value_stride, vec);
    store_value(params.value_at + row * params.arena_value_stride, vec, value);
  }
}
