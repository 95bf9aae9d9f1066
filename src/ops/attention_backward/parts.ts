// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * Everything that a backward plan will put on the device, worked out on the CPU
 * from a problem, the choices and what the device is. Pure, no GPU objects.
 *
 * @module
 */

import {
  DELTA_LANES,
  deltaKernel,
} from "../../../kernels/attention/backward/delta.ts";
import {
  type BackwardSpec,
  OTHER_BACKWARD_BUFFERS,
  ROW_SIZES,
} from "../../../kernels/attention/backward/spec.ts";
import { rowFormat, rowStride } from "../../../kernels/fragments/rows.ts";
import { foldGrid } from "../../gpu/program/dispatch.ts";
import type { Dispatch, ProgramParts } from "../../gpu/mod.ts";
import { type CapturedFloats, emitMods } from "../../mods/mod.ts";
import {
  type CaptureParts,
  captureParts,
  placedMods,
} from "../attention/captures.ts";
import {
  attentionSpec,
  strideUniforms,
  uniformsOf,
} from "../attention/parts.ts";
import {
  type AttentionProblem,
  checkDifferentiable,
  packedRows,
  vecsOf,
} from "../attention/problem.ts";
import { gradientStrides, tensorElements } from "../attention/rows.ts";
import type { PlanDevice } from "../attention/variants/variant.ts";
import { type BackwardChoices, checkBackwardChoices } from "./choices.ts";
import type { BackwardExplanation } from "./explanation.ts";
import { capturePasses } from "./capture_pass.ts";
import { choosePasses } from "./passes/choose.ts";
import { candidateOf } from "./passes/pass.ts";
import {
  explainBackwardTraffic,
  type ExplainedBackwardTraffic,
} from "./traffic.ts";

/** A problem's program, and what to say of it. */
export interface BackwardParts {
  /** What the program is made of. */
  readonly parts: ProgramParts;
  /** Captured tensors, by the name of their resource. */
  readonly captures: CaptureParts["captures"];
  /** For people. */
  readonly explanation: BackwardExplanation;
}

/** A problem, and whether a gradient flows into the log-sum-exp. */
export interface BackwardProblem {
  /** The problem of forward. */
  readonly problem: AttentionProblem;
  /** Whether a gradient flows into the log-sum-exp. */
  readonly lseGradient: boolean;
  /** Captured floats of which gradients are wanted; none by default. */
  readonly captureGradients?: readonly CapturedFloats[] | undefined;
}

/**
 * Works out the program of a problem.
 *
 * @throws {UnsupportedError} if no tile fits the device
 */
export function backwardParts(
  { problem, lseGradient, captureGradients = [] }: BackwardProblem,
  device: PlanDevice,
  choices: BackwardChoices = {},
): BackwardParts {
  checkDifferentiable(problem);
  const { tiles, splits, scoreGradients } = checkBackwardChoices(
    choices,
    device,
  );
  const { mods, placement } = placedMods(problem, device, {
    emit: (options) =>
      emitMods({ ...options, derivative: true, captureGradients }),
    others: OTHER_BACKWARD_BUFFERS,
  });
  const tensors = captureParts(mods?.tensors ?? [], placement);
  const spec: BackwardSpec = {
    ...attentionSpec(problem, mods),
    mods,
    partial: false,
  };
  const captures = mods?.data ?? new Uint32Array(0);
  const before = Uint32Array.from([
    ...captures,
    ...ROW_SIZES.pack({
      head_vecs: vecsOf(problem.headDim),
      value_vecs: vecsOf(problem.valueHeadDim),
    }),
  ]);
  const values = {
    ...gradientUniforms(problem, spec),
    row_sizes_at: captures.length,
    gradients_at: before.length,
  };
  const delta = deltaDispatch(problem, spec, { lseGradient, device });
  const { passes, ...chosen } = choosePasses(scoreGradients, {
    problem,
    spec,
    device,
    tiles,
    splits,
    before,
    values,
  });
  const gradients = capturePasses({
    problem,
    spec,
    // Nothing is captured where there are no mods.
    mods: mods ?? emitMods({ scoreMods: [], maskMods: [], captureGradients }),
    captured: captureGradients,
    device,
    tiles,
    candidate: candidateOf(
      problem,
      Math.max(0, ...problem.sequences.map((own) => packedRows(problem, own))),
    ),
    values,
    before,
  });
  const rows = tensorElements(problem).lse;
  const scratch: Record<string, number> = {
    row_statistics: Math.max(1, rows) * 8,
    ...passes.scratch,
    ...gradients.scratch,
    ...tensors.scratch,
  };
  // Only where someone looks.
  let traffic: ExplainedBackwardTraffic | undefined;
  const dispatches = [
    delta,
    ...passes.dispatches,
    ...gradients.dispatches,
  ].filter(({ grid }) => grid.every((count) => count > 0));
  return {
    parts: {
      dispatches,
      words: {
        ...passes.words,
        ...gradients.words,
      },
      scratch,
      copies: [
        ...tensors.copies,
        ...passes.copies,
        ...gradients.copies,
      ],
    },
    captures: tensors.captures,
    explanation: {
      dispatches: dispatches.map(({ source, grid }) => ({
        kernel: source.label,
        grid,
      })),
      ...chosen,
      rounds: passes.rounds,
      kernels: passes.kernels,
      scratchBytes: Object.values(scratch).reduce((sum, n) => sum + n, 0),
      get traffic() {
        return traffic ??= explainBackwardTraffic(
          problem,
          passes.moved(),
          lseGradient,
        );
      },
    },
  };
}

/** Values of the uniforms that are the same for all dispatches. */
function gradientUniforms(
  problem: AttentionProblem,
  spec: BackwardSpec,
): Record<string, number> {
  const { dtype, headDim, valueHeadDim } = problem;
  const { query, key, value } = gradientStrides(problem);
  const heads = rowFormat(dtype, headDim);
  return {
    ...uniformsOf(problem, { ...attentionSpec(problem, undefined), ...spec }, {
      sequencesAt: 0,
    }),
    ...strideUniforms("query_gradient", heads, query),
    ...strideUniforms("key_gradient", heads, key),
    ...strideUniforms("value_gradient", rowFormat(dtype, valueHeadDim), value),
  };
}

function deltaDispatch(
  problem: AttentionProblem,
  { outputFormat }: BackwardSpec,
  { lseGradient, device }: {
    readonly lseGradient: boolean;
    readonly device: PlanDevice;
  },
): Dispatch {
  const rows = tensorElements(problem).lse;
  const [x, y, z] = foldGrid(Math.ceil(rows / DELTA_LANES), device.limits);
  return {
    source: deltaKernel({ outputFormat, lseGradient }),
    uniforms: {
      rows,
      value_dim: problem.valueHeadDim,
      value_vecs: vecsOf(problem.valueHeadDim),
      head_vecs: vecsOf(problem.headDim),
      output_row_stride: rowStride(outputFormat, problem.valueHeadDim),
      lse_token_stride: 0,
      lse_head_stride: 0,
      grid_width: x,
    },
    grid: [x, 1, y * z],
  };
}
