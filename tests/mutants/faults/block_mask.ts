/**
 * One-line faults in block masks: in their levels and lists, in what they mean
 * of a pair, and in the kernels that select blocks.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../fault.ts";

const MASKS = ["mods/block_mask/block_mask"];
const BAD_INPUT = ["mods/block_mask/bad_input"];
const MISFIT = ["ops/attention/block_mask/bad_input"];
const TILES = ["ops/attention/block_mask/tiles"];
const LISTS = ["kernels/selection/block_runs"];
const DEVICE = ["ops/block_mask/device_block_mask"];
const ROOM = ["ops/attention/work/selection"];
const BACKWARD = ["laws/blocks_backward"];

/** Every fault listed for it. */
export const BLOCK_MASK_FAULTS: readonly Fault[] = [
  ...faultsIn("isBlockMask", MISFIT, [
    ["whatever is an object is a block mask", "MADE.has(value)", "true"],
  ]),
  ...faultsIn("BlockMask.and", MASKS, [
    ["and() takes the higher level", "a < b ? a : b", "a > b ? a : b"],
  ]),
  ...faultsIn("BlockMask.or", MASKS, [
    ["or() takes the lower level", "a > b ? a : b", "a < b ? a : b"],
  ]),
  ...faultsIn("BlockMask.not", MASKS, [
    [
      "not() leaves full blocks partial",
      "FULL - level",
      "level === 0 ? FULL : level - 1",
    ],
    [
      "not() means what it was",
      "this.#meaning(...at).not()",
      "this.#meaning(...at)",
    ],
  ]),
  ...faultsIn("BlockMask.maskMod", MASKS, [
    [
      "neighbouring query heads do not share the mask's",
      "own === 1 ? 1 : heads / own",
      "1",
    ],
  ]),
  ...faultsIn("BlockMask.countPairs", MASKS, [
    [
      "pairs are looked at by rows, not by positions",
      "sees(b, h, q + queryOffset, k)",
      "sees(b, h, q, k)",
    ],
  ]),
  ...faultsIn("transposeLevels", MASKS, [
    [
      "a transpose is none",
      "out[at + k * queryBlocks + q]",
      "out[at + q * keyBlocks + k]",
    ],
  ]),
  ...faultsIn("listsOf", MASKS, [
    [
      "indices are those of all rows",
      "indices[at++] = n % columns",
      "indices[at++] = n",
    ],
  ]),
  ...faultsIn("markLists", BAD_INPUT, [
    ["a block may be there twice", "block > before", "block >= before"],
    ["one block too many is in range", "0, keyBlocks - 1", "0, keyBlocks"],
    ["a block may be full and partial", "levels[at] === 0", "levels[at] <= 2"],
  ]),
  ...faultsIn("inferredLevels", MASKS, [
    [
      "rows begin at position 0",
      "query: [first + queryOffset, last + queryOffset]",
      "query: [first, last]",
    ],
    [
      "a shorter last block is never full",
      'classify({ ...ranges, key: [tail, keys - 1] }) === "all"',
      "false",
    ],
  ]),
  ...faultsIn("meaningOfLevels", MASKS, [
    [
      "full blocks are what the mask says",
      "seen.or(partial.at(...at).and(new Bool(inner!.expression)))",
      "partial.at(...at).and(new Bool(inner!.expression))",
    ],
    [
      "the mask is seen outside of partial blocks",
      "partial.at(...at).and(new Bool(inner!.expression))",
      "new Bool(inner!.expression)",
    ],
  ]),
  ...faultsIn("physical", MASKS, [
    [
      "a sequence reads the lists of the one before it",
      "shared ? row : sequence * rows + row",
      "row",
    ],
    [
      "blocks past the keys are taken",
      "Math.min((indices[i] + 1) * each, needed)",
      "(indices[i] + 1) * each",
    ],
  ]),
  ...faultsIn("checkBlockGrid", MISFIT, [
    ["a mask of more queries passes", "grid.queries === queries", "true"],
    ["a mask of fewer ragged keys passes", "grid.keys >= keys.written", "true"],
    ["a mask of other heads passes", "heads % grid.heads === 0", "true"],
  ]),
  ...faultsIn("blockMaskMods", TILES, [
    [
      "a mask of kv heads is read by query head",
      "mask.maskMod(extents.heads)",
      "mask.maskMod()",
    ],
  ]),
  ...faultsIn("SelectedLists.#rowBlocks", ROOM, [
    [
      "rows are taken for queries",
      "Math.floor(row / this.#group)",
      "Math.floor(row)",
    ],
    [
      "blocks are taken to begin with row 0",
      "before * this.#group % step === 0",
      "true",
    ],
    [
      "steps are taken to end where blocks of rows do",
      "queryBlock * this.#group % step === 0 &&",
      "true &&",
    ],
  ]),
  ...faultsIn("selectionScratch", DEVICE, [
    [
      "the bits lie over the lists",
      "to: name, at }",
      "to: name, at: 0 }",
    ],
  ]),
  ...faultsIn("SelectedLists.#keyBlocks", ROOM, [
    [
      "steps that reach into two blocks have room for one run",
      "keyBlock % step === 0",
      "true",
    ],
  ]),
  ...faultsIn("dilated", ["mods/interval/interval"], [
    [
      "tiles beyond the last distance are undecided",
      "window - window % dilation",
      "window",
    ],
  ]),
  ...faultsIn("inOrder", ["mods/interval/interval"], [
    [
      "documents keep their ids",
      "known.set(ids[i], number = known.size)",
      "known.set(ids[i], number = ids[i])",
    ],
  ]),
  ...faultsInKernel("selection.block_runs/u32.row", LISTS, [
    [
      "along rows, the CPU's masked steps become full",
      "min(kind_of(sequence, kv_head, of_step, own_rows), 1u + run.full)",
      "kind_of(sequence, kv_head, of_step, own_rows)",
    ],
    [
      "along rows, one key of a tile stands for all",
      "let own_rows = vec2u(tile.first_row, min(tile.first_row + params.tile_rows, sequence.key_count) - 1u);",
      "let own_rows = vec2u(tile.first_row, tile.first_row);",
    ],
    [
      "along rows, a step's last row of blocks is not looked at",
      "min(first + params.step, row_count) - 1u",
      "first",
    ],
    [
      "along rows, heads of a group share the first one's blocks",
      "head <= last_head",
      "head <= first_head",
    ],
    [
      "along rows, positions are those of the first query",
      "i32(rows.y / params.group) + sequence.query_offset",
      "i32(rows.x / params.group) + sequence.query_offset",
    ],
    [
      "along rows, packed rows are taken for queries",
      "i32(rows.x / params.group)",
      "i32(rows.x)",
    ],
  ]),
  ...faultsInKernel("attention.backward.key_value", BACKWARD, [
    [
      "keys' gradients read the mask of the first head",
      "row_bits(batch, u32(head) / params.mask_group",
      "row_bits(batch, 0u",
    ],
    [
      "keys' gradients read blocks of queries from position 0",
      "own_origin = block_origin(sequence);",
      "",
    ],
    [
      "keys' gradients read the lists as bits",
      "selection[params.selected_bits_at + row",
      "selection[row",
    ],
    [
      "all kv heads go along the first one's rows",
      "tile.selected_stride * kv_head * params.selected_per_head",
      "0u",
    ],
  ]),
  ...faultsInKernel("attention.backward.query", BACKWARD, [
    [
      "queries' gradients read the first sequence's blocks",
      "u32(batch) * params.mask_batched * params.mask_heads",
      "0u",
    ],
  ]),
  ...faultsIn(
    "src/ops/attention_backward/passes/recomputed.ts: keyPass",
    BACKWARD,
    [
      [
        "the pass along keys writes two gradients beside its lists",
        "problem.selection !== undefined || bindsTooMuch(kernel(false), device)",
        "bindsTooMuch(kernel(false), device)",
      ],
    ],
  ),
  ...faultsIn("AttentionBackwardPlan.encode", BACKWARD, [
    [
      "every layer goes back by the mask that the plan was made with",
      "(tensors.blockMask ?? problem.selection)?.bits",
      "problem.selection?.bits",
    ],
  ]),
  ...faultsInKernel("selection.block_runs/u32.key", LISTS, [
    [
      "a step that some rows see is full",
      "every &= found == wanted",
      "every &= found != 0u",
    ],
    [
      "the last block of a step is not looked at",
      "select(31u, last & 31u, word == last >> 5u)",
      "select(31u, max(last & 31u, 1u) - 1u, word == last >> 5u)",
    ],
    [
      "blocks before a step are looked at",
      "select(0u, first & 31u, word == first >> 5u)",
      "0u",
    ],
    [
      "the CPU's masked steps become full",
      "min(kind_of(sequence, kv_head, own_rows, of_step), 1u + run.full)",
      "kind_of(sequence, kv_head, own_rows, of_step)",
    ],
    [
      "a chunk forgets how the one before it ended",
      "select(kinds[64], 0u, first_step == 0u)",
      "0u",
    ],
    [
      "a run of the CPU's goes on in the next",
      "select(kinds[64], 0u, first_step == 0u)",
      "kinds[64]",
    ],
    [
      "the prefix sum ends one round early",
      "distance < 64; distance *= 2u",
      "distance < 32; distance *= 2u",
    ],
    [
      "the last run of a list is not ended",
      "if (i + 1u == steps && kind != 0u) {",
      "if (i + 2u == steps && kind != 0u) {",
    ],
    [
      "runs of a chunk overwrite those before",
      "count += starts[63]",
      "count = starts[63]",
    ],
    [
      "sequences share the first one's blocks",
      "u32(batch) * params.mask_batched * params.mask_heads",
      "0u",
    ],
  ]),
  ...faultsInKernel("attention.forward", DEVICE, [
    [
      "selected rows are those of neighbours",
      "/ params.mask_query_block",
      "/ params.mask_query_block + 1u",
    ],
    [
      "pairs of blocks that are not selected are seen",
      "return ((word >> (block & 31u)) & 1u) == 1u",
      "return true",
    ],
  ]),
  ...faultsInKernel("selection.top_blocks", DEVICE, [
    [
      "one block too many is taken",
      "left = params.count - above",
      "left = params.count - above + 1u",
    ],
    [
      "ties are counted anew in each chunk of words",
      "ties_before += sums[63]",
      "ties_before = sums[63]",
    ],
    [
      "all ties are taken",
      "if (tie == 1u && open > 0u) {",
      "if (tie == 1u) {",
    ],
    [
      "zeros of two signs are not one",
      "select(magnitude | 0x80000000u, ~bits, bits > 0x80000000u)",
      "select(magnitude | 0x80000000u, ~bits, bits >= 0x80000000u)",
    ],
    [
      "NaN is the highest",
      "if (magnitude > 0x7f800000u) {",
      "if (false) {",
    ],
  ]),
  ...faultsInKernel("selection.select_blocks", DEVICE, [
    [
      "a score at the threshold is not selected",
      "score >= params.threshold",
      "score > params.threshold",
    ],
    [
      "the last block of a row is lost",
      "min(32, params.row_blocks - first_block)",
      "min(32, params.row_blocks - first_block - 1u)",
    ],
  ]),
];
