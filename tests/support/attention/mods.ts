/**
 * Masks and scores of a test case as plain data, with two readings each: the
 * library's mod, and a function written here from the definition alone.
 *
 * @module
 */

import {
  type MaskFunction,
  s2Mask,
  type ScoreFunction,
} from "../../../reference/mod.ts";
import { Prng } from "../../../src/core/prng.ts";
import {
  additiveBias,
  and,
  booleanMask,
  capture,
  causal,
  document,
  type MaskMod,
  maskMod,
  not,
  or,
  prefixLm,
  type ScoreMod,
  sinkWindow,
  slidingWindow,
} from "../../../src/mods/mod.ts";
import { alibiSlopes } from "../../../src/mods/scores.ts";
import { s2, type S2Heads, type S2Options } from "../../../src/policies/mod.ts";
import { s2MaskOptions } from "../../policies/s2/patterns.ts";

/** A mask as plain data. */
export type MaskSpec =
  | { readonly kind: "causal" }
  | { readonly kind: "window"; readonly left?: number; readonly right?: number }
  | { readonly kind: "prefixLm"; readonly prefix: number }
  | { readonly kind: "document"; readonly length: number; readonly ids: number }
  | {
    readonly kind: "sinkWindow";
    readonly sinks: number;
    readonly window: number;
  }
  | {
    readonly kind: "boolean";
    readonly shape: readonly [heads: number, queries: number, keys: number];
    readonly density: number;
  }
  | { readonly kind: "headParity" }
  | { readonly kind: "batchStride" }
  | {
    readonly kind: "s2";
    readonly options: S2Options;
    readonly heads: Required<S2Heads>;
  }
  | { readonly kind: "and" | "or"; readonly of: readonly MaskSpec[] }
  | { readonly kind: "not"; readonly of: MaskSpec };

/** What is added to a case's scores, as plain data. */
export interface ScoreSpec {
  readonly softcap?: number;
  readonly alibi?: boolean;
  /** An additive bias of `[heads, queries, keys]`. */
  readonly bias?: readonly [heads: number, queries: number, keys: number];
}

/** A mask in its two readings. */
export interface MaskReadings {
  readonly mod: MaskMod;
  readonly sees: MaskFunction;
}

/** A score mod in its two readings. */
export interface ScoreReadings {
  readonly mod: ScoreMod;
  readonly change: ScoreFunction;
}

/**
 * Both readings of a mask; random content comes from `seed`.
 *
 * @param offsets The position of query 0 of each sequence, for masks whose data
 * has a row per query.
 */
export function readMask(
  spec: MaskSpec,
  seed: number,
  offsets: readonly number[],
): MaskReadings {
  switch (spec.kind) {
    case "causal":
      return { mod: causal(), sees: (_b, _h, q, k) => k <= q };
    case "window": {
      const { left, right } = spec;
      return {
        mod: slidingWindow({
          ...(left !== undefined && { left }),
          ...(right !== undefined && { right }),
        }),
        sees: (_b, _h, q, k) =>
          k >= q - (left ?? Infinity) && k <= q + (right ?? Infinity),
      };
    }
    case "prefixLm":
      return {
        mod: prefixLm(spec.prefix),
        sees: (_b, _h, q, k) => k < spec.prefix || k <= q,
      };
    case "document":
      return readDocument(spec, seed);
    case "sinkWindow":
      return {
        mod: sinkWindow({ sinks: spec.sinks, window: spec.window }),
        sees: (_b, _h, q, k) =>
          k <= q && (k < spec.sinks || k >= q - spec.window),
      };
    case "boolean":
      return readBoolean(spec, seed, offsets);
    case "headParity":
      // Even heads look back, odd heads look ahead.
      return {
        mod: or(
          and(headMask(0), causal()),
          and(headMask(1), not(causal())),
        ),
        sees: (_b, h, q, k) => h % 2 === 0 ? k <= q : k > q,
      };
    case "s2":
      return {
        mod: s2(spec.options).maskMods(spec.heads)[0],
        sees: s2Mask(s2MaskOptions(spec.options, spec.heads)),
      };
    case "batchStride":
      // Every sequence leaves out other keys.
      return {
        mod: maskMod(
          "batchStride",
          ({ batch, key }) => key.add(batch).rem(3).ne(0),
        ),
        sees: (b, _h, _q, k) => (k + b) % 3 !== 0,
      };
    case "and":
    case "or": {
      const parts = spec.of.map((part, i) =>
        readMask(part, seed + i + 1, offsets)
      );
      const mods = parts.map(({ mod }) => mod);
      return spec.kind === "and"
        ? {
          mod: and(...mods),
          sees: (...at) => parts.every(({ sees }) => sees(...at)),
        }
        : {
          mod: or(...mods),
          sees: (...at) => parts.some(({ sees }) => sees(...at)),
        };
    }
    case "not": {
      const { mod, sees } = readMask(spec.of, seed + 1, offsets);
      return { mod: not(mod), sees: (...at) => !sees(...at) };
    }
  }
}

