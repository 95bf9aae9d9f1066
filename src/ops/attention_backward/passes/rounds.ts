/**
 * Rounds: of how many keys gradients of scores are stored at a time, so that
 * memory stays O(N).
 *
 * @module
 */

import { stretchVecs } from "../../../../kernels/attention/backward/score_gradients.ts";
import type { KeyRange } from "../../attention/work/key_ranges.ts";

/** Keys of a sequence in a round. */
export interface Stretch {
  /** Its sequence. */
  readonly record: number;
  /** Where its first vec4 is. */
  readonly start: number;
  /** Its first key. */
  readonly first: number;
  /** Key tiles. */
  readonly tiles: number;
}

/** What is stored at a time. */
export interface Round {
  /** The first of its key tiles, of all in the order of sequences. */
  readonly first: number;
  /** Its key tiles. */
  readonly count: number;
  /** Sequences in order, a stretch each. */
  readonly stretches: readonly Stretch[];
  /** Bytes that are stored. */
  readonly bytes: number;
}

/** What rounds depend on. */
export interface RoundSizes {
  /** Keys of a tile. */
  readonly tileKeys: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Rows of a sequence that have room. */
  readonly rowsOf: (record: number) => number;
  /** Keys of a sequence in a round, at most. */
  readonly keys: number;
  /** Bytes of a round, at most, but that each has a key tile. */
  readonly bytes: number;
}

/** Divides the key tiles of ranges, in order. */
export function roundsOf(
  ranges: readonly KeyRange[],
  { tileKeys, kvHeads, rowsOf, keys, bytes }: RoundSizes,
): Round[] {
  const rounds: Round[] = [];
  let [first, count, used] = [0, 0, 0];
  let stretches: Stretch[] = [];
  const close = () => {
    if (count > 0) rounds.push({ first, count, stretches, bytes: 16 * used });
    [first, count, used, stretches] = [first + count, 0, 0, []];
  };
  for (const { record, rows } of ranges) {
    const vecs = kvHeads *
      stretchVecs({ keys: tileKeys, rows: rowsOf(record) });
    for (let key = 0; key < rows; key += tileKeys) {
      const own = stretches.at(-1)?.record === record
        ? stretches.at(-1)!
        : undefined;
      const wide = own && (own.tiles + 1) * tileKeys > keys;
      if (count > 0 && (wide || 16 * (used + vecs) > bytes)) close();
      const last = stretches.at(-1);
      if (last?.record === record) {
        stretches[stretches.length - 1] = { ...last, tiles: last.tiles + 1 };
      } else {
        stretches.push({ record, start: used, first: key, tiles: 1 });
      }
      used += vecs;
      count++;
    }
  }
  close();
  return rounds;
}
