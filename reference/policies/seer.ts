/**
 * SeerAttention's gate (Gao et al. 2024) in float64: from rows before rotary
 * embedding to a share of each block of keys, and to the blocks that are kept.
 * Of one sequence.
 *
 * @module
 */

import { dotOf, EXACT, type Rounding } from "../layers/rounding.ts";
import type { RopePairing } from "../rope.ts";

/**
 * What a gate looks at; arrays are row-major.
 *
 * @category Reference
 */
export interface SeerProblem {
  /** `[queries, queryHeads, headDim]`, not rotated. */
  readonly query: ArrayLike<number>;
  /** `[keys, kvHeads, headDim]`, not rotated. */
  readonly key: ArrayLike<number>;
  /** Queries. */
  readonly queries: number;
  /** Keys. */
  readonly keys: number;
  /** Query heads. */
  readonly queryHeads: number;
  /** Key/value heads, a divisor of them. */
  readonly kvHeads: number;
  /** Elements of a query or key. */
  readonly headDim: number;
  /** Elements of a gate row. */
  readonly gateDim: number;
  /** What projects pooled rows. */
  readonly weights: {
    /** `[heads, 3 headDim, gateDim]`. */
    readonly key: ArrayLike<number>;
    /** `[queryHeads, headDim, gateDim]`. */
    readonly query?: ArrayLike<number>;
  };
  /** Keys of a block. */
  readonly block: number;
  /** Queries of a block. */
  readonly queryBlock: number;
  /** The position of query 0. */
  readonly queryOffset: number;
  /** Whether a row sees no later block. */
  readonly causal: boolean;
  /** How gate rows are rotated; not at all without it. */
  readonly rotary?: { readonly pairing: RopePairing; readonly base: number };
}

/** Rows pooled, element by element. */
interface Pooled {
  readonly most: Float64Array;
  readonly least: Float64Array;
  readonly mean: Float64Array;
}

/** Pools the rows `first` to `end` of a head. */
function pool(
  rows: ArrayLike<number>,
  { first, end, heads, head, dim }: {
    readonly first: number;
    readonly end: number;
    readonly heads: number;
    readonly head: number;
    readonly dim: number;
  },
  round: Rounding,
): Pooled {
  const element = (row: number, e: number) =>
    rows[(row * heads + head) * dim + e];
  const most = new Float64Array(dim).fill(-Infinity);
  const least = new Float64Array(dim).fill(Infinity);
  const mean = new Float64Array(dim);
  for (let e = 0; e < dim; e++) {
    for (let row = first; row < end; row++) {
      most[e] = Math.max(most[e], element(row, e));
      least[e] = Math.min(least[e], element(row, e));
      mean[e] = round(mean[e] + element(row, e));
    }
    mean[e] = round(mean[e] / (end - first));
  }
  return { most, least, mean };
}

/** A row by a head's matrix of a stack `[heads, in, out]`. */
function project(
  row: ArrayLike<number>,
  matrices: ArrayLike<number>,
  { head, out }: { readonly head: number; readonly out: number },
  round: Rounding,
): Float64Array {
  return Float64Array.from({ length: out }, (_, column) =>
    dotOf(
      { of: row, at: 0 },
      { of: matrices, at: head * row.length * out + column, step: out },
      { length: row.length, round },
    ));
}

/** A gate row rotated at a position. */
function rotate(
  row: Float64Array,
  position: number,
  rotary: SeerProblem["rotary"],
  round: Rounding,
): Float64Array {
  if (rotary === undefined) return row;
  const pairs = Math.floor(row.length / 2);
  const out = row.slice();
  for (let t = 0; t < pairs; t++) {
    const [i, j] = rotary.pairing === "interleaved"
      ? [2 * t, 2 * t + 1]
      : [t, t + pairs];
    const angle = position * rotary.base ** (-t / pairs);
    const [cos, sin] = [round(Math.cos(angle)), round(Math.sin(angle))];
    out[i] = round(round(row[i] * cos) - round(row[j] * sin));
    out[j] = round(round(row[j] * cos) + round(row[i] * sin));
  }
  return out;
}

