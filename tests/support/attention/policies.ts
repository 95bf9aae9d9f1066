/**
 * Policies of test cases as plain data: those that keep keys by mods, whose
 * float64 reading is what the oracle is given.
 *
 * @module
 */

import {
  type AttentionPolicy,
  experimentalPrFlash,
  longlora,
  type LongLoraOptions,
  type PrFlashOptions,
  s2,
  type S2Options,
  withFallback,
} from "../../../src/policies/mod.ts";
import {
  type MaskFunction,
  maskFunction,
  type MaskMod,
  type ScoreFunction,
  scoreFunction,
  type ScoreMod,
} from "../../../src/mods/mod.ts";
import { type AttentionCase, offsetOf } from "./cases.ts";

/** A policy as plain data. */
export type PolicySpec =
  & (
    | { readonly kind: "s2"; readonly options: S2Options }
    | { readonly kind: "longlora"; readonly options: LongLoraOptions }
    | { readonly kind: "prflash"; readonly options: PrFlashOptions }
  )
  & {
    /** Sequences of fewer keys are dense. */
    readonly below?: number;
  };

/** The policy of a case. */
export function readPolicy({ below, ...spec }: PolicySpec): AttentionPolicy {
  const policy = madeOf(spec);
  return below === undefined ? policy : withFallback(policy, { below });
}

function madeOf(spec: PolicySpec): AttentionPolicy {
  switch (spec.kind) {
    case "s2":
      return s2(spec.options);
    case "longlora":
      return longlora(spec.options);
    case "prflash":
      return experimentalPrFlash(spec.options);
  }
}

/** The mods by which a case's policy keeps keys. */
export function policyMods(
  c: AttentionCase,
): { readonly maskMods: MaskMod[]; readonly scoreMods: ScoreMod[] } {
  const { maskMods, scoreMods, blocks } = readPolicy(c.policy!).select({
    dtype: c.dtype,
    queryHeads: c.queryHeads,
    kvHeads: c.kvHeads,
    headDim: c.headDim,
    valueHeadDim: c.valueHeadDim,
    causal: c.causal,
    window: c.window,
    layout: "bshd",
    scale: c.scale ?? 1 / Math.sqrt(c.headDim),
    sequences: c.sequences.map((lengths) => ({
      queryCount: lengths[0],
      keyCount: lengths[1],
      queryOffset: offsetOf(c, lengths),
    })),
  });
  if (blocks) throw new TypeError("A case's policy must keep keys by mods");
  return { maskMods: [...maskMods ?? []], scoreMods: [...scoreMods ?? []] };
}

/** Their float64 readings. */
export function policyReadings(c: AttentionCase): {
  readonly sees: MaskFunction;
  readonly change: ScoreFunction;
} {
  const { maskMods, scoreMods } = policyMods(c);
  return { sees: maskFunction(maskMods), change: scoreFunction(scoreMods) };
}
