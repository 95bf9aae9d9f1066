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
import { gradientTile } from "../../../../kernels/linear/backward/spec.ts";
import { stateGradientKernel } from "../../../../kernels/linear/backward/state_gradient.ts";
import { valueGradientKernel } from "../../../../kernels/linear/backward/value_gradient.ts";
import type { LinearSpec } from "../../../../kernels/linear/spec.ts";
import {
  SCAN_LANES,
  scanKernel,
} from "../../../../kernels/linear/chunked/scan.ts";
import {
  chunkScoresKernel,
  scoresTile,
} from "../../../../kernels/linear/chunked/scores.ts";
import { UnsupportedError } from "../../../core/errors.ts";
import { foldGrid } from "../../../gpu/program/dispatch.ts";
import {
  givenStatesSpec,
  linearContext,
  type LinearDevice,
  type LinearDispatch,
  rowUniforms,
} from "../work/context.ts";
import {
  gateDispatches,
  type LinearParts,
  partsOf,
  scoresDispatch,
  stateDispatches,
} from "../parts.ts";
import {
  productDispatch,
  segmentUniforms,
} from "../dispatches/product_dispatch.ts";
import { linearScratch } from "../work/scratch.ts";
import type { Segment } from "../work/chunks.ts";
import { checkSupported, type LinearProblem } from "../options/problem.ts";
import { deltaDispatches } from "../dispatches/delta.ts";
import { type BackwardContext, scoreGate } from "./context.ts";
import {
  recallDispatches,
  restDispatches,
  stateGradientScan,
  strengthDispatches,
} from "./delta.ts";
import { type Folds, foldsOf } from "./folds.ts";
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

/** Works out the program of the gradients. */
export function linearBackwardParts(
  backward: LinearBackwardProblem,
  device: LinearDevice,
): LinearParts {
  checkSupported(backward.problem);
  checkPlain(backward.problem);
  const context = backwardContext(backward, device);
  const { problem, schedule } = context;
  const { segments } = schedule;
  const folds = gateFolds(context);
  const strengths = strengthFolds(context);
  // The states that enter segments; then from the last segment on, each with its
  // own states again.
  const all = [
    ...segments.slice(0, -1).flatMap((segment) => [
      ...gateDispatches(context, segment),
      ...forwardStates(context, segment),
    ]),
    ...segments.toReversed().flatMap((segment) => [
      ...gateDispatches(context, segment),
      ...forwardStates(context, segment),
      scoresDispatch(context, segment),
      scoreGradients(context, segment),
      ...stateGradients(context, segment),
      ...problem.beta
        ? [
          ...strengthDispatches(context, segment, strengths.terms),
          ...recallDispatches(context, segment),
        ]
        : [valueGradients(context, segment)],
      ...rowGradients(context, segment),
      ...gateGradients(context, segment, folds.terms),
    ]),
    ...folds.dispatches,
    ...strengths.dispatches,
  ];
  return partsOf(context, all, {
    scratch: {
      ...backwardScratch(context),
      ...folds.scratch,
      ...strengths.scratch,
    },
  }, "compute fewer tokens at a time, from state to state");
}

/**
 * Throws where forward has what gradients here do not go through.
 *
 * @throws {UnsupportedError} naming it
 */
function checkPlain({ featureMap, eps, prefix }: LinearProblem): void {
  const other = featureMap !== "identity"
    ? `featureMap "${featureMap}"`
    : eps !== undefined
    ? "normalize"
    : prefix && "a prefix";
  if (other === undefined) return;
  throw new UnsupportedError(
    `compute gradients of linear attention with ${other}`,
    "there is no kernel for it in this version",
  );
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
  const context = linearContext(problem, device, {
    bytes: (values) => termBytes(problem, values, problem.chunk),
    keepAll: true,
    long: Infinity,
  });
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
function scoreGradients(
  context: BackwardContext,
  segment: Segment,
): LinearDispatch {
  const { problem, spec, values } = context;
  const { outputHeads, stateHeads, strides, chunk } = problem;
  const own: LinearSpec = {
    ...spec,
    queryFormat: spec.outputFormat,
    keyFormat: spec.valueFormat,
    gate: scoreGate(spec),
  };
  return productDispatch(context, segment, {
    source: chunkScoresKernel({
      ...own,
      ...problem.beta && { scratch: ["key"] },
    }),
    tile: scoresTile(own),
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
      key: problem.beta ? "written" : "value",
      scores: "score_gradients",
    },
    does: "gradients of scores",
  });
}

/** The gradients of the states that leave chunks, and of initial ones. */
function stateGradients(
  context: BackwardContext,
  segment: Segment,
): LinearDispatch[] {
  const { problem, schedule, spec, values, device, stateGradient } = context;
  const { states, stateHeads, valueHeadDim } = problem;
  const { state_rows, value_vecs } = values;
  const { runs } = segment;
  const kept = schedule.kept > 0;
  const lanes = runs.count * stateHeads * state_rows * value_vecs;
  const added = productDispatch(context, segment, {
    source: stateGradientKernel(spec),
    heads: stateHeads,
    rows: state_rows,
    columns: valueHeadDim,
    aliases: { states: "state_gradients" },
    does: "what each chunk adds to the gradient of the state that enters it",
  });
  if (problem.beta) {
    return [
      added,
      ...restDispatches(context, segment),
      stateGradientScan(context, segment),
    ];
  }
  return [
    added,
    {
      source: scanKernel({
        ...givenStatesSpec(problem),
        gate: spec.gate,
        initial: stateGradient,
        final: states.initial,
        items: "chunks",
        reduce: false,
        kept,
        reverse: true,
      }),
      uniforms: {
        ...values,
        ...segmentUniforms(segment),
        runs_at: runs.at,
        run_count: runs.count,
      },
      grid: foldGrid(Math.ceil(lanes / SCAN_LANES), device.limits),
      aliases: {
        states: "state_gradients",
        ...kept && { kept_states: "kept_gradients" },
        ...stateGradient && { initial_state: "state_gradient" },
        ...states.initial && { final_state: "initial_state_gradient" },
      },
      does: "gradients of the states that leave chunks, from the last one on",
    },
  ];
}

