/**
 * Attention cases as plain data: a case is one JSON line from which inputs,
 * storage, options and the float64 problem follow, so that a failure is
 * replayed by printing it.
 *
 * @module
 */

import type { ReferenceProblem } from "../../../reference/mod.ts";
import { roundAll } from "../../../reference/naive.ts";
import { type Dropout, dropoutKeep } from "../../../src/core/dropout.ts";
import type { DType } from "../../../src/core/dtype.ts";
import { Prng } from "../../../src/core/prng.ts";
import { type MaskSpec, readMask, readScore, type ScoreSpec } from "./mods.ts";
import { type BlocksSpec, seesBlocks } from "./block_specs.ts";
import { policyReadings, type PolicySpec } from "./policies.ts";

/** What queries, keys and values look like. */
export type Distribution =
  | "normal"
  | "large"
  | "oneHot"
  | "equal"
  | "outlier"
  | "tiny";

/** All distributions. */
export const DISTRIBUTIONS: readonly Distribution[] = [
  "normal",
  "large",
  "oneHot",
  "equal",
  "outlier",
  "tiny",
];

/** Queries and keys of one sequence. */
export type Lengths = readonly [queries: number, keys: number];

/** One attention call. */
export interface AttentionCase {
  /** Decides every random number of the inputs. */
  readonly seed: number;
  readonly dtype: DType;
  /**
   * Where keys and values are; `cache` goes through a `KvCache`, `contiguous`
   * through a `ContiguousCache`.
   */
  readonly layout: "dense" | "ragged" | "paged" | "cache" | "contiguous";
  /** Tokens of a block. */
  readonly blockSize?: number;
  /** Arenas of the cache. */
  readonly segments?: number;
  /** Dense: all sequences have as many queries. */
  readonly sequences: readonly Lengths[];
  /** Keys stored past the longest, or past each, that must not be read. */
  readonly padding?: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly valueHeadDim: number;
  readonly distribution: Distribution;
  readonly scale?: number;
  readonly causal?: boolean;
  readonly window?: { readonly left?: number; readonly right?: number };
  readonly masks?: readonly MaskSpec[];
  readonly score?: ScoreSpec;
  readonly blocks?: BlocksSpec;
  readonly policy?: PolicySpec;
  /** Whether the policy is `select`, as it is by default, or its mods are given. */
  readonly policyBy?: "select" | "mods";
  readonly queryOffset?: number;
  readonly dropout?: Dropout;
  /** How many keys each sequence has from one before it; 0 by default. */
  readonly inherits?: readonly number[];
  /** From which one; by default the one just before it. */
  readonly heirOf?: readonly number[];
  readonly splits?: number | "fixed" | "stream-k" | "auto";
  readonly workers?: number;
  readonly sharedPrefix?: "auto" | "always" | "never";
  readonly algorithm?: "fused" | "standard" | "fa1";
  /**
   * The device's own tiles, those of hardware, or (the default) small ones:
   * the same source but for its register tile, compiled several times faster.
   */
  readonly tiles?: "small" | "device" | "hardware";
  /** Whether the log-sum-exp is asked for; it is, by default. */
  readonly lse?: boolean;
  /** Tokens of a block, where scores of blocks are asked for. */
  readonly scoreBlock?: number;
}

/** The smallest case; tests spread it and change what they are about. */
export const PLAIN: AttentionCase = {
  seed: 1,
  dtype: "f32",
  layout: "dense",
  sequences: [[17, 17]],
  queryHeads: 2,
  kvHeads: 1,
  headDim: 16,
  valueHeadDim: 16,
  distribution: "normal",
};

/** Queries, keys and values of one sequence, rounded to the case's dtype. */
export interface SequenceData {
  /** `[queries, queryHeads, headDim]`. */
  readonly query: Float32Array;
  /** `[keys, kvHeads, headDim]`. */
  readonly key: Float32Array;
  /** `[keys, kvHeads, valueHeadDim]`. */
  readonly value: Float32Array;
}

/** How many keys a sequence of a case has from one before it, and which. */
export function inheritance(
  c: AttentionCase,
  index: number,
): { readonly from: number; readonly keys: number } {
  if (index === 0) return { from: 0, keys: 0 };
  const from = (c.heirOf?.[index] ?? index - 1) % index;
  const [[, before], [, own]] = [c.sequences[from], c.sequences[index]];
  return { from, keys: Math.min(c.inherits?.[index] ?? 0, before, own) };
}

/**
 * The inputs of a case: a sequence's depend on the seed and its index only, but
 * for the keys and values that it inherits.
 */
