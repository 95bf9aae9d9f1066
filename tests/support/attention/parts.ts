/**
 * The parts of a plan, worked out at once, with nothing left to load.
 *
 * @module
 */

import {
  checkChoices,
  type PlanChoices,
} from "../../../src/ops/attention/options/choices.ts";
import {
  type AttentionParts,
  attentionParts,
} from "../../../src/ops/attention/parts.ts";
import type { AttentionProblem } from "../../../src/ops/attention/problem.ts";
import { flash1Algorithm } from "../../../src/ops/attention/variants/fa1.ts";
import { fusedAlgorithm } from "../../../src/ops/attention/variants/fused.ts";
import { sharingAlgorithm } from "../../../src/ops/attention/variants/sharing.ts";
import { standardAlgorithm } from "../../../src/ops/attention/variants/standard.ts";
import type { PlanDevice } from "../../../src/ops/attention/variants/variant.ts";

/** What a plan for a problem would be made of. */
export function partsFor(
  problem: AttentionProblem,
  device: PlanDevice,
  given: PlanChoices = {},
): AttentionParts {
  const choices = checkChoices(given, device);
  const fused = choices.sharedPrefix === "never"
    ? fusedAlgorithm
    : sharingAlgorithm;
  const algorithms = {
    fused,
    standard: standardAlgorithm,
    fa1: flash1Algorithm,
  };
  const algorithm = algorithms[choices.algorithm];
  return attentionParts(problem, device, { choices, algorithm });
}
