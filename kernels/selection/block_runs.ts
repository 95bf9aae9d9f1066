/**
 * From selected blocks to the runs of each work tile: the CPU's runs (what
 * lengths and mask mods leave) narrowed to steps that have a selected block.
 * A workgroup a run list: its lanes look at a step each, a prefix sum over them
 * says where each run goes. No atomics: the order is that of the keys, and the
 * same every time.
 *
 * Steps are of keys, and a tile's rows are packed query rows; or the other way
 * around, as backward goes along keys: the same bits, read by columns.
 *
 * ```text
 * blocks [batch, heads, query blocks, words]: a bit a block of keys
 * ```
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { kernelOf } from "../fragment.ts";
import {
  entryPoint,
  KEY_RUN,
  keyRuns,
  OWN_LIST,
  RUN_LIST,
  SELECTED_TILE,
  tiles,
} from "../fragments/schedule.ts";
import { selectedPlaces } from "../fragments/selection.ts";
import { wgsl } from "../wgsl.ts";

/** Invocations of a workgroup, each with a step at a time. */
export const BLOCK_RUN_LANES = 64;

/**
 * What the kernel's source depends on.
 *
 * @category Kernels
 */
export interface BlockRunsSpec {
  /** What runs are of: keys, or packed query rows. */
  readonly along: "key" | "row";
}

/**
 * The kernel; grid: (work tiles, kv heads that differ).
 *
 * @example What it binds
 * ```ts
 * import { blockRunsKernel } from "@quire/attention/kernels";
 *
 * const { bindings } = blockRunsKernel({ along: "key" });
 * console.log(bindings.map(({ name }) => name));
 * // schedule blocks selection params
 * ```
 *
 * @category Kernels
 */
export function blockRunsKernel({ along }: BlockRunsSpec): KernelSource {
  const keys = along === "key";
  const scope = {
    keys,
    lanes: BLOCK_RUN_LANES,
    last: BLOCK_RUN_LANES - 1,
    runWords: KEY_RUN.words,
    listWords: RUN_LIST.words,
    list: OWN_LIST,
    count: keys ? "sequence.key_count" : "row_count",
    // What a tile's rows are, of which there are as many.
    tileCount: keys ? "row_count" : "sequence.key_count",
  };
  return kernelOf({
    label: `selection.block_runs/u32.${along}`,
    fragments: [
      tiles(SELECTED_TILE),
      keyRuns,
      {
        bindings: [{ name: "blocks", type: "array<u32>", access: "read" }],
      },
      selectedPlaces,
      {
        bindings: [{
          name: "selection",
          type: "array<u32>",
          access: "read_write",
        }],
        uniforms: {
          // Rows of a tile, and of its kernel's step.
          tile_rows: "u32",
          step: "u32",
          mask_key_block: "u32",
        },
        code: wgsl(DECLARATIONS, scope),
      },
    ],
    main: entryPoint(BLOCK_RUN_LANES, wgsl(NARROW, scope)),
  });
}

const DECLARATIONS = `
// What the steps before and at each lane are: 0 not visited, 1 masked, 2 full.
var<workgroup> kinds: array<u32, $lanes + 1>;
// Runs that begin at a lane's step or before.
var<workgroup> starts: array<u32, $lanes>;

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
`;

const NARROW = `
let own_list = selected_list(tile, kv_head);
let own_rows = vec2u(tile.first_row, min(tile.first_row + params.tile_rows, $tileCount) - 1u);
let runs_at = own_list + $listWords;
let given = read_run_list($list);
var count = 0u;
for (var run_index = 0u; run_index < given.count; run_index++) {
  let run = read_key_run(given.runs_at + run_index * $runWords);
  let steps = (run.end_key - run.first_key) / params.step;
  for (var first_step = 0u; first_step < steps; first_step += $lanes) {
    let i = first_step + lane;
    let first = run.first_key + i * params.step;
    let own_step = i < steps && first < $count;
    var kind = 0u;
    if (own_step) {
      let of_step = vec2u(first, min(first + params.step, $count) - 1u);
      @if keys
      kind = min(kind_of(sequence, kv_head, own_rows, of_step), 1u + run.full);
      @else
      kind = min(kind_of(sequence, kv_head, of_step, own_rows), 1u + run.full);
      @end
    }
    // A run of the CPU's ends where it ends: what follows begins anew.
    if (lane == 0u) {
      kinds[0] = select(kinds[$lanes], 0u, first_step == 0u);
    }
    workgroupBarrier();
    kinds[lane + 1u] = kind;
    workgroupBarrier();
    let before = kinds[lane];
    let begins = kind != 0u && kind != before;
    starts[lane] = select(0u, 1u, begins);
    workgroupBarrier();
    for (var distance = 1u; distance < $lanes; distance *= 2u) {
      var sum = starts[lane];
      if (lane >= distance) {
        sum += starts[lane - distance];
      }
      workgroupBarrier();
      starts[lane] = sum;
      workgroupBarrier();
    }
    // One past the run that is open at this lane's step.
    let open = runs_at + (count + starts[lane]) * $runWords;
    let opened = runs_at + (count + starts[lane] - select(0u, 1u, begins)) * $runWords;
    if (begins) {
      selection[open - $runWords] = first;
      selection[open - 1u] = select(0u, 1u, kind == 2u);
    }
    if (before != 0u && kind != before && i < steps) {
      selection[opened - 2u] = first;
    }
    if (i + 1u == steps && kind != 0u) {
      selection[open - 2u] = run.end_key;
    }
    count += starts[$last];
    workgroupBarrier();
  }
}
if (lane == 0u) {
  selection[own_list] = runs_at;
  selection[own_list + 1u] = count;
}
`;
