/**
 * Options such as `causal` and `softcap` as mods, in the order in which they
 * apply: softcap, ALiBi, other score mods; then all masks.
 *
 * @module
 */

import { checkBoolean, checkType } from "../../../core/check.ts";
import {
  alibi,
  causal,
  type MaskMod,
  type ScoreMod,
  slidingWindow,
  softcap,
} from "../../../mods/mod.ts";
import { alibiSlopes } from "../../../mods/scores.ts";
import type { AnyTensor } from "../../tensors.ts";
import type { AttentionOptions } from "./attention_options.ts";

export function scoreMods(
  options: AttentionOptions<AnyTensor>,
  batch: number,
  heads: number,
): ScoreMod[] {
  const mods: ScoreMod[] = [];
  if (options.softcap !== undefined) mods.push(softcap(options.softcap));
  const { alibi: slopes } = options;
  if (slopes !== undefined && slopes !== false) {
    const given = slopes === true ? alibiSlopes(heads) : slopes;
    checkType(
      given instanceof Float32Array,
      "alibi",
      "must be a boolean or a Float32Array",
      given,
    );
    checkType(
      given.length === heads || given.length === batch * heads,
      "alibi.length",
      `must be queryHeads (${heads}) or batch x queryHeads (${batch * heads})`,
      given.length,
    );
    mods.push(
      alibi(given, given.length === heads ? [heads] : [batch, heads]),
    );
  }
  return [...mods, ...listOf<ScoreMod>("scoreMod", "score", options.scoreMod)];
}

export function maskMods(options: AttentionOptions<AnyTensor>): MaskMod[] {
  const mods: MaskMod[] = [];
  const { window } = options;
  checkBoolean("causal", options.causal);
  if (options.causal) mods.push(causal());
  if (window !== undefined) {
    checkType(
      typeof window === "object" && window !== null,
      "window",
      "must be { left, right }",
      window,
    );
    mods.push(slidingWindow(window));
  }
  return [...mods, ...listOf<MaskMod>("maskMod", "mask", options.maskMod)];
}

function listOf<M extends { readonly kind: string }>(
  name: string,
  kind: string,
  mods: M | readonly M[] | undefined,
): readonly M[] {
  if (mods === undefined) return [];
  const list = (Array.isArray(mods) ? mods : [mods]) as readonly M[];
  for (const mod of list) {
    checkType(
      mod?.kind === kind,
      name,
      `must be made by ${kind}Mod() or be a shipped ${kind} mod`,
      mod,
    );
  }
  return list;
}
