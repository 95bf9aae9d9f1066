/**
 * The schedule of linear attention: what workgroups read from
 * `schedule: array<u32>` to learn their chunk, or their sequence.
 *
 * Chunks are counted from the first token of their sequence, so that a row does
 * not depend on what else is in the batch. Scratch has a row for each token of
 * the chunks that are worked on, one after the other, whatever the layout of the
 * tensors is.
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import { WordRecord } from "../record.ts";
import { wgsl } from "../wgsl.ts";

const CHUNK_FIELDS = {
  /** Its sequence, where tensors have a stride for it; otherwise 0. */
  batch: "u32",
  /** Its first token, from where token strides count. */
  token: "u32",
  /** Its first token's row of scratch. */
  row: "u32",
  /** Tokens. */
  count: "u32",
} as const;

/** A chunk of a sequence's tokens. */
export const CHUNK: WordRecord<typeof CHUNK_FIELDS> = new WordRecord(
  "Chunk",
  CHUNK_FIELDS,
);

const STATE_RUN_FIELDS = {
  /** Its first chunk, or block of chunks. */
  first: "u32",
  /** How many it has. */
  count: "u32",
  /** The state that it begins with. */
  initial_slot: "u32",
  /** Where the state that it ends with goes. */
  final_slot: "u32",
} as const;

/**
 * What a scan goes along: a sequence's chunks, a block of them, or a sequence's
 * blocks. Its states are given ones, kept ones ({@linkcode KEPT_STATE}) or none
 * ({@linkcode NO_STATE}).
 */
export const STATE_RUN: WordRecord<typeof STATE_RUN_FIELDS> = new WordRecord(
  "StateRun",
  STATE_RUN_FIELDS,
);

/** The state that is none: zeros where it is read, and not written. */
export const NO_STATE = 0xffffffff;

/** What is added to the number of a state that scans keep for each other. */
export const KEPT_STATE = 0x80000000;

const schedule: Fragment = {
  bindings: [{ name: "schedule", type: "array<u32>", access: "read" }],
};

/** `chunk_of`: the record of a chunk. */
export const chunks: Fragment = {
  needs: [schedule],
  uniforms: { chunks_at: "u32", chunk_count: "u32" },
  code: wgsl(
    `
    $record

    fn chunk_of(index: u32) -> Chunk {
      return read_chunk(params.chunks_at + $words * index);
    }
    `,
    { record: CHUNK.declare("chunk"), words: CHUNK.words },
  ),
};

/** `run_of`: the record of what a scan goes along. */
export const stateRuns: Fragment = {
  needs: [schedule],
  uniforms: { runs_at: "u32", run_count: "u32" },
  code: wgsl(
    `
    $record

    fn run_of(index: u32) -> StateRun {
      return read_run(params.runs_at + $words * index);
    }
    `,
    { record: STATE_RUN.declare("run"), words: STATE_RUN.words },
  ),
};

/**
 * Heads: outputs have the most, and a state is shared by some of them, or a
 * query is; a key is shared by states.
 */
export const heads: Fragment = {
  uniforms: {
    heads: "u32",
    query_heads: "u32",
    key_heads: "u32",
    state_heads: "u32",
  },
  code: wgsl(`
    fn query_head_of(head: u32) -> u32 {
      return head * params.query_heads / params.heads;
    }

    fn state_head_of(head: u32) -> u32 {
      return head * params.state_heads / params.heads;
    }

    fn key_head_of(state_head: u32) -> u32 {
      return state_head * params.key_heads / params.state_heads;
    }
  `),
};
