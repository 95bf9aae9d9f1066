/**
 * What a policy leaves of a call, in numbers and as a picture.
 *
 * @module
 */

import { checkType } from "../core/check.ts";
import { bytesPerElement } from "../core/dtype.ts";
import { checkOptions } from "../core/options.ts";
import { checkOnHost } from "../mods/captures/device_data.ts";
import {
  bindRows,
  type BlockMask,
  drawMask,
  type DrawMaskOptions,
  type MaskMod,
  type MaskPicture,
} from "../mods/mod.ts";
import { isBlockMask } from "../mods/block_mask/made.ts";
import {
  type AnyTensor,
  type AttentionOptions,
  type AttentionPolicy,
  type AttentionProblem,
  attentionProblem,
} from "../ops/mod.ts";
import { checkBlockGrid } from "../ops/attention/options/block_mask.ts";
import { checkPolicy } from "../ops/attention/options/select.ts";
import { keptPairs } from "./kept_pairs.ts";

/**
 * What a policy leaves of a call, beside what the call's other masks leave.
 *
 * @category Policies
 */
export interface PolicyReport {
  /** The policy's name. */
  readonly name: string;
  /** Pairs of a query and a key that are kept, over sequences and query heads. */
  readonly pairs: number;
  /** Pairs that the call would have without the policy. */
  readonly densePairs: number;
  /** `pairs / densePairs`; 1 where there are none. */
  readonly density: number;
  /**
   * Rows, over sequences and query heads, that have a key without the policy,
   * and none with it: their output is 0.
   */
  readonly emptyRows: number;
  /**
   * Bytes of the key and value rows that any query keeps, each once for its
   * sequence and kv head: what must be read at least.
   */
  readonly keyBytes: number;
  /** The same without the policy. */
  readonly denseKeyBytes: number;
  /** Draws what is kept, as `drawMask()` does. */
  draw(options?: DrawMaskOptions): MaskPicture;
}

/**
 * What {@linkcode policyReport} takes besides the policy and the call.
 *
 * @category Policies
 */
export interface PolicyReportOptions {
  /**
   * What the device selected, for a policy that selects there: `read()` of its
   * mask, after attention was submitted.
   */
  readonly selected?: BlockMask | undefined;
}

/**
 * Counts what a policy leaves of a call, and draws it. Nothing runs: tensors may
 * be shapes. Where the masks' interval reading decides a block of pairs, its
 * pairs are not looked at one by one.
 *
 * @param options Those of `attention()`, without `select`.
 * @throws {TypeError} if a mask's data is on the device, the device selects and
 * `selected` is missing or of another geometry, the call has a policy already, or
 * `attentionProblem()` refuses the options
 * @throws {RangeError} as `attentionProblem()` and the policy do
 *
 * @example Groups of 16 of 64 tokens
 * ```ts
 * import { longlora, policyReport } from "@quire/attention/policies";
 *
 * const rows = { dtype: "f32", shape: [1, 64, 2, 16] } as const;
 * const policy = longlora({ groupSize: 16 });
 * const report = policyReport(policy, {
 *   query: rows,
 *   key: rows,
 *   value: rows,
 *   causal: true,
 * });
 * console.log(report.pairs, report.densePairs); // 1024 4160
 * console.log(report.draw({ tileQueries: 8 }).text);
 * // ▒·······
 * // █▒······
 * // ··▒·····
 * // ··█▒···· and so on
 * ```
 *
 * @category Policies
 */
export function policyReport(
  policy: AttentionPolicy,
  options: Omit<AttentionOptions<AnyTensor>, "select">,
  { selected, ...more }: PolicyReportOptions = {},
): PolicyReport {
  checkPolicy("policy", policy);
  checkOptions("policyReport()", more, { known: ["selected"], hints: {} });
  const { select } = options as AttentionOptions<AnyTensor>;
  checkType(
    select === undefined,
    "select",
    "must be left out of the call, which is counted without a policy too",
    select,
  );
  const dense = attentionProblem(options);
  const kept = attentionProblem({ ...options, select: policy });
  const { name } = kept.policy!;
  const chosen = selected === undefined ? [] : selectedMasks(selected, kept);
  checkType(
    kept.selection === undefined || selected !== undefined,
    "selected",
    `must be given for ${name}, which selects on the device: read() of its mask`,
    selected,
  );
  const masks = [...kept.maskMods, ...chosen];
  // The call's own mask on the device leaves no more without the policy.
  const others = [...dense.maskMods, ...dense.selection ? chosen : []];
  for (const { expression } of masks) checkOnHost(expression);
  const [own, all] = [keptPairs(masks, kept), keptPairs(others, dense)];
  const bytes = (keys: number) =>
    keys * (kept.headDim + kept.valueHeadDim) * bytesPerElement(kept.dtype);
  return {
    name,
    pairs: own.pairs,
    densePairs: all.pairs,
    density: all.pairs === 0 ? 1 : own.pairs / all.pairs,
    emptyRows: all.rows - own.rows,
    keyBytes: bytes(own.keys),
    denseKeyBytes: bytes(all.keys),
    draw: (drawn = {}) =>
      drawMask({ maskMods: masks, sequences: kept.sequences }, drawn),
  };
}

/**
 * The masks of what the device selected.
 *
 * @throws {TypeError} if that is no block mask, or covers another call
 */
function selectedMasks(
  selected: BlockMask,
  { policy, selection, sequences, queryHeads: heads }: AttentionProblem,
): MaskMod[] {
  checkType(
    isBlockMask(selected),
    "selected",
    `must be a BlockMask: what ${policy?.name} selected, read`,
    selected,
  );
  checkBlockGrid(
    selected.grid,
    { sequences, heads, keys: undefined },
    "selected",
  );
  for (const size of GRID) {
    const own = selected.grid[size];
    const wanted = selection?.grid[size] ?? own;
    checkType(
      own === wanted,
      `selected ${size}`,
      `must be that of what the device selects (${wanted})`,
      own,
    );
  }
  const offsets = sequences.map(({ queryOffset }) => queryOffset);
  return bindRows([selected.maskMod(heads)], offsets);
}

/** What two block masks of the same geometry have in common. */
const GRID = [
  "queries",
  "keys",
  "queryBlock",
  "keyBlock",
  "batch",
  "heads",
] as const;
