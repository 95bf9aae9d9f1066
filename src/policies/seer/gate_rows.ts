/**
 * What each row of blocks of a sequence may see, and keeps in any case.
 *
 * @module
 */

import type { RecordValues } from "../../../kernels/record.ts";
import type { GATE_ROW } from "../../../kernels/selection/gate/spans.ts";
import type { PolicyShape } from "../../ops/mod.ts";
import type { SeerRule, SeerShape } from "./gate_options.ts";

/** A sequence, as policies are told of it. */
export type SeerSequence = PolicyShape["sequences"][number];

/** How queries are taken together. */
export interface QueryBlocks {
  /** Queries of a block: as many as keys, or 1 while decoding. */
  readonly queryBlock: number;
  /** The last blocks of queries that keep all. */
  readonly denseRows: number;
}

/** The block of keys where a block of queries stands: that of its first. */
export function placeOfBlock(
  { queryOffset }: SeerSequence,
  row: number,
  { block, queryBlock }: {
    readonly block: number;
    readonly queryBlock: number;
  },
): number {
  return Math.floor(Math.max(queryOffset + row * queryBlock, 0) / block);
}

/**
 * What the kernels know of a row of blocks. Kept in any case are the blocks that
 * its queries stand in, or the one next to them where they stand before all keys
 * or behind, so that none is left without a key, and all where the row is to be
 * dense.
 */
export function gateRow(
  sequence: SeerSequence,
  row: number,
  { block, causal, queryBlock, denseRows }:
    & Pick<SeerShape, "block" | "causal">
    & QueryBlocks,
): RecordValues<typeof GATE_ROW.fields> {
  const { queryCount, keyCount, queryOffset } = sequence;
  const rows = Math.ceil(queryCount / queryBlock);
  const blocks = Math.ceil(keyCount / block);
  const last = queryOffset + Math.min((row + 1) * queryBlock, queryCount) - 1;
  if (row >= rows || blocks === 0 || causal && last < 0) {
    return { seen: 0, forced_first: 0, forced_end: 0 };
  }
  const next = (place: number) => Math.min(Math.max(place, 0), blocks - 1);
  const end = next(Math.floor(last / block)) + 1;
  const seen = causal ? end : blocks;
  if (row >= rows - denseRows) {
    return { seen, forced_first: 0, forced_end: seen };
  }
  const first = placeOfBlock(sequence, row, { block, queryBlock });
  return { seen, forced_first: next(first), forced_end: end };
}

/** How many of the highest blocks a row keeps; none where a threshold says. */
export function keptOf(
  { topK, density }: SeerRule,
  blocks: number,
): number | undefined {
  if (density === undefined) return topK;
  return Math.max(1, Math.floor((1 - Math.sqrt(1 - density)) * blocks));
}
