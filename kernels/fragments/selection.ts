/**
 * Blocks of keys that the device selects: a bit a block, set where rows of
 * queries see it, and what `block_runs` makes of them for each work tile, in
 * `selection: array<u32>`. For every run list of a tile that is
 *
 * ```text
 * run list    where its runs are, and how many: those of the CPU's list that
 *             have a selected block
 * bits        [rows of blocks, heads][words], those that the tile's rows are in
 * runs        room for as many as there can be
 * ```
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";
import { KEY_RUN, RUN_LIST, schedule, SELECTED_TILE } from "./schedule.ts";

/** Blocks of a word. */
export const BLOCKS_A_WORD = 32;

/** Words of bits for a row of so many blocks. */
export function bitWords(blocks: number): number {
  return Math.ceil(blocks / BLOCKS_A_WORD);
}

/** `OwnBlocks`: which blocks a work tile's rows are in, and where it has them. */
export const ownBlocks: Fragment = {
  needs: [
    schedule,
    { code: SELECTED_TILE.declare("tile"), uniforms: { group: "u32" } },
  ],
  uniforms: {
    selected_per_head: "u32",
    mask_query_block: "u32",
    mask_by_position: "u32",
    mask_offset: "i32",
    // Query heads of one of the mask's.
    mask_group: "u32",
  },
  code: wgsl(
    `
    struct OwnBlocks {
      list: u32,
      bits_at: u32,
      origin: i32,
      first_row: u32,
      first_head: u32,
      heads: u32,
    }

    // The row of blocks of a packed row, where row 0 begins at origin.
    fn block_row_of(sequence: Sequence, packed: u32, origin: i32) -> u32 {
      return u32(i32(packed / params.group) + sequence.query_offset - origin) / params.mask_query_block;
    }

    fn blocks_of(tile: WorkTile, sequence: Sequence, kv_head: u32) -> OwnBlocks {
      let list = tile.selected_at + tile.selected_stride * kv_head * params.selected_per_head;
      let origin = select(sequence.query_offset, params.mask_offset, params.mask_by_position == 1u);
      let first_head = kv_head * params.group / params.mask_group;
      let last_head = (kv_head * params.group + params.group - 1u) / params.mask_group;
      return OwnBlocks(
        list,
        list + $listWords,
        origin,
        block_row_of(sequence, tile.first_row, origin),
        first_head,
        last_head - first_head + 1u,
      );
    }
    `,
    { listWords: RUN_LIST.words },
  ),
};

/** `block_sees`: whether a query's block and a key's are selected. */
export const selectedBlocks: Fragment = {
  needs: [
    ownBlocks,
    { bindings: [{ name: "selection", type: "array<u32>", access: "read" }] },
  ],
  uniforms: { mask_key_block: "u32", mask_words: "u32" },
  code: `
    // Those of the work tile at hand.
    var<private> own_blocks: OwnBlocks;

    fn block_sees(head: i32, query: i32, key: i32) -> bool {
      let row = u32(query - own_blocks.origin) / params.mask_query_block - own_blocks.first_row;
      let own_row = row * own_blocks.heads + u32(head) / params.mask_group - own_blocks.first_head;
      let block = u32(key) / params.mask_key_block;
      let word = selection[own_blocks.bits_at + own_row * params.mask_words + (block >> 5u)];
      return ((word >> (block & 31u)) & 1u) == 1u;
    }`,
};

/** What the loop over a work tile's keys needs where its runs are selected. */
export const selectedRuns: Fragment = {
  needs: [selectedBlocks],
  code: `${RUN_LIST.declare("run_list", "selection")}\n\n${
    KEY_RUN.declare("key_run", "selection")
  }`,
};

/** At the start of a work tile. */
export const OWN_BLOCKS = `let tile_blocks = blocks_of(tile, sequence, kv_head);
own_blocks = tile_blocks;`;

/**
 * Where the run list of a work tile and kv head is, as the device wrote it. Not
 * from the private variable: what it holds counts as different in each
 * invocation, and the loop's barriers need what is the same in all.
 */
export const SELECTED_LIST = "tile_blocks.list";
