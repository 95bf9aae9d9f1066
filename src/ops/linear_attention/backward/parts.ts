// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * Everything that a plan of linear attention's gradients will put on the device.
 * States and scores are computed anew, by forward's own dispatches, so nothing is
 * kept from forward but its inputs.
 *
 * @module
 */

import { rowFormat } from "../../../../kernels/fragments/rows.ts";
import {
  GATE_GRADIENT_LANES,
  gateGradientKernel,
  throughGradientKernel,
} from "../../../../kernels/linear/backward/gate_gradient.ts";
import { keyGradientKernel } from "../../../../kernels/linear/backward/key_gradient.ts";
import { queryGradientKernel } from "../../../../kernels/linear/backward/query_gradient.ts";
import type { LinearBackwardSpec } from "../../../../kernels/linear/backward/spec.ts";
import { stateGradientKernel } from "../../../../kernels/linear/backward/state_gradient.ts";
import { valueGradientKernel } from "../../../../kernels/linear/backward/value_gradient.ts";
import { PRODUCT_TILE } from "../../../../kernels/product.ts";
import { SCAN_LANES, scanKernel } from "../../../../kernels/linear/scan.ts";
import { chunkScoresKernel } from "../../../../kernels/linear/scores.ts";
import { UnsupportedError } from "../../../core/errors.ts";
import { foldGrid } from "../../../gpu/program/dispatch.ts";
import {
  givenStatesSpec,
  type LinearContext,
  linearContext,
  type LinearDevice,
  type LinearDispatch,
  rowUniforms,
} from "../context.ts";
import {
  gateDispatches,
  type LinearParts,
  linearScratch,
  productDispatch,
  scoresDispatch,
  stateDispatches,
} from "../parts.ts";
import { checkSupported, type LinearProblem } from "../problem.ts";
import { foldsOf } from "./folds.ts";
import {
  type GradientRows,
  gradientStrides,
  tokenShape,
} from "./gradient_rows.ts";

/** What a plan of gradients is for. */
export interface LinearBackwardProblem {
  /** The problem of forward. */
  readonly problem: LinearProblem;
  /** Whether a gradient flows into the states that sequences end with. */
  readonly stateGradient: boolean;
}

interface BackwardContext extends LinearContext {
  readonly spec: LinearBackwardSpec;
  readonly stateGradient: boolean;
}

/** Works out the program of the gradients. */
export function linearBackwardParts(
  backward: LinearBackwardProblem,
  device: LinearDevice,
): LinearParts {
  checkSupported(backward.problem);
  if (backward.problem.beta) {
    throw new UnsupportedError(
      `compute gradients of linear attention by the rule ${backward.problem.rule}`,
      "there is no kernel for it in this version",
    );
  }
  const context = backwardContext(backward, device);
  const { problem, schedule } = context;
  const gates = gateGradients(context);
  const all = [
    ...gateDispatches(context),
    ...stateDispatches(context),
    scoresDispatch(context),
    scoreGradients(context),
    ...stateGradients(context),
    ...rowGradients(context),
    ...gates.dispatches,
  ].filter(({ grid }) => grid.every((count) => count > 0));
  const scratch = { ...backwardScratch(context), ...gates.scratch };
  return {
    parts: {
      dispatches: all.map(({ does: _, ...dispatch }) => dispatch),
      words: { schedule: schedule.words },
      scratch,
    },
    explanation: {
      dispatches: all.map(({ source, grid, does }) => ({
        kernel: source.label,
        grid,
        does,
      })),
      tile: { rows: PRODUCT_TILE, columns: PRODUCT_TILE },
      chunks: { count: schedule.chunkCount, tokens: problem.chunk },
      scratchBytes: Object.values(scratch).reduce((sum, n) => sum + n, 0),
    },
  };
}

function backwardContext(
  { problem: forward, stateGradient }: LinearBackwardProblem,
  device: LinearDevice,
): BackwardContext {
  // Each sequence goes by chunks, which have its states; the last is of no use.
  const problem: LinearProblem = {
    ...forward,
    form: "chunked",
    states: { initial: forward.states.initial, final: false },
    sequences: forward.sequences.map((sequence, n) => ({
      ...sequence,
      initial: n,
      final: n,
    })),
  };
  const context = linearContext(problem, device);
  const { spec, values } = context;
  const gradientFormat = rowFormat(problem.dtype, problem.headDim);
  const rows = (name: GradientRows) =>
    rowUniforms(
      `${name}_gradient`,
      name === "value" ? spec.outputFormat : gradientFormat,
      gradientStrides(problem, name),
    );
  return {
    ...context,
    spec: { ...spec, gradientFormat },
    stateGradient,
    values: {
      ...values,
      ...rows("query"),
      ...rows("key"),
      ...rows("value"),
      ...rowUniforms(
        "output_gradient",
        spec.outputFormat,
        problem.strides.output,
      ),
    },
  };
}

