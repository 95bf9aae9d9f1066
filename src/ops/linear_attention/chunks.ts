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
import { featureGroups } from "../../../kernels/linear/features.ts";
import type { LinearProblem } from "./problem.ts";

/** A problem's chunks, as kernels read them. */
export interface ChunkSchedule {
  /** The records: chunks, then sequences, then groups of features. */
  readonly words: Uint32Array;
  /** How many chunks there are. */
  readonly chunkCount: number;
  /** The first word of sequences. */
  readonly sequencesAt: number;
  /** The first word of groups of features, where there are any. */
  readonly featuresAt: number;
  /** Chunks of the longest sequence. */
  readonly mostChunks: number;
}

/** Writes the schedule of a problem. */
export function chunkSchedule(
  { sequences, chunk, featureMap, headDim }: LinearProblem,
): ChunkSchedule {
  const chunks: number[] = [];
  const records: number[] = [];
  let row = 0;
  let mostChunks = 0;
  for (const { batch, token, count, initial, final } of sequences) {
    const own = Math.ceil(count / chunk);
    records.push(...STATE_SEQUENCE.pack({
      first_chunk: chunks.length / CHUNK.words,
      chunk_count: own,
      initial_slot: initial ?? NO_STATE,
      final_slot: final ?? NO_STATE,
    }));
    for (let first = 0; first < count; first += chunk) {
      chunks.push(...CHUNK.pack({
        batch,
        token: token + first,
        row: row + first,
        count: Math.min(chunk, count - first),
      }));
    }
    row += count;
    mostChunks = Math.max(mostChunks, own);
  }
  const features = featureMap === "taylor" ? featureGroups(headDim) : [];
  return {
    words: Uint32Array.from([...chunks, ...records, ...features]),
    chunkCount: chunks.length / CHUNK.words,
    sequencesAt: chunks.length,
    featuresAt: chunks.length + records.length,
    mostChunks,
  };
}
