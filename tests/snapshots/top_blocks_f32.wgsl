struct Params {
  rows: u32,
  row_words: u32,
  row_blocks: u32,
  grid_width: u32,
  count: u32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
}

@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read_write> blocks: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> sums: array<u32, 64>;

// A score as a number of the same order; 0 for NaN, which is never taken.
fn order_of(score: f32) -> u32 {
  let bits = bitcast<u32>(score);
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return 0u;
  }
  // Both zeros are one.
  return select(magnitude | 0x80000000u, ~bits, bits > 0x80000000u);
}

// The sum over lanes up to this one, in every lane's place of sums.
fn sum_lanes(value: u32, lane: u32) {
  sums[lane] = value;
  workgroupBarrier();
  for (var distance = 1u; distance < 64; distance *= 2u) {
    var sum = sums[lane];
    if (lane >= distance) {
      sum += sums[lane - distance];
    }
    workgroupBarrier();
    sums[lane] = sum;
    workgroupBarrier();
  }
}

// How many blocks of a row are at least so high.
fn count_from(least: u32, first: u32, lane: u32) -> u32 {
  var own = 0u;
  for (var i = lane; i < params.row_blocks; i += 64) {
    own += select(0u, 1u, order_of(f32(scores[first + i])) >= least);
  }
  sum_lanes(own, lane);
  let all = sums[63];
  workgroupBarrier();
  return all;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group_id.y * params.grid_width + group_id.x;
  if (row >= params.rows) {
    return;
  }
  let first = row * params.row_blocks;
  // The highest number that as many are at least as high as.
  var lowest = 0u;
  for (var bit = 0u; bit < 32u; bit++) {
    let higher = lowest | (0x80000000u >> bit);
    let found = count_from(higher, first, lane);
    lowest = select(lowest, higher, found >= params.count);
  }
  // Those above it are taken, and of those as high the first ones.
  var left = 0u;
  let above = count_from(lowest + 1u, first, lane);
  if (lowest > 0u) {
    left = params.count - above;
  }
  var ties_before = 0u;
  for (var first_word = 0u; first_word < params.row_words; first_word += 64) {
    let word = first_word + lane;
    let begin = word * 32;
    let end = min(begin + 32, params.row_blocks);
    var taken = 0u;
    var ties = 0u;
    for (var i = begin; i < end; i++) {
      let order = order_of(f32(scores[first + i]));
      taken |= select(0u, 1u << (i - begin), order > lowest);
      ties |= select(0u, 1u << (i - begin), order == lowest);
    }
    let own = countOneBits(ties);
    sum_lanes(own, lane);
    let before = ties_before + sums[lane] - own;
    var open = left - min(left, before);
    for (var i = 0u; i < 32; i++) {
      let tie = (ties >> i) & 1u;
      if (tie == 1u && open > 0u) {
        taken |= 1u << i;
        open -= 1u;
      }
    }
    if (word < params.row_words) {
      blocks[row * params.row_words + word] = taken;
    }
    ties_before += sums[63];
    workgroupBarrier();
  }
}
