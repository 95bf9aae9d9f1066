struct Params {
  rows: u32,
  row_words: u32,
  row_chunks: u32,
  members: u32,
  member_stride: u32,
  row_stride: u32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> bits: array<u32>;
@group(0) @binding(1) var<storage, read_write> list: array<u32>;
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;
@group(0) @binding(3) var<storage, read_write> taken: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

// Up to each lane: members of its row, of chunks before, and of this chunk.
var<workgroup> found: array<vec3u, 64>;

fn sum_lanes(own: vec3u, lane: u32) {
  found[lane] = own;
  workgroupBarrier();
  for (var distance = 1u; distance < 64; distance *= 2u) {
    var sum = found[lane];
    if (lane >= distance) {
      sum += found[lane - distance];
    }
    workgroupBarrier();
    found[lane] = sum;
    workgroupBarrier();
  }
}

fn entry_of(member: u32, row: u32) -> u32 {
  let token = member;
  return token * params.member_stride + row * params.row_stride;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let row = group / params.row_chunks;
  if (row >= params.rows) {
    return;
  }
  let own_word = (group - row * params.row_chunks) * 64 + lane;
  let first_own = own_word - lane;
  var own = vec3u(0u);
  for (var word = lane; word < params.row_words; word += 64) {
    let count = countOneBits(bits[row * params.row_words + word]);
    own.x += count;
    own.y += select(0u, count, word < first_own);
    own.z += select(0u, count, word == own_word);
  }
  sum_lanes(own, lane);
  let all = found[63].x;
  if (own_word >= params.row_words) {
    return;
  }
  let list_at = row * params.members;
  var at = found[63].y + found[lane].z - own.z;
  var open = bits[row * params.row_words + own_word];
  while (open != 0u) {
    list[list_at + at] = entry_of(own_word * 32 + firstTrailingBit(open), row);
    at++;
    open &= open - 1u;
  }
  // The same places of the list, as far as it does not reach them.
  let first = own_word * 32;
  let end = min(first + 32, params.members);
  for (var place = max(first, all); place < end; place++) {
    list[list_at + place] = entry_of(0u, row);
  }
  let here = min(max(all, first) - first, 32);
  taken[row * params.row_words + own_word] = select((1u << (here & 31u)) - 1u, 0xffffffffu, here == 32);
  if (own_word == 0u) {
    counts[row] = all;
  }
}
