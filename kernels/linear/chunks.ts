/**
 * The schedule of linear attention: what workgroups read from
 * `schedule: array<u32>` to learn their chunk, or their sequence.
 *
 * Chunks are counted from the first token of their sequence, so that a row does
 * not depend on what else is in the batch. Scratch has a row for each token,
 * one sequence after the other, whatever the layout of the tensors is.
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

const STATE_SEQUENCE_FIELDS = {
  /** Its first chunk. */
  first_chunk: "u32",
  /** How many it has. */
  chunk_count: "u32",
  /** The state that it begins with, or `NO_STATE`. */
  initial_slot: "u32",
  /** Where the state that it ends with goes, or `NO_STATE`. */
  final_slot: "u32",
} as const;

/** A sequence: its chunks and its states. */
export const STATE_SEQUENCE: WordRecord<typeof STATE_SEQUENCE_FIELDS> =
  new WordRecord("StateSequence", STATE_SEQUENCE_FIELDS);

/** The state that is none: zeros where it is read, and not written. */
export const NO_STATE = 0xffffffff;

const schedule: Fragment = {
  bindings: [{ name: "schedule", type: "array<u32>", access: "read" }],
};

/** `chunk_of`: the record of a chunk. */
export const chunks: Fragment = {
  needs: [schedule],
  uniforms: { chunk_count: "u32" },
  code: wgsl(
    `
    $record

    fn chunk_of(index: u32) -> Chunk {
      return read_chunk($words * index);
    }
    `,
    { record: CHUNK.declare("chunk"), words: CHUNK.words },
  ),
};

/** `sequence_of`: the record of a sequence. */
export const stateSequences: Fragment = {
  needs: [schedule],
  uniforms: { sequences_at: "u32", sequence_count: "u32" },
  code: wgsl(
    `
    $record

    fn sequence_of(index: u32) -> StateSequence {
      return read_sequence(params.sequences_at + $words * index);
    }
    `,
    {
      record: STATE_SEQUENCE.declare("sequence"),
      words: STATE_SEQUENCE.words,
    },
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
