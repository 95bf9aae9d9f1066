/**
 * What a gate's kernels know of each sequence and of each row of blocks, in
 * words that the CPU writes.
 *
 * ```text
 * pooled    [sequences, heads, blocks][parts][vec4s of headDim]
 * gate rows [sequences, gate heads, blocks][vec4s of gateDim]
 * scores    [sequences, query heads, query blocks, key blocks]
 * ```
 *
 * @module
 */

import type { Fragment } from "../../fragment.ts";
import { WordRecord } from "../../record.ts";

const SPAN_FIELDS = {
  /** Where its first given row is, in storage units. */
  at: "u32",
  /** Rows of the sequence before that, which are pooled already. */
  first: "u32",
  /** Rows that are given. */
  count: "u32",
} as const;

/** What is given of a sequence. */
export const SPAN: WordRecord<typeof SPAN_FIELDS> = new WordRecord(
  "Span",
  SPAN_FIELDS,
);

/**
 * `spans: array<u32>`, and how many blocks there are of them: blocks of each
 * sequence of which rows are given, and blocks that there is room for.
 */
export const spans: Fragment = {
  bindings: [{ name: "spans", type: "array<u32>", access: "read" }],
  uniforms: { block: "u32", given_blocks: "u32", blocks: "u32" },
  code: SPAN.declare("span", "spans"),
};

const ROW_FIELDS = {
  /** Blocks of keys that it may see: these first ones. */
  seen: "u32",
  /** Those that it keeps whatever they score: from here. */
  forced_first: "u32",
  /** To here, exclusive. */
  forced_end: "u32",
} as const;

/** A row of blocks of a sequence, the same for all heads. */
export const GATE_ROW: WordRecord<typeof ROW_FIELDS> = new WordRecord(
  "GateRow",
  ROW_FIELDS,
);

/** `read_gate_row(at)` of `gate_rows: array<u32>`. */
export const gateRows: Fragment = {
  bindings: [{ name: "gate_rows", type: "array<u32>", access: "read" }],
  uniforms: { heads: "u32", query_blocks: "u32", rows: "u32" },
  code: `${GATE_ROW.declare("gate_row", "gate_rows")}

// That of a row of scores.
fn own_gate_row(row: u32) -> GateRow {
  let sequence = row / (params.heads * params.query_blocks);
  return read_gate_row((sequence * params.query_blocks + row % params.query_blocks) * ${GATE_ROW.words}u);
}`,
};
