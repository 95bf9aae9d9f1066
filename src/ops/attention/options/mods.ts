/**
 * Options such as `causal` and `softcap` as mods, in the order in which they
 * apply: softcap, ALiBi, `attnMask`, other score mods; then all masks.
 *
 * @module
 */

import { checkBoolean, checkRange, checkType } from "../../../core/check.ts";
import {
  alibi,
  bindRows,
  causal,
  type MaskMod,
  type ScoreMod,
  slidingWindow,
  softcap,
} from "../../../mods/mod.ts";
import { isCapturedTensor } from "../../../mods/captures/capture_tensor.ts";
import { floatsOf } from "../../../mods/captures/floats.ts";
import { alibiSlopes } from "../../../mods/scores.ts";
import type { AnyTensor } from "../../tensors.ts";
import type { AttentionProblem } from "../problem.ts";
import { attentionMask, type MaskParts } from "./attention_mask.ts";
import type { AttentionOptions } from "./attention_options.ts";
import { blockMaskMods } from "./block_mask.ts";
import { checkCaptureSizes, type MaskExtents } from "./capture_sizes.ts";
import { checkWindow } from "./known_options.ts";

const NO_MASK: MaskParts = { scoreMods: [], maskMods: [] };

/** What a policy adds. */
export interface SelectedMods {
  readonly scoreMods: readonly ScoreMod[];
  readonly maskMods: readonly MaskMod[];
}

/**
 * The mods of a problem, held against its sizes, with the rows that they read
 * bound to its offsets.
 *
 * @throws {TypeError} for wrong types, and data of another size
 * @throws {RangeError} for values out of range
 */
export function boundMods(
  options: AttentionOptions<AnyTensor>,
  selected: SelectedMods,
  extents: MaskExtents,
): Pick<AttentionProblem, "scoreMods" | "maskMods"> {
  const { sequences, heads } = extents;
  const given = options.attnMask === undefined
    ? NO_MASK
    : attentionMask(options.attnMask);
  const score = [
    ...shippedScores(options, sequences.length, heads),
    ...given.scoreMods,
    ...listOf<ScoreMod>("scoreMod", "score", options.scoreMod),
    ...listOf<ScoreMod>("select", "score", selected.scoreMods),
  ];
  const mask = [
    ...shippedMasks(options),
    ...given.maskMods,
    ...listOf<MaskMod>("maskMod", "mask", options.maskMod),
    ...blockMaskMods(options.blockMask, extents),
    ...listOf<MaskMod>("select", "mask", selected.maskMods),
  ];
  checkCaptureSizes([...score, ...mask], extents);
  const offsets = sequences.map(({ queryOffset }) => queryOffset);
  return {
    scoreMods: bindRows(score, offsets),
    maskMods: bindRows(mask, offsets),
  };
}

function shippedScores(
  options: AttentionOptions<AnyTensor>,
  batch: number,
  heads: number,
): ScoreMod[] {
  const mods: ScoreMod[] = [];
  if (options.softcap !== undefined) {
    checkSoftcap(options.softcap);
    mods.push(softcap(options.softcap));
  }
  const { alibi: slopes } = options;
  if (slopes !== undefined && slopes !== false) {
    checkType(
      slopes === true || typeof slopes === "object" && slopes !== null,
      "alibi",
      "must be a boolean, slopes as floats, or a GpuTensor of them",
      slopes,
    );
    const given = slopes === true
      ? alibiSlopes(heads)
      : isCapturedTensor(slopes)
      ? slopes
      : floatsOf("alibi", slopes);
    const count = isCapturedTensor(given) ? given.size : given.length;
    checkType(
      count === heads || count === batch * heads,
      "alibi.length",
      `must be queryHeads (${heads}) or batch x queryHeads (${batch * heads})`,
      count,
    );
    if (!isCapturedTensor(given)) {
      const wrong = given.findIndex((slope) => !Number.isFinite(slope));
      checkRange(wrong < 0, `alibi[${wrong}]`, "must be finite", given[wrong]);
    }
    mods.push(alibi(given, count === heads ? [heads] : [batch, heads]));
  }
  return mods;
}

function shippedMasks(options: AttentionOptions<AnyTensor>): MaskMod[] {
  const mods: MaskMod[] = [];
  const { window } = options;
  checkBoolean("causal", options.causal);
  if (options.causal) mods.push(causal());
  if (window !== undefined) {
    checkWindow(window);
    mods.push(slidingWindow(window));
  }
  return mods;
}

function checkSoftcap(value: unknown): void {
  checkType(
    typeof value === "number",
    "softcap",
    "must be a number; leave it out for none",
    value,
  );
  checkRange(
    value >= 2 ** -126 && Number.isFinite(Math.fround(value)),
    "softcap",
    "must be a float32 above 0; leave it out for none",
    value,
  );
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
