/**
 * Plans of each algorithm on a device that is only described: WebGPU's default
 * limits.
 *
 * @module
 */

import type { MaskMod } from "../../src/mods/mod.ts";
import {
  checkChoices,
  type PlanChoices,
} from "../../src/ops/attention/options/choices.ts";
import {
  type AttentionParts,
  attentionParts,
} from "../../src/ops/attention/parts.ts";
import { flash1Algorithm } from "../../src/ops/attention/variants/fa1.ts";
import { fusedAlgorithm } from "../../src/ops/attention/variants/fused.ts";
import { standardAlgorithm } from "../../src/ops/attention/variants/standard.ts";
import type { PlanDevice } from "../../src/ops/attention/variants/variant.ts";
import { type AttentionProblem, attentionProblem } from "../../src/ops/mod.ts";

/** Bytes of workgroup memory that every WebGPU device has. */
export const DEFAULT_WORKGROUP_BYTES = 16384;

/** An adapter with hardware's tiles and the default limits. */
const DEVICE: PlanDevice = {
  software: false,
  maxLoopIterations: Infinity,
  features: new Set(),
  limits: {
    maxComputeWorkgroupStorageSize: DEFAULT_WORKGROUP_BYTES,
    maxComputeWorkgroupsPerDimension: 65535,
    maxStorageBuffersPerShaderStage: 8,
  },
};

const ALGORITHMS = {
  fused: fusedAlgorithm,
  standard: standardAlgorithm,
  fa1: flash1Algorithm,
} as const;

/** The name of an algorithm. */
export type AlgorithmName = keyof typeof ALGORITHMS;

/** A dense float32 problem. */
export interface SquareProblem {
  /** Sequences; default 1. */
  readonly batch?: number;
  /** Heads, each with its own keys; default 1. */
  readonly heads?: number;
  /** Queries, and as many keys. */
  readonly length: number;
  /** Elements of every row. */
  readonly headDim: number;
  /** Which keys are seen; default all. */
  readonly maskMod?: MaskMod;
}

/** What a plan of a dense problem would be made of. */
export function planned(
  { batch = 1, heads = 1, length, headDim, maskMod }: SquareProblem,
  algorithm: AlgorithmName,
  choices: PlanChoices = {},
): AttentionParts {
  const tensor = {
    dtype: "f32",
    shape: [batch, length, heads, headDim],
  } as const;
  const problem = attentionProblem({
    query: tensor,
    key: tensor,
    value: tensor,
    returnLse: true,
    ...(maskMod && { maskMod }),
  });
  return plannedProblem(problem, algorithm, choices);
}

/** What a plan of any problem would be made of. */
export function plannedProblem(
  problem: AttentionProblem,
  algorithm: AlgorithmName,
  choices: PlanChoices = {},
): AttentionParts {
  return attentionParts(problem, DEVICE, {
    choices: checkChoices({ ...choices, algorithm }, DEVICE),
    algorithm: ALGORITHMS[algorithm],
  });
}