/** What `scores` are of queries and keys, of outputs' gradients and values. */
function scoreGradients(context: BackwardContext): LinearDispatch {
  const { problem, spec, values } = context;
  const { outputHeads, stateHeads, strides, chunk } = problem;
  return productDispatch(context, {
    source: chunkScoresKernel({
      ...spec,
      queryFormat: spec.outputFormat,
      keyFormat: spec.valueFormat,
      // What decays by channels cannot be applied to the pair.
      gate: spec.gate === "head" ? "head" : "none",
    }),
    heads: outputHeads,
    rows: chunk,
    columns: chunk,
    uniforms: {
      ...rowUniforms("query", spec.outputFormat, strides.output),
      ...rowUniforms("key", spec.valueFormat, strides.value),
      query_heads: outputHeads,
      key_heads: stateHeads,
      head_dim: values.value_dim,
      head_vecs: values.value_vecs,
    },
    aliases: {
      query: "output_gradient",
      key: "value",
      scores: "score_gradients",
    },
    does: "gradients of scores",
  });
}

/** The gradients of the states that leave chunks, and of initial ones. */
function stateGradients(context: BackwardContext): LinearDispatch[] {
  const { problem, spec, values, device, stateGradient } = context;
  const { states, stateHeads, valueHeadDim, sequences } = problem;
  const { state_rows, value_vecs } = values;
  const lanes = sequences.length * stateHeads * state_rows * value_vecs;
  return [
    productDispatch(context, {
      source: stateGradientKernel(spec),
      heads: stateHeads,
      rows: state_rows,
      columns: valueHeadDim,
      aliases: { states: "state_gradients" },
      does: "what each chunk adds to the gradient of the state that enters it",
    }),
    {
      source: scanKernel({
        ...givenStatesSpec(problem),
        gate: spec.gate,
        initial: stateGradient,
        final: states.initial,
        reverse: true,
      }),
      uniforms: values,
      grid: foldGrid(Math.ceil(lanes / SCAN_LANES), device.limits),
      aliases: {
        states: "state_gradients",
        ...stateGradient && { initial_state: "state_gradient" },
        ...states.initial && { final_state: "initial_state_gradient" },
      },
      does: "gradients of the states that leave chunks, from the last one on",
    },
  ];
}

/** The gradients of queries, keys and values. */
function rowGradients(context: BackwardContext): LinearDispatch[] {
  const { problem, spec } = context;
  const { queryHeads, keyHeads, stateHeads, headDim, valueHeadDim, chunk } =
    problem;
  return [
    productDispatch(context, {
      source: queryGradientKernel(spec),
      heads: queryHeads,
      rows: chunk,
      columns: headDim,
      aliases: { scores: "score_gradients" },
      does: "gradients of queries",
    }),
    productDispatch(context, {
      source: keyGradientKernel(spec),
      heads: keyHeads,
      rows: chunk,
      columns: headDim,
      aliases: { scores: "score_gradients", states: "state_gradients" },
      does: "gradients of keys",
    }),
    productDispatch(context, {
      source: valueGradientKernel(spec),
      heads: stateHeads,
      rows: chunk,
      columns: valueHeadDim,
      aliases: { states: "state_gradients" },
      does: "gradients of values",
    }),
  ];
}

/** The gradients of log gates, where there are any. */
function gateGradients(context: BackwardContext): {
  readonly dispatches: readonly LinearDispatch[];
  readonly scratch: Readonly<Record<string, number>>;
} {
  const { problem, schedule, spec, values, device } = context;
  const { decay, stateHeads, headDim } = problem;
  if (!decay || spec.gate === "none") return { dispatches: [], scratch: {} };
  const folds = foldsOf(decay, {
    shape: [...tokenShape(problem), stateHeads, headDim],
    terms: "gate_terms",
    sums: "decay_gradient",
    does: "sums gradients of gates that stand for many",
  }, device);
  const vecs = schedule.chunkCount * stateHeads * values.head_vecs;
  const overLanes = (lanes: number) =>
    foldGrid(Math.ceil(lanes / GATE_GRADIENT_LANES), device.limits);
  return {
    dispatches: [
      {
        source: throughGradientKernel(spec.gate),
        uniforms: values,
        grid: overLanes(4 * vecs),
        does: "gradients of gates, of what goes through chunks",
      },
      {
        source: gateGradientKernel(spec),
        uniforms: {
          ...values,
          gate_stride: spec.gradientFormat.vector ? headDim / 4 : headDim,
        },
        grid: overLanes(vecs),
        aliases: { gate_terms: folds.terms },
        does: "gradients of gates, of each token and channel",
      },
      ...folds.dispatches,
    ],
    scratch: folds.scratch,
  };
}

/** Bytes of scratch, but for what sums of gates take. */
function backwardScratch(context: BackwardContext): Record<string, number> {
  const { problem, schedule, values } = context;
  const { tokens, stateHeads, outputHeads, decay } = problem;
  const forward = linearScratch(context);
  const vecs = (count: number) => Math.max(16, 16 * count * values.head_vecs);
  return {
    ...forward,
    score_gradients: forward.scores,
    state_gradients: forward.states,
    ...decay && {
      query_terms: vecs(tokens * outputHeads),
      key_terms: vecs(tokens * stateHeads * 2),
      through: vecs(schedule.chunkCount * stateHeads),
    },
  };
}
