struct Params {
  sequences_at: u32,
  group: u32,
  tiles_at: u32,
  group_count: u32,
  grid_width: u32,
  runs_per_head: u32,
  selected_per_head: u32,
  mask_query_block: u32,
  mask_by_position: u32,
  mask_offset: i32,
  mask_group: u32,
  mask_words: u32,
  mask_batched: u32,
  mask_heads: u32,
  mask_rows: u32,
  tile_rows: u32,
  step: u32,
  mask_key_block: u32,
  padding_0: u32,
  padding_1: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read> blocks: array<u32>;
@group(0) @binding(2) var<storage, read_write> selection: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

struct Sequence {
  query_start: u32,
  query_count: u32,
  key_start: u32,
  key_count: u32,
  query_offset: i32,
  batch: i32,
  queries_at: u32,
}

fn read_sequence(at: u32) -> Sequence {
  return Sequence(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
    schedule[at + 3],
    i32(schedule[at + 4]),
    i32(schedule[at + 5]),
    schedule[at + 6],
  );
}

struct WorkTile {
  sequence: u32,
  first_row: u32,
  runs_at: u32,
  state_row: u32,
  state_stride: u32,
  kv_head: u32,
  selected_at: u32,
  selected_stride: u32,
}

fn read_tile(at: u32) -> WorkTile {
  return WorkTile(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
    schedule[at + 3],
    schedule[at + 4],
    schedule[at + 5],
    schedule[at + 6],
    schedule[at + 7],
  );
}

struct RunList {
  runs_at: u32,
  count: u32,
}

fn read_run_list(at: u32) -> RunList {
  return RunList(
    schedule[at + 0],
    schedule[at + 1],
  );
}

struct KeyRun {
  first_key: u32,
  end_key: u32,
  full: u32,
}

fn read_key_run(at: u32) -> KeyRun {
  return KeyRun(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
  );
}

// The position that rows of blocks are counted from.
fn block_origin(sequence: Sequence) -> i32 {
  return select(sequence.query_offset, params.mask_offset, params.mask_by_position == 1u);
}

// The row of blocks of a query, by its position.
fn block_row(query: i32, origin: i32) -> u32 {
  return u32(query - origin) / params.mask_query_block;
}

// The first word of a row of blocks, of one of the mask's heads.
fn row_bits(batch: i32, mask_head: u32, row: u32) -> u32 {
  let plane = u32(batch) * params.mask_batched * params.mask_heads + mask_head;
  return (plane * params.mask_rows + row) * params.mask_words;
}

fn selected_list(tile: WorkTile, kv_head: u32) -> u32 {
  return tile.selected_at + tile.selected_stride * kv_head * params.selected_per_head;
}

// What the steps before and at each lane are: 0 not visited, 1 masked, 2 full.
var<workgroup> kinds: array<u32, 64 + 1>;
// Runs that begin at a lane's step or before.
var<workgroup> starts: array<u32, 64>;

// Whether any, or every, pair of packed rows and keys is selected, of all heads
// that share the keys.
fn kind_of(sequence: Sequence, kv_head: u32, rows: vec2u, keys: vec2u) -> u32 {
  let origin = block_origin(sequence);
  let first_row = block_row(i32(rows.x / params.group) + sequence.query_offset, origin);
  let last_row = block_row(i32(rows.y / params.group) + sequence.query_offset, origin);
  let first_head = kv_head * params.group / params.mask_group;
  let last_head = (kv_head * params.group + params.group - 1u) / params.mask_group;
  let first = keys.x / params.mask_key_block;
  let last = keys.y / params.mask_key_block;
  var any = false;
  var every = true;
  for (var head = first_head; head <= last_head; head++) {
    for (var row = first_row; row <= last_row; row++) {
      let at = row_bits(sequence.batch, head, row);
      for (var word = first >> 5u; word <= last >> 5u; word++) {
        let low = select(0u, first & 31u, word == first >> 5u);
        let high = select(31u, last & 31u, word == last >> 5u);
        let wanted = (0xffffffffu << low) & (0xffffffffu >> (31u - high));
        let found = blocks[at + word] & wanted;
        any |= found != 0u;
        every &= found == wanted;
      }
    }
  }
  return select(0u, select(1u, 2u, every), any);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group_index = group_id.z * params.grid_width + group_id.x;
  if (group_index >= params.group_count) {
    return;
  }
  let tile_index = group_index;
  let tile = read_tile(params.tiles_at + tile_index * 8);
  let kv_head = tile.kv_head + group_id.y;
  let sequence = read_sequence(params.sequences_at + tile.sequence * 8);
  let row_count = sequence.query_count * params.group;
  let own_list = selected_list(tile, kv_head);
  let own_rows = vec2u(tile.first_row, min(tile.first_row + params.tile_rows, sequence.key_count) - 1u);
  let runs_at = own_list + 2;
  let given = read_run_list(tile.runs_at + 2 * kv_head * params.runs_per_head);
  var count = 0u;
  for (var run_index = 0u; run_index < given.count; run_index++) {
    let run = read_key_run(given.runs_at + run_index * 3);
    let steps = (run.end_key - run.first_key) / params.step;
    for (var first_step = 0u; first_step < steps; first_step += 64) {
      let i = first_step + lane;
      let first = run.first_key + i * params.step;
      let own_step = i < steps && first < row_count;
      var kind = 0u;
      if (own_step) {
        let of_step = vec2u(first, min(first + params.step, row_count) - 1u);
        kind = min(kind_of(sequence, kv_head, of_step, own_rows), 1u + run.full);
      }
      // A run of the CPU's ends where it ends: what follows begins anew.
      if (lane == 0u) {
        kinds[0] = select(kinds[64], 0u, first_step == 0u);
      }
      workgroupBarrier();
      kinds[lane + 1u] = kind;
      workgroupBarrier();
      let before = kinds[lane];
      let begins = kind != 0u && kind != before;
      starts[lane] = select(0u, 1u, begins);
      workgroupBarrier();
      for (var distance = 1u; distance < 64; distance *= 2u) {
        var sum = starts[lane];
        if (lane >= distance) {
          sum += starts[lane - distance];
        }
        workgroupBarrier();
        starts[lane] = sum;
        workgroupBarrier();
      }
      // One past the run that is open at this lane's step.
      let open = runs_at + (count + starts[lane]) * 3;
      let opened = runs_at + (count + starts[lane] - select(0u, 1u, begins)) * 3;
      if (begins) {
        selection[open - 3] = first;
        selection[open - 1u] = select(0u, 1u, kind == 2u);
      }
      if (before != 0u && kind != before && i < steps) {
        selection[opened - 2u] = first;
      }
      if (i + 1u == steps && kind != 0u) {
        selection[open - 2u] = run.end_key;
      }
      count += starts[63];
      workgroupBarrier();
    }
  }
  if (lane == 0u) {
    selection[own_list] = runs_at;
    selection[own_list + 1u] = count;
  }
}