/**
 * Blocks of keys that a block of queries may see, and those it stands in; the
 * nearest one, where it stands in none.
 *
 * @example The second row of two
 * ```ts
 * import { seerBlocks } from "@quire/attention/reference";
 *
 * const problem = {
 *   query: new Float64Array(4 * 2).fill(1),
 *   key: new Float64Array(4 * 2).fill(1),
 *   queries: 4,
 *   keys: 4,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 2,
 *   gateDim: 2,
 *   weights: { key: new Float64Array(6 * 2).fill(1) },
 *   block: 2,
 *   queryBlock: 2,
 *   queryOffset: 0,
 *   causal: true,
 * };
 * console.log(seerBlocks(problem, 1)); // { seen: 2, first: 1, end: 2 }
 * ```
 *
 * @category Reference
 */
export function seerBlocks(problem: SeerProblem, row: number): {
  /** Blocks 0 to this, exclusive. */
  readonly seen: number;
  /** Those that its queries stand in: from here. */
  readonly first: number;
  /** To here, exclusive. */
  readonly end: number;
} {
  const { queries, keys, block, queryBlock, queryOffset, causal } = problem;
  const blocks = Math.ceil(keys / block);
  const from = queryOffset + row * queryBlock;
  const last = queryOffset + Math.min((row + 1) * queryBlock, queries) - 1;
  if (blocks === 0 || (causal && last < 0)) {
    return { seen: 0, first: 0, end: 0 };
  }
  const nearest = (position: number) =>
    Math.min(Math.max(Math.floor(position / block), 0), blocks - 1);
  const end = nearest(last) + 1;
  return { seen: causal ? end : blocks, first: nearest(from), end };
}

/**
 * The share of each block: softmax of the gate's logits over the blocks that a
 * row may see, -1 where it may not.
 *
 * @param round In what numbers: float64 by default.
 * @returns `[queryHeads, queryBlocks, keyBlocks]`
 *
 * @example Two rows of two blocks, all alike
 * ```ts
 * import { seerScores } from "@quire/attention/reference";
 *
 * const problem = {
 *   query: new Float64Array(4 * 2).fill(1),
 *   key: new Float64Array(4 * 2).fill(1),
 *   queries: 4,
 *   keys: 4,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 2,
 *   gateDim: 2,
 *   weights: { key: new Float64Array(6 * 2).fill(1) },
 *   block: 2,
 *   queryBlock: 2,
 *   queryOffset: 0,
 *   causal: true,
 * };
 * console.log(seerScores(problem)); // 1 -1 0.5 0.5
 * ```
 *
 * @category Reference
 */
export function seerScores(
  problem: SeerProblem,
  round: Rounding = EXACT,
): Float64Array {
  const { query, key, queries, keys, weights, block, queryBlock } = problem;
  const { queryHeads, kvHeads, headDim: dim, gateDim: out } = problem;
  const queryBlocks = Math.ceil(queries / queryBlock);
  const keyBlocks = Math.ceil(keys / block);
  const group = queryHeads / kvHeads;
  const scale = round(1 / Math.sqrt(out));
  const scores = new Float64Array(queryHeads * queryBlocks * keyBlocks)
    .fill(-1);
  for (let h = 0; h < queryHeads; h++) {
    const kvHead = Math.floor(h / group);
    const gateKeys = Array.from({ length: keyBlocks }, (_, j) => {
      const end = Math.min((j + 1) * block, keys);
      const { most, least, mean } = pool(
        key,
        { first: j * block, end, heads: kvHeads, head: kvHead, dim },
        round,
      );
      const head = weights.query === undefined ? h : kvHead;
      const row = project(
        [...most, ...least, ...mean],
        weights.key,
        { head, out },
        round,
      );
      return rotate(row, j * block, problem.rotary, round);
    });
    for (let i = 0; i < queryBlocks; i++) {
      const first = i * queryBlock;
      const end = Math.min(first + queryBlock, queries);
      const { mean } = pool(
        query,
        { first, end, heads: queryHeads, head: h, dim },
        round,
      );
      const row = weights.query === undefined
        ? mean
        : project(mean, weights.query, { head: h, out }, round);
      // Where the block of keys begins that its first query stands in.
      const position =
        Math.floor(Math.max(problem.queryOffset + first, 0) / block) * block;
      const gateQuery = rotate(row, position, problem.rotary, round);
      const { seen } = seerBlocks(problem, i);
      const logits = gateKeys.slice(0, seen).map((gateKey) =>
        round(
          scale * dotOf(
            { of: gateQuery, at: 0 },
            { of: gateKey, at: 0 },
            { length: out, round },
          ),
        )
      );
      const most = Math.max(...logits);
      const weightsOf = logits.map((z) => round(Math.exp(round(z - most))));
      const sum = weightsOf.reduce((total, w) => round(total + w), 0);
      weightsOf.forEach((w, j) =>
        scores[(h * queryBlocks + i) * keyBlocks + j] = round(w / sum)
      );
    }
  }
  return scores;
}

