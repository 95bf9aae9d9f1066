/**
 * The algorithm that choices ask for. What few ask for stands in modules of its
 * own, which are loaded when it is asked for: a bundler makes files of them, and
 * a page that never needs them never fetches them.
 *
 * @module
 */

import type { AttentionSpec } from "../../../../kernels/attention/spec.ts";
import type { CheckedChoices } from "../options/choices.ts";
import type { AttentionProblem } from "../problem.ts";
import type { Algorithm } from "./algorithm.ts";
import { fusedAlgorithm } from "./fused.ts";
import type { PlanDevice } from "./variant.ts";

/** An algorithm: its answer for a problem. */
export type AlgorithmMaker = (
  problem: AttentionProblem,
  spec: AttentionSpec,
  choices: CheckedChoices,
  device: PlanDevice,
) => Algorithm;

/**
 * The algorithm that choices ask for; a promise only where it is to be loaded,
 * so that most plans are made from their problem at once.
 */
export function loadAlgorithm(
  { algorithm, sharedPrefix }: CheckedChoices,
): AlgorithmMaker | Promise<AlgorithmMaker> {
  if (algorithm === "standard") {
    return import("./standard.ts").then((made) => made.standardAlgorithm);
  }
  if (algorithm === "fa1") {
    return import("./fa1.ts").then((made) => made.flash1Algorithm);
  }
  if (sharedPrefix !== "never") {
    return import("./sharing.ts").then((made) => made.sharingAlgorithm);
  }
  return fusedAlgorithm;
}
