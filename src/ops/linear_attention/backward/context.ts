/**
 * What all dispatches of linear attention's gradients have in common.
 *
 * @module
 */

import type { LinearBackwardSpec } from "../../../../kernels/linear/backward/spec.ts";
import type { GateKind } from "../../../../kernels/linear/spec.ts";
import type { LinearContext } from "../work/context.ts";

/** Forward's, with the gradients. */
export interface BackwardContext extends LinearContext {
  readonly spec: LinearBackwardSpec;
  /** Whether a gradient flows into the states that sequences end with. */
  readonly stateGradient: boolean;
}

/**
 * The gate that gradients of scores have in them: what decays by channels cannot
 * be applied to the pair.
 */
export function scoreGate({ gate }: LinearBackwardSpec): GateKind {
  return gate === "head" ? "head" : "none";
}