/**
 * How blocks are chosen by their shares.
 *
 * @category Reference
 */
export interface SeerRule {
  /** Those whose share is at least this. */
  readonly threshold?: number;
  /** Or so many of each row: the highest, of equal ones the first. */
  readonly topK?: number;
  /** So many last rows of blocks keep all that they may see. */
  readonly denseRows: number;
}

/**
 * What is kept.
 *
 * @category Reference
 */
export interface SeerKept {
  /** `[queryHeads, queryBlocks, keyBlocks]`, 1 where it is. */
  readonly kept: Uint8Array;
  /** `[queryHeads, queryBlocks]`: how many its share chose. */
  readonly counts: Uint32Array;
}

/**
 * So many blocks of a row that a causal triangle has about this density.
 *
 * @example A quarter of 100 blocks in a triangle
 * ```ts
 * import { seerTopK } from "@quire/attention/reference";
 *
 * console.log(seerTopK(0.25, 100)); // 13
 * ```
 *
 * @category Reference
 */
export function seerTopK(density: number, blocks: number): number {
  return Math.max(1, Math.floor((1 - Math.sqrt(1 - density)) * blocks));
}

/**
 * The blocks that are kept: those that their share chooses, those that a row's
 * queries stand in, and all of the last rows.
 *
 * @example Shares of at least a half
 * ```ts
 * import { seerScores, seerSelect } from "@quire/attention/reference";
 *
 * const problem = {
 *   query: new Float64Array(4 * 2).fill(1),
 *   key: new Float64Array(4 * 2).fill(1),
 *   queries: 4,
 *   keys: 4,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 2,
 *   gateDim: 2,
 *   weights: { key: new Float64Array(6 * 2).fill(1) },
 *   block: 2,
 *   queryBlock: 2,
 *   queryOffset: 0,
 *   causal: true,
 * };
 * const scores = seerScores(problem);
 * const { kept } = seerSelect(scores, problem, { threshold: 0.5, denseRows: 0 });
 * console.log(kept); // 1 0 1 1
 * ```
 *
 * @category Reference
 */
export function seerSelect(
  scores: ArrayLike<number>,
  problem: SeerProblem,
  { threshold, topK, denseRows }: SeerRule,
): SeerKept {
  const queryBlocks = Math.ceil(problem.queries / problem.queryBlock);
  const keyBlocks = Math.ceil(problem.keys / problem.block);
  const rows = problem.queryHeads * queryBlocks;
  const kept = new Uint8Array(rows * keyBlocks);
  const counts = new Uint32Array(rows);
  for (let row = 0; row < rows; row++) {
    const i = row % queryBlocks;
    const { seen, first, end } = seerBlocks(problem, i);
    const own = Array.from(
      { length: keyBlocks },
      (_, j) => scores[row * keyBlocks + j],
    );
    const order = own.map((_, j) => j).sort((a, b) => own[b] - own[a] || a - b);
    const chosen = topK === undefined
      ? order.filter((j) => own[j] >= threshold!)
      : order.slice(0, topK);
    for (const j of chosen.filter((j) => j < seen)) {
      kept[row * keyBlocks + j] = 1;
      counts[row]++;
    }
    const dense = i >= queryBlocks - denseRows;
    for (let j = dense ? 0 : first; j < (dense ? seen : end); j++) {
      kept[row * keyBlocks + j] = 1;
    }
  }
  return { kept, counts };
}