/** The readings of the bias of a case; `offsets` as for {@linkcode readMask}. */
export function readBias(
  shape: readonly [number, number, number],
  seed: number,
  offsets: readonly number[],
): ScoreReadings {
  const random = new Prng(seed ^ 0xb1a5);
  const [heads, queries, keys] = shape;
  const data = Float32Array.from(
    { length: heads * queries * keys },
    () => random.normal(),
  );
  return {
    mod: additiveBias(data, [...shape]),
    change: (score, b, h, q, k) =>
      score + data[
        (clamp(h, heads) * queries + clamp(q - offsets[b], queries)) * keys +
        clamp(k, keys)
      ],
  };
}

/** All of a case's score mods as one function, in the order of the contract. */
export function readScore(
  spec: ScoreSpec,
  heads: number,
  { seed, offsets }: {
    readonly seed: number;
    readonly offsets: readonly number[];
  },
): ScoreFunction | undefined {
  const steps: ScoreFunction[] = [];
  const { softcap } = spec;
  if (softcap !== undefined) {
    steps.push((score) => softcap * Math.tanh(score / softcap));
  }
  if (spec.alibi) {
    const slopes = alibiSlopes(heads);
    steps.push((score, _b, h, q, k) => score - slopes[h] * Math.abs(q - k));
  }
  if (spec.bias) steps.push(readBias(spec.bias, seed, offsets).change);
  if (steps.length === 0) return undefined;
  return (score, ...at) => steps.reduce((s, step) => step(s, ...at), score);
}

function headMask(parity: number): MaskMod {
  const bits = Uint8Array.from({ length: 64 }, (_, h) => +(h % 2 === parity));
  const captured = capture(bits);
  return maskMod("headMask", ({ head }) => captured.at(head));
}

function readDocument(
  { length, ids }: Extract<MaskSpec, { kind: "document" }>,
  seed: number,
): MaskReadings {
  const random = new Prng(seed ^ 0xd0c);
  const data = Int32Array.from({ length }, () => random.below(ids)).sort();
  return {
    mod: document(data),
    sees: (_b, _h, q, k) => data[clamp(q, length)] === data[clamp(k, length)],
  };
}

function readBoolean(
  { shape, density }: Extract<MaskSpec, { kind: "boolean" }>,
  seed: number,
  offsets: readonly number[],
): MaskReadings {
  const random = new Prng(seed ^ 0xb001);
  const [heads, queries, keys] = shape;
  const data = Uint8Array.from(
    { length: heads * queries * keys },
    () => +(random.uniform() < density),
  );
  return {
    mod: booleanMask(data, [...shape]),
    sees: (b, h, q, k) =>
      data[
        (clamp(h, heads) * queries + clamp(q - offsets[b], queries)) * keys +
        clamp(k, keys)
      ] !== 0,
  };
}

/** Captures clamp an index to their dimension; so do these readings. */
function clamp(index: number, size: number): number {
  return Math.min(Math.max(index, 0), size - 1);
}