export function dataOf(c: AttentionCase): SequenceData[] {
  const all = ownDataOf(c);
  all.forEach(({ key, value }, i) => {
    const { from, keys } = inheritance(c, i);
    const rows = keys * c.kvHeads;
    if (rows === 0) return;
    key.set(all[from].key.subarray(0, rows * c.headDim));
    value.set(all[from].value.subarray(0, rows * c.valueHeadDim));
  });
  return all;
}

function ownDataOf(c: AttentionCase): SequenceData[] {
  return c.sequences.map(([queries, keys], i) => {
    const random = new Prng(c.seed * 0x9e3779b1 + i);
    const make = generator(c, random);
    const data = {
      query: make("query", queries * c.queryHeads, c.headDim),
      key: make("key", keys * c.kvHeads, c.headDim),
      value: make("value", keys * c.kvHeads, c.valueHeadDim),
    };
    return {
      query: roundAll(c.dtype, data.query),
      key: roundAll(c.dtype, data.key),
      value: roundAll(c.dtype, data.value),
    };
  });
}

type Role = "query" | "key" | "value";

function generator(
  { distribution, dtype }: AttentionCase,
  random: Prng,
): (role: Role, rows: number, dim: number) => Float32Array {
  const half = dtype === "f16";
  // Squared, what scores are multiplied by.
  const factor = { large: half ? 50 : 100, tiny: half ? 2 ** -10 : 1e-20 };
  return (role, rows, dim) => {
    const out = new Float32Array(rows * dim);
    for (let row = 0; row < rows; row++) {
      const hot = random.below(dim);
      for (let t = 0; t < dim; t++) {
        const x = random.normal();
        out[row * dim + t] = distribution === "equal"
          ? 1
          : distribution === "oneHot" && role !== "value"
          ? (t === hot ? 8 : 0)
          : distribution === "large" && role !== "value"
          ? x * factor.large
          : distribution === "tiny"
          ? x * factor.tiny
          : x;
      }
    }
    if (distribution === "outlier" && out.length > 0) {
      out[random.below(out.length)] *= half ? 100 : 1e4;
    }
    return out;
  };
}

/** The position of query 0 of a sequence. */
export function offsetOf(c: AttentionCase, [queries, keys]: Lengths): number {
  return c.queryOffset ?? keys - queries;
}

/** That of each sequence. */
export function offsetsOf(c: AttentionCase): number[] {
  return c.sequences.map((lengths) => offsetOf(c, lengths));
}

/** One sequence of a case as the oracle takes it. */
export function referenceProblem(
  c: AttentionCase,
  data: SequenceData,
  index: number,
): ReferenceProblem {
  const [queryLength, keyLength] = c.sequences[index];
  const { queryHeads, kvHeads, headDim, valueHeadDim } = c;
  const offsets = offsetsOf(c);
  const sees = [
    ...(c.causal ? [readMask({ kind: "causal" }, 0, offsets)] : []),
    ...(c.window
      ? [readMask({ kind: "window", ...c.window }, 0, offsets)]
      : []),
    ...(c.masks ?? []).map((mask) => readMask(mask, c.seed, offsets)),
  ].map((mask) => mask.sees);
  if (c.blocks) {
    sees.push(seesBlocks(c.blocks, c.seed, { offsets, queryHeads }));
  }
  const policy = c.policy && policyReadings(c);
  if (policy) sees.push(policy.sees);
  const { seed } = c;
  const keep = c.dropout && dropoutKeep(c.dropout);
  const score = readScore(c.score ?? {}, queryHeads, { seed, offsets });
  return {
    ...data,
    batch: 1,
    queryLength,
    keyLength,
    queryHeads,
    kvHeads,
    headDim,
    valueHeadDim,
    // What the kernel multiplies by is a float32.
    scale: Math.fround(c.scale ?? 1 / Math.sqrt(headDim)),
    queryOffset: offsetOf(c, c.sequences[index]),
    score: (score || policy) && ((s, _, h, q, k) => {
      const own = score ? score(s, index, h, q, k) : s;
      return policy ? policy.change(own, index, h, q, k) : own;
    }),
    mask: sees.length > 0
      ? (_, h, q, k) => sees.every((see) => see(index, h, q, k))
      : undefined,
    keep: keep && ((_, h, q, k) => keep(index, h, q, k)),
  };
}

/** Multiplications of a case, for limits on what a test run may take. */
export function workOf(c: AttentionCase): number {
  const pairs = c.sequences.reduce((sum, [q, k]) => sum + q * k, 0);
  return pairs * c.queryHeads * (c.headDim + c.valueHeadDim);
}
