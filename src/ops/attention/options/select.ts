/**
 * `select`: what a policy keeps of a call, checked.
 *
 * @module
 */

import { checkBoolean, checkType } from "../../../core/check.ts";
import { checkOptions, type KnownOptions } from "../../../core/options.ts";
import type { MaskMod, ScoreMod } from "../../../mods/mod.ts";
import type { AnyTensor } from "../../tensors.ts";
import type { ProblemPolicy } from "../policy_blocks.ts";
import type { AttentionOptions } from "./attention_options.ts";
import { checkBlockGrid, isDeviceBlockMask } from "./block_mask.ts";
import type { MaskExtents } from "./capture_sizes.ts";
import type { SelectedMods } from "./mods.ts";
import type {
  AttentionPolicy,
  PolicySelection,
  PolicyShape,
} from "./policy.ts";

/** What a policy makes of a call. */
export interface SelectedBy extends SelectedMods {
  /** What it is to the problem; none where there is no policy. */
  readonly policy?: ProblemPolicy | undefined;
}

/**
 * What a policy keeps of a call, if there is one.
 *
 * @throws {TypeError} If it is no policy, or selects what is none of the call's.
 */
export function selectedBy(
  { select, blockMask, causal, window, cache, layer = 0 }: AttentionOptions<
    AnyTensor
  >,
  shape: Omit<PolicyShape, "causal" | "window" | "layer">,
  extents: MaskExtents,
): SelectedBy {
  if (select === undefined) return { scoreMods: [], maskMods: [] };
  checkPolicy("select", select);
  const name = nameOf(select);
  const { maskMods = [], scoreMods = [], blocks } = selectionOf(select, {
    ...shape,
    ...(cache && { layer }),
    causal,
    window,
  });
  if (blocks !== undefined) {
    checkType(
      !isDeviceBlockMask(blockMask),
      "blockMask",
      `must not be on the device beside ${name}, which selects there`,
      blockMask,
    );
    checkBlockGrid(blocks.mask.grid, extents, name);
  }
  const by = [
    ...(maskMods.length > 0 ? ["masks" as const] : []),
    ...(scoreMods.length > 0 ? ["scores" as const] : []),
    ...(blocks ? ["blocks" as const] : []),
  ];
  return { scoreMods, maskMods, policy: { name: select.name, by, blocks } };
}

/**
 * What a policy keeps, checked by itself.
 *
 * @throws {TypeError} If that is no selection.
 */
export function selectionOf(
  policy: AttentionPolicy,
  shape: PolicyShape,
): PolicySelection {
  const name = nameOf(policy);
  const selection = policy.select(shape);
  checkType(
    typeof selection === "object" && selection !== null &&
      !(selection instanceof Promise),
    name,
    "must give { maskMods, scoreMods, blocks, causal }, those that it has, at once",
    selection,
  );
  checkOptions(`what ${name} gives`, selection, SELECTION);
  const { blocks } = selection;
  checkBoolean(`${name} causal`, selection.causal);
  checkMods(name, "mask", selection.maskMods);
  checkMods(name, "score", selection.scoreMods);
  checkType(
    blocks === undefined ||
      isDeviceBlockMask(blocks?.mask) && typeof blocks.encode === "function",
    `${name} blocks`,
    "must be { mask, encode }: a DeviceBlockMask, and what records the dispatches that write it",
    blocks,
  );
  return selection;
}

/** What errors call a policy. */
function nameOf({ name }: AttentionPolicy): string {
  return `select (${name})`;
}

const SELECTION: KnownOptions = {
  known: ["maskMods", "scoreMods", "blocks", "causal"],
  hints: {
    mask: "write maskMods, a list",
    maskMod: "write maskMods, a list",
    scoreMod: "write scoreMods, a list",
    blockMask: "write blocks: { mask, encode }, or maskMods",
  },
};

/** Throws unless mods are a list of a kind, if there are any. */
function checkMods(
  name: string,
  kind: "mask" | "score",
  mods: readonly (MaskMod | ScoreMod)[] | undefined,
): void {
  checkType(
    mods === undefined ||
      Array.isArray(mods) && mods.every((mod) => mod?.kind === kind),
    `${name} ${kind}Mods`,
    `must be a list of what ${kind}Mod() makes, or of shipped ${kind} mods`,
    mods,
  );
}

/** Throws unless something is a policy; errors call it `name`. */
export function checkPolicy(
  name: string,
  policy: unknown,
): asserts policy is AttentionPolicy {
  const own = (policy ?? {}) as Partial<AttentionPolicy>;
  checkType(
    typeof own.name === "string" && typeof own.select === "function",
    name,
    "must be a policy, as those of @quire/attention/policies",
    policy,
  );
}
