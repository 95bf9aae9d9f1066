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
import { type RowFormat, rowStride } from "../../../kernels/fragments/rows.ts";
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
  packedRows,
  vecsOf,
} from "../attention/problem.ts";
import { rowStrides, tensorElements } from "../attention/rows.ts";
import type { PlanDevice } from "../attention/variants/variant.ts";
import { type BackwardChoices, checkBackwardChoices } from "./choices.ts";
import type { BackwardExplanation } from "./explanation.ts";
import { capturePasses } from "./capture_pass.ts";
import { gradientPlaces, type GradientStrides } from "./gradient_strides.ts";
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
  /** Where gradients lie; side by side by default. */
  readonly gradientStrides?: GradientStrides | undefined;
}

/**
 * Works out the program of a problem.
 *
 * @throws {UnsupportedError} if no tile fits the device
 */
export function backwardParts(
  { problem, lseGradient, captureGradients = [], gradientStrides }:
    BackwardProblem,
  device: PlanDevice,
  choices: BackwardChoices = {},
): BackwardParts {
  const { tiles, splits, scoreGradients } = checkBackwardChoices(
    choices,
    device,
  );
  const { mods, placement } = placedMods(problem, device, {
    emit: (options) =>
      emitMods({ ...options, derivative: true, captureGradients }),
    others: OTHER_BACKWARD_BUFFERS,
  });
  const places = gradientPlaces(problem, gradientStrides);
  const tensors = captureParts(mods?.tensors ?? [], placement);
  const spec: BackwardSpec = {
    ...attentionSpec(problem, mods),
    mods,
    partial: false,
    gradientsApart: places.apart,
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
    ...uniformsOf(problem, { ...attentionSpec(problem, undefined), ...spec }, {
      sequencesAt: 0,
    }),
    ...places.uniforms,
    row_sizes_at: captures.length,
    gradients_at: before.length,
  };
  const delta = deltaDispatch(problem, spec, { lseGradient, device });
  const { passes, ...chosen } = choosePasses(scoreGradients, {
    problem,
    spec,
    formats: places.formats,
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
  const strided = problem.strides?.output !== undefined;
  return {
    source: deltaKernel({ outputFormat, lseGradient, strided }),
    uniforms: {
      ...(strided && stridedRows(problem, outputFormat)),
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

/** Where rows of the output lie, by the order of those of the log-sum-exp. */
function stridedRows(
  problem: AttentionProblem,
  format: RowFormat,
): Record<string, number> {
  const { layout, queryHeads, queryTokens, sequences, strides } = problem;
  const own = strideUniforms("output", format, rowStrides(problem).output);
  // Ragged sequences follow each other, as one.
  const tokens = queryTokens / (strides?.dense ? sequences.length : 1);
  const { output_token_stride: token, output_head_stride: head } = own;
  return layout === "bshd"
    ? {
      ...own,
      inner_rows: queryHeads,
      middle_rows: tokens,
      output_middle_stride: token,
      output_inner_stride: head,
    }
    : {
      ...own,
      inner_rows: tokens,
      middle_rows: queryHeads,
      output_middle_stride: head,
      output_inner_stride: token,
    };
}
