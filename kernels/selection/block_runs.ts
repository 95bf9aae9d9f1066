/**
 * From selected blocks to the runs of each work tile: the CPU's runs (what
 * lengths and mask mods leave) narrowed to steps of which a row of the tile
 * sees a block. A workgroup a run list: its lanes look at a step each, a prefix
 * sum over them says where each run goes. No atomics: the order is that of the
 * keys, and the same every time.
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
  SELECTED_TILE,
  tiles,
} from "../fragments/schedule.ts";
import { ownBlocks } from "../fragments/selection.ts";
import { wgsl } from "../wgsl.ts";

/** Invocations of a workgroup, each with a step at a time. */
export const BLOCK_RUN_LANES = 64;

/**
 * The kernel; grid: (work tiles, kv heads that differ).
 *
 * @example What it binds
 * ```ts
 * import { blockRunsKernel } from "@quire/attention/kernels";
 *
 * const { bindings } = blockRunsKernel();
 * console.log(bindings.map(({ name }) => name));
 * // schedule blocks selection params
 * ```
 *
 * @category Kernels
 */
export function blockRunsKernel(): KernelSource {
  const scope = {
    lanes: BLOCK_RUN_LANES,
    last: BLOCK_RUN_LANES - 1,
    runWords: KEY_RUN.words,
    list: OWN_LIST,
  };
  return kernelOf({
    label: "selection.block_runs/u32",
    fragments: [
      tiles(SELECTED_TILE),
      keyRuns,
      {
        bindings: [{ name: "blocks", type: "array<u32>", access: "read" }],
      },
      ownBlocks,
      {
        bindings: [{
          name: "selection",
          type: "array<u32>",
          access: "read_write",
        }],
        uniforms: {
          // Packed rows of a tile, and keys of its kernel's step.
          tile_rows: "u32",
          step: "u32",
          mask_key_block: "u32",
          mask_words: "u32",
          // 0 where one is for all sequences.
          mask_batched: "u32",
          mask_heads: "u32",
          mask_rows: "u32",
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

// Where the bits of the tile's i-th row of blocks are: heads side by side.
fn bits_of(sequence: Sequence, own: OwnBlocks, i: u32) -> u32 {
  let plane = u32(sequence.batch) * params.mask_batched * params.mask_heads + own.first_head + i % own.heads;
  return (plane * params.mask_rows + own.first_row + i / own.heads) * params.mask_words;
}

// Whether any, or every, row has the blocks of keys first to last.
fn kind_of(sequence: Sequence, own: OwnBlocks, rows: u32, first_key: u32, last_key: u32) -> u32 {
  let first = first_key / params.mask_key_block;
  let last = last_key / params.mask_key_block;
  var any = false;
  var every = true;
  for (var i = 0u; i < rows; i++) {
    let at = bits_of(sequence, own, i);
    for (var word = first >> 5u; word <= last >> 5u; word++) {
      let low = select(0u, first & 31u, word == first >> 5u);
      let high = select(31u, last & 31u, word == last >> 5u);
      let wanted = (0xffffffffu << low) & (0xffffffffu >> (31u - high));
      let found = blocks[at + word] & wanted;
      any |= found != 0u;
      every &= found == wanted;
    }
  }
  return select(0u, select(1u, 2u, every), any);
}
`;

const NARROW = `
let own = blocks_of(tile, sequence, kv_head);
let last_row = min(tile.first_row + params.tile_rows, row_count) - 1u;
let rows = (block_row_of(sequence, last_row, own.origin) - own.first_row + 1u) * own.heads;
let bits = rows * params.mask_words;
for (var i = lane; i < bits; i += $lanes) {
  let row = i / params.mask_words;
  selection[own.bits_at + i] = blocks[bits_of(sequence, own, row) + i - row * params.mask_words];
}
let runs_at = own.bits_at + bits;
let given = read_run_list($list);
var count = 0u;
for (var run_index = 0u; run_index < given.count; run_index++) {
  let run = read_key_run(given.runs_at + run_index * $runWords);
  let steps = (run.end_key - run.first_key) / params.step;
  for (var first_step = 0u; first_step < steps; first_step += $lanes) {
    let i = first_step + lane;
    let first_key = run.first_key + i * params.step;
    let own_step = i < steps && first_key < sequence.key_count;
    var kind = 0u;
    if (own_step) {
      let last_key = min(first_key + params.step, sequence.key_count) - 1u;
      kind = min(kind_of(sequence, own, rows, first_key, last_key), 1u + run.full);
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
      selection[open - $runWords] = first_key;
      selection[open - 1u] = select(0u, 1u, kind == 2u);
    }
    if (before != 0u && kind != before && i < steps) {
      selection[opened - 2u] = first_key;
    }
    if (i + 1u == steps && kind != 0u) {
      selection[open - 2u] = run.end_key;
    }
    count += starts[$last];
    workgroupBarrier();
  }
}
if (lane == 0u) {
  selection[own.list] = runs_at;
  selection[own.list + 1u] = count;
}
`;
