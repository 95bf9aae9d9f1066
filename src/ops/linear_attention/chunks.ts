// deno-lint-ignore-file camelcase -- records have the names of WGSL
/**
 * The schedule of linear attention: the chunks of each sequence, counted from
 * its first token, and where its states are.
 *
 * @module
 */

import {
  CHUNK,
  NO_STATE,
  STATE_SEQUENCE,
} from "../../../kernels/linear/chunks.ts";
import type { LinearProblem, LinearSequence } from "./problem.ts";

/** Sequences that go the same way. */
export interface ScheduledSequences {
  /** The first word of their records. */
  readonly at: number;
  /** How many there are. */
  readonly count: number;
}

/** A problem's chunks, as kernels read them. */
export interface ChunkSchedule {
  /** The records: chunks, then sequences. */
  readonly words: Uint32Array;
  /** How many chunks there are, of sequences that go by chunks. */
  readonly chunkCount: number;
  /** Tokens of those sequences: rows of scratch. */
  readonly rows: number;
  /** Those sequences. */
  readonly chunked: ScheduledSequences;
  /** The others, which go token by token. */
  readonly recurrent: ScheduledSequences;
  /** Chunks of the longest sequence. */
  readonly mostChunks: number;
}

/**
 * Writes the schedule of a problem. Sequences of at most `recurrentTokens` go
 * token by token: each by its own length, so that none depends on the others.
 */
export function chunkSchedule(
  { sequences, chunk }: LinearProblem,
  recurrentTokens: number,
): ChunkSchedule {
  const chunks: number[] = [];
  let row = 0;
  let mostChunks = 0;
  const scheduled = (those: readonly LinearSequence[]) =>
    those.flatMap(({ batch, token, count, initial, final }) => {
      const first_chunk = chunks.length / CHUNK.words;
      for (let first = 0; first < count; first += chunk) {
        chunks.push(...CHUNK.pack({
          batch,
          token: token + first,
          row: row + first,
          count: Math.min(chunk, count - first),
        }));
      }
      row += count;
      const chunk_count = chunks.length / CHUNK.words - first_chunk;
      mostChunks = Math.max(mostChunks, chunk_count);
      return STATE_SEQUENCE.pack({
        first_chunk,
        chunk_count,
        initial_slot: initial ?? NO_STATE,
        final_slot: final ?? NO_STATE,
      });
    });
  const chunked = scheduled(
    sequences.filter(({ count }) => count > recurrentTokens),
  );
  const counts = {
    chunkCount: chunks.length / CHUNK.words,
    rows: row,
    mostChunks,
  };
  const recurrent = scheduled(
    sequences.filter(({ count }) => count <= recurrentTokens),
  );
  const span = (at: number, records: readonly number[]) => ({
    at,
    count: records.length / STATE_SEQUENCE.words,
  });
  return {
    words: Uint32Array.from([...chunks, ...chunked, ...recurrent]),
    ...counts,
    chunked: span(chunks.length, chunked),
    recurrent: span(chunks.length + chunked.length, recurrent),
  };
}
