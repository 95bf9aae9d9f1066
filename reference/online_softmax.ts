/**
 * Softmax of a stream: attention that sees one key at a time, or parts of the
 * keys apart, and never holds a row of scores (Milakov and Gimelshein 2018;
 * FlashAttention, Dao et al. 2022).
 *
 * The state after some keys is
 *
 * ```text
 * m = max s_j        l = sum exp(s_j - m)        A = sum exp(s_j - m) v_j
 * ```
 *
 * and two states over different keys merge into one over both:
 *
 * ```text
 * m = max(mx, my)
 * l = lx exp(mx - m) + ly exp(my - m)
 * A = Ax exp(mx - m) + Ay exp(my - m)
 * ```
 *
 * Merging is associative and commutative and has an identity, the state of no
 * keys. So the keys can be cut anywhere and the parts reduced in any order.
 * Taking in one key is merging with the state `(s, 1, v)`.
 *
 * @module
 */

/**
 * What is known of a row after some of its keys.
 *
 * @category Online softmax
 */
export interface State {
  /** `m`, the largest score; -Infinity before the first key. */
  readonly max: number;
  /** `l`, the sum of `exp(score - max)`. */
  readonly sum: number;
  /** `A`, the sum of `exp(score - max) * value`; `[valueHeadDim]`. */
  readonly accumulator: Float64Array;
}

/**
 * One row of finished attention.
 *
 * @category Online softmax
 */
export interface Row {
  /** The output; `[valueHeadDim]`. */
  readonly output: Float64Array;
  /** Natural log-sum-exp of the scores; -Infinity if there was no key. */
  readonly lse: number;
}

/**
 * The state of no keys: merging with it changes nothing.
 *
 * @example It changes nothing
 * ```ts
 * import { absorb, identity, merge } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const state = absorb(identity(1), 0.5, [3]);
 * assertEquals(merge(state, identity(1)), state);
 * ```
 *
 * @category Online softmax
 */
export function identity(valueHeadDim: number): State {
  return {
    max: -Infinity,
    sum: 0,
    accumulator: new Float64Array(valueHeadDim),
  };
}

/**
 * The state after one more key.
 *
 * @example Three keys, one at a time
 * ```ts
 * import { absorb, finish, identity } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * let state = identity(1);
 * for (const value of [1, 2, 6]) state = absorb(state, 0, [value]);
 * assertEquals([...finish(state).output], [3]);
 * ```
 *
 * @category Online softmax
 */
export function absorb(
  state: State,
  score: number,
  value: ArrayLike<number>,
): State {
  const accumulator = Float64Array.from(value);
  return merge(state, { max: score, sum: 1, accumulator });
}

/**
 * The state over the keys of both.
 *
 * @example Keys in two parts
 * ```ts
 * import { absorb, finish, identity, merge } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const one = absorb(identity(1), 0, [1]);
 * const other = absorb(absorb(identity(1), 0, [2]), 0, [6]);
 * assertEquals([...finish(merge(one, other)).output], [3]);
 * ```
 *
 * @category Online softmax
 */
export function merge(x: State, y: State): State {
  const max = Math.max(x.max, y.max);
  const xWeight = weight(x.max, max);
  const yWeight = weight(y.max, max);
  return {
    max,
    sum: x.sum * xWeight + y.sum * yWeight,
    accumulator: x.accumulator.map((a, c) =>
      a * xWeight + y.accumulator[c] * yWeight
    ),
  };
}

/**
 * The attention of a state: `O = A / l` and `L = m + ln l`.
 *
 * @example A row without keys
 * ```ts
 * import { finish, identity } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { output, lse } = finish(identity(2));
 * assertEquals([...output], [0, 0]);
 * assertEquals(lse, -Infinity);
 * ```
 *
 * @category Online softmax
 */
export function finish(state: State): Row {
  const { max, sum, accumulator } = state;
  if (sum === 0) return { output: accumulator, lse: -Infinity };
  return {
    output: accumulator.map((a) => a / sum),
    lse: max + Math.log(sum),
  };
}

/**
 * Merges finished rows. The pair (O, L) is the state `m = L, l = 1, A = O`, so
 * each part weighs `exp(L)` and nothing else needs to be kept of it.
 *
 * @example Rows over different keys
 * ```ts
 * import { mergeRows } from "@quire/attention/reference";
 * import { assertAlmostEquals, assertEquals } from "@std/assert";
 *
 * const row = (value: number) => ({ output: Float64Array.of(value), lse: 0 });
 * const { output, lse } = mergeRows(row(1), row(5));
 * assertEquals([...output], [3]);
 * assertAlmostEquals(lse, Math.log(2));
 * ```
 *
 * @category Online softmax
 */
export function mergeRows(x: Row, y: Row): Row {
  return finish(merge(stateOf(x), stateOf(y)));
}

/** A finished row as a state. Without keys its maximum gives it no weight. */
function stateOf({ output, lse }: Row): State {
  return { max: lse, sum: 1, accumulator: output };
}

/** `exp(m - max)`, where no keys weigh nothing and not `exp(-inf + inf)`. */
function weight(m: number, max: number): number {
  return m === -Infinity ? 0 : Math.exp(m - max);
}
