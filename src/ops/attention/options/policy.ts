/**
 * What a policy of attention is to `attention({ select })`: something that says
 * which keys each row keeps, before anything is dispatched or by dispatches that
 * come before attention's. The policies themselves stand in `src/policies`.
 *
 * @module
 */

import type {
  MaskMod,
  ScoreMod,
  SlidingWindowOptions,
} from "../../../mods/mod.ts";
import type { PolicyBlocks } from "../policy_blocks.ts";
import type { AttentionProblem, SequenceShape } from "../problem.ts";

/**
 * What a policy is told of a call.
 *
 * @category Policies
 */
export interface PolicyShape extends
  Pick<
    AttentionProblem,
    "dtype" | "queryHeads" | "kvHeads" | "headDim" | "valueHeadDim" | "scale"
  >,
  Partial<Pick<AttentionProblem, "layout" | "qkv" | "strides">> {
  /** The batch: how many queries and keys, and where query 0 stands. */
  readonly sequences: readonly Pick<
    SequenceShape,
    "queryCount" | "keyCount" | "queryOffset"
  >[];
  /** The layer of the cache that the call's keys are in, if they are in one. */
  readonly layer?: number | undefined;
  /** Whether the call is `causal` by its own options. */
  readonly causal?: boolean | undefined;
  /** The call's own `window`, if it has one. */
  readonly window?: SlidingWindowOptions | undefined;
}

/**
 * What a policy keeps of a call, on top of its `causal`, masks and scores.
 *
 * @category Policies
 */
export interface PolicySelection {
  /** A key is kept where all of them hold. */
  readonly maskMods?: readonly MaskMod[] | undefined;
  /** What kept scores become, after all other score mods. */
  readonly scoreMods?: readonly ScoreMod[] | undefined;
  /** Blocks that the device selects. */
  readonly blocks?: PolicyBlocks | undefined;
  /**
   * Whether the masks make attention causal where the call is not: what stands
   * in for them must do so too.
   */
  readonly causal?: boolean | undefined;
}

/**
 * What decides which keys each row of a call keeps, for `attention({ select })`.
 *
 * @category Policies
 */
export interface AttentionPolicy {
  /** What errors and explanations call it. */
  readonly name: string;
  /**
   * What it keeps of a call; nothing runs yet.
   *
   * @throws {TypeError} if it is for calls of other heads or sizes
   * @throws {RangeError} if a row would be left empty, or a number does not fit
   */
  select(shape: PolicyShape): PolicySelection;
}
