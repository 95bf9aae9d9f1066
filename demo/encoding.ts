/**
 * A fixed induction head: bytes as keys, queries and values, so that attention
 * finds the longest context it has seen before, and says what followed it.
 *
 * The key at position j encodes the bytes before j, and the value byte j. The
 * query at position n encodes the bytes before n. Head l of
 * {@linkcode QUERY_HEADS} looks at the last l bytes alone:
 *
 * - A byte is 8 numbers of +-1, one a bit, so two bytes have a dot product of
 *   8 where they are equal, and of 6 at most where they are not. Nothing stands
 *   for a byte before the start: the product is 0. Over l bytes it is `8 l`
 *   where all are equal, else `8 l - 2` at most.
 * - One more dimension adds `j / 2^14` to every product, less than 1: of
 *   several matches the most recent wins, and no match loses to what is none.
 *
 * Products are then multiples of 2^-14 below 2^6, twenty bits, so that float32
 * adds them up exactly in any order, and scaled by a power of two they stay
 * exact. The scale puts 32 between the scores of two neighbours: all keys but
 * the best weigh less than `exp(-31)` together, which float32 cannot tell from
 * nothing. So the output of a head is the value of its best key, bit by bit,
 * and its log-sum-exp is that key's score, which says whether all l bytes
 * matched.
 *
 * @module
 */

/** Bytes of context that the heads look back over at most. */
export const MAX_CONTEXT = 7;
/** Heads: one a length of context, 0 included. */
export const QUERY_HEADS = MAX_CONTEXT + 1;
/** Key and value heads; each serves four query heads with the same rows. */
export const KV_HEADS = 2;
/** Eight dimensions a byte, one for the position, and zeros up to a vec4. */
export const HEAD_DIM = 60;
/** One dimension a bit of the byte that follows. */
export const VALUE_HEAD_DIM = 8;
/** Positions that the encoding can tell apart. */
export const MAX_POSITIONS = 2 ** 14;
/** Factor of the products; see the module's text. */
export const SCALE: number = 32 * MAX_POSITIONS;

const POSITION_AT = 8 * MAX_CONTEXT;

/** Keys and values of some positions. */
export interface KeyValueRows {
  /** `[positions, KV_HEADS, HEAD_DIM]`. */
  readonly key: Float32Array;
  /** `[positions, KV_HEADS, VALUE_HEAD_DIM]`. */
  readonly value: Float32Array;
}

/** Writes the +-1 bits of the bytes before `position`, the nearest first. */
function writeContext(
  row: Float32Array,
  text: Uint8Array,
  { position, length }: { position: number; length: number },
): void {
  for (let lag = 1; lag <= Math.min(length, position); lag++) {
    writeByte(row.subarray(8 * (lag - 1)), text[position - lag]);
  }
}

function writeByte(row: Float32Array, byte: number): void {
  for (let bit = 0; bit < 8; bit++) row[bit] = (byte >> bit) & 1 ? 1 : -1;
}

/** Keys and values of the positions `start..end - 1` of a text. */
export function keyValueRows(
  text: Uint8Array,
  start: number,
  end: number,
): KeyValueRows {
  const rows = (end - start) * KV_HEADS;
  const key = new Float32Array(rows * HEAD_DIM);
  const value = new Float32Array(rows * VALUE_HEAD_DIM);
  for (let row = 0; row < rows; row++) {
    const position = start + Math.floor(row / KV_HEADS);
    const keyRow = key.subarray(row * HEAD_DIM, (row + 1) * HEAD_DIM);
    writeContext(keyRow, text, { position, length: MAX_CONTEXT });
    keyRow[POSITION_AT] = position / MAX_POSITIONS;
    writeByte(value.subarray(row * VALUE_HEAD_DIM), text[position]);
  }
  return { key, value };
}

/**
 * Queries `[end - start, QUERY_HEADS, HEAD_DIM]`: at each position, what comes
 * there. `end` may be one past the text, to ask what follows it.
 */
export function queryRows(
  text: Uint8Array,
  start: number,
  end: number,
): Float32Array {
  const rows = (end - start) * QUERY_HEADS;
  const query = new Float32Array(rows * HEAD_DIM);
  for (let row = 0; row < rows; row++) {
    const position = start + Math.floor(row / QUERY_HEADS);
    const queryRow = query.subarray(row * HEAD_DIM, (row + 1) * HEAD_DIM);
    writeContext(queryRow, text, { position, length: row % QUERY_HEADS });
    queryRow[POSITION_AT] = 1;
  }
  return query;
}

/** What the heads say comes next. */
export interface Prediction {
  /** The byte. */
  readonly byte: number;
  /** How many bytes of context were found, up to {@linkcode MAX_CONTEXT}. */
  readonly context: number;
}

/**
 * The answer of the head that found the longest context, for query `index`.
 *
 * @returns `undefined` where there was no key to attend to.
 */
export function prediction(
  output: ArrayLike<number>,
  lse: ArrayLike<number>,
  index: number,
): Prediction | undefined {
  const row = index * QUERY_HEADS;
  let context = MAX_CONTEXT;
  // Halfway between the least product of a match and the most of any other.
  while (context >= 0 && !(lse[row + context] / SCALE > 8 * context - 0.5)) {
    context--;
  }
  if (context < 0) return undefined;
  let byte = 0;
  for (let bit = 0; bit < 8; bit++) {
    if (output[(row + context) * VALUE_HEAD_DIM + bit] > 0) byte |= 1 << bit;
  }
  return { byte, context };
}
