/**
 * What the sources of linear attention's kernels depend on.
 *
 * ```text
 * h_t = diag(exp g_t) h_{t-1} + k_t v_t^T    o_t = scale h_t^T q_t
 * ```
 *
 * with log gates g, a state h of `[headDim, valueHeadDim]` for each head, and
 * chunks of tokens of which all but the states are products of matrices (Gated
 * Linear Attention, Yang et al. 2024, section 4).
 *
 * @module
 */

import type { FeatureMap } from "../../src/core/features.ts";
import type { RowFormat } from "../fragments/rows.ts";
import type { ProductTile } from "../product.ts";

/**
 * What a log gate is for: nothing, a whole state (RetNet, Lightning, Mamba-2),
 * or each of its rows (GLA).
 *
 * @category Kernels
 */
export type GateKind = "none" | "head" | "channel";

/**
 * What every kernel of linear attention depends on.
 *
 * @category Kernels
 */
export interface LinearSpec {
  /** The format of query rows. */
  readonly queryFormat: RowFormat;
  /** The format of key rows. */
  readonly keyFormat: RowFormat;
  /** The format of value rows. */
  readonly valueFormat: RowFormat;
  /** The format of output rows. */
  readonly outputFormat: RowFormat;
  /** What gates are for. */
  readonly gate: GateKind;
  /** Whether tokens write by a delta rule; `false` by default. */
  readonly delta?: boolean;
  /** What queries and keys become; `"identity"` by default. */
  readonly featureMap?: FeatureMap;
  /** Whether outputs are divided by the sum of their weights. */
  readonly normalize?: boolean;
  /** How lanes share a tile of a product. */
  readonly tile: ProductTile;
}

/** A kernel's label: what it is, and what tells it from others of its kind. */
export function linearLabel(
  kernel: string,
  { queryFormat, gate, delta, featureMap, normalize }: Pick<
    LinearSpec,
    "queryFormat" | "gate" | "delta" | "featureMap" | "normalize"
  >,
): string {
  return `linear.${kernel}/${queryFormat.dtype}.${gate}` +
    (delta ? ".delta" : "") +
    (featureMap === "taylor" ? ".taylor" : "") +
    (normalize ? ".normalize" : "");
}
