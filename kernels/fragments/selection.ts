/**
 * Blocks of keys that the device selects: a bit a block, set where rows of
 * queries see it, and what `block_runs` makes of them for each work tile, in
 * `selection: array<u32>`:
 *
 * ```text
 * run lists   of each work tile: where its runs are, and how many: those of the
 *             CPU's list that have a selected block; then room for as many runs
 *             as there can be
 * bits        [batch, heads, rows of blocks][words]: what was selected
 * ```
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import { KEY_RUN, RUN_LIST, schedule, SELECTED_TILE } from "./schedule.ts";

/** Blocks of a word. */
export const BLOCKS_A_WORD = 32;

/** Words of bits for a row of so many blocks. */
export function bitWords(blocks: number): number {
  return Math.ceil(blocks / BLOCKS_A_WORD);
}

/** Where the bits of a query are, and the lists of a work tile. */
export const selectedPlaces: Fragment = {
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
    mask_words: "u32",
    // 0 where one is for all sequences.
    mask_batched: "u32",
    mask_heads: "u32",
    mask_rows: "u32",
  },
  code: `
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
    }`,
};

/** `block_sees`: whether a query's block and a key's are selected. */
export const selectedBlocks: Fragment = {
  needs: [
    selectedPlaces,
    { bindings: [{ name: "selection", type: "array<u32>", access: "read" }] },
  ],
  uniforms: { mask_key_block: "u32", selected_bits_at: "u32" },
  code: `
    // That of the work tile at hand.
    var<private> own_origin: i32;

    fn block_sees(batch: i32, head: i32, query: i32, key: i32) -> bool {
      let row = row_bits(batch, u32(head) / params.mask_group, block_row(query, own_origin));
      let block = u32(key) / params.mask_key_block;
      let word = selection[params.selected_bits_at + row + (block >> 5u)];
      return ((word >> (block & 31u)) & 1u) == 1u;
    }`,
};

/** What the loop over a work tile needs where its runs are selected. */
export const selectedRuns: Fragment = {
  needs: [selectedBlocks],
  code: `${RUN_LIST.declare("run_list", "selection")}\n\n${
    KEY_RUN.declare("key_run", "selection")
  }`,
};

/** At the start of a work tile. */
export const OWN_BLOCKS = `let tile_list = selected_list(tile, kv_head);
own_origin = block_origin(sequence);`;

/**
 * Where the run list of a work tile and kv head is, as the device wrote it. Not
 * from a private variable: what that holds counts as different in each
 * invocation, and the loop's barriers need what is the same in all.
 */
export const SELECTED_LIST = "tile_list";
