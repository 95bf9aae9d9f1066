/**
 * Sequences that are too short for a policy to pay.
 *
 * @module
 */

import { checkInteger, checkOneOf, checkType } from "../core/check.ts";
import { checkOptions } from "../core/options.ts";
import {
  Bool,
  bool,
  Float,
  type Int,
  type MaskMod,
  maskMod,
  type ScoreMod,
  scoreMod,
} from "../mods/mod.ts";
import type { AttentionPolicy, PolicyBlocks, PolicyShape } from "../ops/mod.ts";
import { checkPolicy, selectionOf } from "../ops/attention/options/select.ts";
import { perSequence } from "./per_sequence.ts";

/**
 * When a policy steps back.
 *
 * @category Policies
 */
export interface FallbackOptions {
  /** To what: `"dense"` (default), all keys that the call's other masks leave. */
  readonly fallback?: "dense" | undefined;
  /** Sequences with fewer keys than this; an integer >= 0. */
  readonly below: number;
}

/**
 * A policy that leaves sequences of fewer keys than `below` as they are: a short
 * sequence has little to save, and some policies keep too little of it. They are
 * causal where the call is, or where the policy makes it so by itself. Each
 * sequence by itself, so that a row does not depend on its batch: mods hold for
 * the others of a batch, and blocks of the short ones are all selected. Where
 * all are short, the device selects nothing.
 *
 * What counts is a sequence's keys at that call, so a sequence that grows as it
 * is decoded changes over at `below` keys.
 *
 * @throws {TypeError} for what is no policy, and unknown options
 * @throws {RangeError} if `below` is not an integer >= 0
 *
 * @example Groups of 16, where there are more than 32 tokens
 * ```ts
 * import { longlora, policyReport, withFallback } from "@quire/attention/policies";
 *
 * const policy = withFallback(longlora({ groupSize: 16 }), { below: 33 });
 * const rows = { dtype: "f32", shape: [32 + 64, 2, 8] } as const;
 * const { pairs, density } = policyReport(policy, {
 *   query: rows,
 *   key: rows,
 *   value: rows,
 *   cuSeqlens: [0, 32, 96],
 * });
 * console.log(pairs); // 2080: 1056 of the short sequence, dense, and 1024
 * console.log(density < 0.5); // true
 * ```
 *
 * @category Policies
 */
export function withFallback(
  policy: AttentionPolicy,
  options: FallbackOptions,
): AttentionPolicy {
  checkPolicy("policy", policy);
  checkOptions("withFallback()", options, {
    known: ["fallback", "below"],
    hints: { length: "write below", minLength: "write below" },
  });
  const { fallback = "dense", below } = options;
  checkOneOf("fallback", fallback, ["dense"]);
  checkInteger("below", below, 0, 2 ** 31 - 1);
  return {
    name: policy.name,
    select(shape) {
      const { maskMods, scoreMods, blocks, causal = false } = selectionOf(
        policy,
        shape,
      );
      const short = shape.sequences.map(({ keyCount }) => keyCount < below);
      // Mods stay where all are short, too: scores are made in the same way then,
      // and rows' bits are what they are in any batch.
      const isShort = perSequence(
        `${policy.name}'s short sequences`,
        short.map(Number),
      );
      return {
        maskMods: maskMods?.map((mod) => orShort(mod, { isShort, causal })),
        scoreMods: scoreMods?.map((mod) => unlessShort(mod, isShort)),
        blocks: blocks && allOfShort(policy.name, blocks, { shape, short }),
        causal,
      };
    },
  };
}

/** Whether a sequence is short, as 0 or 1. */
type IsShort = (batch: Int) => Int;

function orShort(
  { name, expression }: MaskMod,
  { isShort, causal }: {
    readonly isShort: IsShort;
    readonly causal: boolean;
  },
): MaskMod {
  return maskMod(name, ({ batch, query, key }) => {
    const dense = causal ? key.le(query) : bool(true);
    return isShort(batch).eq(1).select(dense, new Bool(expression));
  });
}

function unlessShort(
  { name, expression }: ScoreMod,
  isShort: IsShort,
): ScoreMod {
  return scoreMod(
    name,
    ({ score, batch }) =>
      isShort(batch).eq(1).select(score, new Float(expression)),
  );
}

/** The same blocks, and all of those of short sequences. */
function allOfShort(
  name: string,
  { mask, encode }: PolicyBlocks,
  { shape, short }: {
    readonly shape: PolicyShape;
    readonly short: readonly boolean[];
  },
): PolicyBlocks {
  const each = mask.grid.batch === shape.sequences.length;
  checkType(
    each || short.every((one) => one === short[0]),
    "below",
    `must leave no sequence, or all, to ${name}, whose blocks are the same for all sequences: keys`,
    shape.sequences.map(({ keyCount }) => keyCount),
  );
  return {
    mask,
    encode(encoder, tensors) {
      if (short.includes(false)) encode(encoder, tensors);
      short.slice(0, mask.grid.batch).forEach((one, batch) => {
        if (one) mask.encodeAll(encoder, batch);
      });
    },
  };
}