/** What forward computes of states, and of what is written into them. */
function forwardStates(
  context: BackwardContext,
  segment: Segment,
): LinearDispatch[] {
  return context.problem.beta
    ? deltaDispatches(context, segment)
    : stateDispatches(context, segment);
}

/** The gradients of values without a delta rule. */
function valueGradients(
  context: BackwardContext,
  segment: Segment,
): LinearDispatch {
  const { problem, spec } = context;
  const { stateHeads, valueHeadDim, chunk } = problem;
  return productDispatch(context, segment, {
    source: valueGradientKernel(spec),
    heads: stateHeads,
    rows: chunk,
    columns: valueHeadDim,
    aliases: { states: "state_gradients" },
    does: "gradients of values",
  });
}

/** The gradients of queries and keys. */
function rowGradients(
  context: BackwardContext,
  segment: Segment,
): LinearDispatch[] {
  const { problem, spec } = context;
  const { queryHeads, keyHeads, headDim, chunk } = problem;
  return [
    productDispatch(context, segment, {
      source: queryGradientKernel(spec),
      tile: gradientTile(spec),
      heads: queryHeads,
      rows: chunk,
      columns: headDim,
      aliases: { scores: "score_gradients" },
      does: "gradients of queries",
    }),
    productDispatch(context, segment, {
      source: keyGradientKernel(spec),
      tile: gradientTile(spec),
      heads: keyHeads,
      rows: chunk,
      columns: headDim,
      aliases: { scores: "score_gradients", states: "state_gradients" },
      does: "gradients of keys",
    }),
  ];
}

/** The gradients of log gates, where there are any. */
function gateGradients(
  context: BackwardContext,
  segment: Segment,
  terms: string,
): LinearDispatch[] {
  const { problem, spec, values, device } = context;
  const { stateHeads, headDim } = problem;
  if (spec.gate === "none") return [];
  const vecs = segment.chunks.count * stateHeads * values.head_vecs;
  const overLanes = (lanes: number) =>
    foldGrid(Math.ceil(lanes / GATE_GRADIENT_LANES), device.limits);
  const uniforms = { ...values, ...segmentUniforms(segment) };
  const [, tokens] = tokenShape(problem);
  return [
    {
      source: throughGradientKernel(spec.gate),
      uniforms,
      grid: overLanes(4 * vecs),
      does: "gradients of gates, of what goes through chunks",
    },
    {
      source: gateGradientKernel(spec),
      uniforms: {
        ...uniforms,
        gate_stride: spec.gradientFormat.vector ? headDim / 4 : headDim,
        sequence_tokens: tokens,
      },
      grid: overLanes(vecs),
      aliases: { gate_terms: terms },
      does: "gradients of gates, of each token and channel",
    },
  ];
}

/** Sums of gradients of gates that stand for many. */
function gateFolds({ problem, device }: BackwardContext): Folds {
  const { decay, stateHeads, headDim } = problem;
  if (!decay) return { dispatches: [], scratch: {}, terms: "" };
  return foldsOf(decay, {
    shape: [...tokenShape(problem), stateHeads, headDim],
    terms: "gate_terms",
    sums: "decay_gradient",
    does: "sums gradients of gates that stand for many",
  }, device);
}

/** Sums of gradients of strengths that stand for many. */
function strengthFolds({ problem, device }: BackwardContext): Folds {
  const { beta, stateHeads } = problem;
  if (!beta) return { dispatches: [], scratch: {}, terms: "" };
  return foldsOf(beta, {
    shape: [...tokenShape(problem), stateHeads, 1],
    terms: "strength_terms",
    sums: "beta_gradient",
    does: "sums gradients of strengths that stand for many",
  }, device);
}

/** Bytes of scratch, but for what sums of gates take. */
function backwardScratch(context: BackwardContext): Record<string, number> {
  const { problem, schedule, values } = context;
  const { kept_states, ...forward } = linearScratch(context);
  const rows = Math.max(1, ...schedule.segments.map(({ rows }) => rows));
  const chunks = Math.max(
    1,
    ...schedule.segments.map(({ chunks }) => chunks.count),
  );
  return {
    ...forward,
    ...kept_states && { kept_states, kept_gradients: kept_states },
    score_gradients: forward.scores,
    state_gradients: forward.states,
    ...termBytes(problem, values, rows),
    ...problem.decay &&
      { through: 16 * chunks * problem.stateHeads * values.head_vecs },
  };
}

/** Bytes of the terms of gradients of so many tokens. */
function termBytes(
  { decay, beta, stateHeads, outputHeads }: LinearProblem,
  { head_vecs, value_vecs, score_vecs }: Readonly<Record<string, number>>,
  tokens: number,
): Record<string, number> {
  const rows = tokens * stateHeads;
  return {
    ...decay && { query_terms: 16 * tokens * outputHeads * head_vecs },
    ...(decay || beta) && { key_terms: 16 * rows * 3 * head_vecs },
    ...beta && {
      rest: 16 * rows * value_vecs,
      residual: 16 * rows * value_vecs,
      pushed: 16 * rows * value_vecs,
      recall_gradients: 16 * rows * score_vecs,
    },
  };
}
