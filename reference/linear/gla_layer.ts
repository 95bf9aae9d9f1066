/**
 * A layer of Gated Linear Attention (Yang et al. 2024, section 4.4), forward and
 * backward. With rows `x` of `hidden` elements, for each head:
 *
 * ```text
 * q, k, v = Wq x, Wk x, Wv x
 * g = logsigmoid(W2 W1 x + b) / 16        W1 of low rank
 * o = linear attention of q, k, v, g
 * y = Wo (RMSNorm(o) swish(Wg x))         RMSNorm over a head, one weight for all
 * ```
 *
 * @module
 */

import { checkLength } from "../problem.ts";
import { gate, gateBackward, type GateProblem } from "../layers/gates.ts";
import { project, projectBackward } from "../layers/projection.ts";
import { EXACT, type Rounding } from "../layers/rounding.ts";
import { rowNorm, rowNormBackward } from "../layers/row_norm.ts";
import { runBackward } from "./backward.ts";
import { type LinearAttentionProblem, linearGeometryOf } from "./problem.ts";
import { type FloatArrays, runRecurrence } from "./recurrent.ts";

/**
 * The weights of a layer, or their gradients; a projection has a row for each of
 * its outputs.
 *
 * @category Linear attention
 */
export interface GlaWeights {
  /** `[heads * headDim, hidden]`. */
  readonly query: ArrayLike<number>;
  /** `[heads * headDim, hidden]`. */
  readonly key: ArrayLike<number>;
  /** `[heads * valueHeadDim, hidden]`. */
  readonly value: ArrayLike<number>;
  /** `W1`, `[rank, hidden]`. */
  readonly gateDown: ArrayLike<number>;
  /** `W2`, `[heads * headDim, rank]`. */
  readonly gateUp: ArrayLike<number>;
  /** `b`, `[heads * headDim]`. */
  readonly gateBias: ArrayLike<number>;
  /** `Wg`, `[heads * valueHeadDim, hidden]`. */
  readonly outputGate: ArrayLike<number>;
  /** RMSNorm's, `[valueHeadDim]`. */
  readonly norm: ArrayLike<number>;
  /** `Wo`, `[hidden, heads * valueHeadDim]`. */
  readonly output: ArrayLike<number>;
}

/**
 * A layer and what goes into it: either `batch` and `sequence`, or `cuSeqlens`.
 *
 * @category Linear attention
 */
export interface GlaLayerProblem extends
  Pick<
    LinearAttentionProblem,
    "batch" | "sequence" | "cuSeqlens" | "initialState"
  > {
  /** `[tokens, hidden]`. */
  readonly input: ArrayLike<number>;
  /** The layer's weights. */
  readonly weights: GlaWeights;
  /** Elements of one token. */
  readonly hidden: number;
  /** Heads. */
  readonly heads: number;
  /** Elements of one query or key vector. */
  readonly headDim: number;
  /** Elements of one value vector. */
  readonly valueHeadDim: number;
  /** Rank of the gates' projection. */
  readonly rank: number;
  /** What log gates are divided by; default 16. */
  readonly normalizer?: number;
  /** RMSNorm's; default 1e-5. */
  readonly eps?: number;
  /** `Math.fround` for the naive version in float32; default float64. */
  readonly round?: Rounding;
}

/**
 * The gradients of a layer.
 *
 * @category Linear attention
 */
export interface GlaLayerGradients {
  /** `[tokens, hidden]`. */
  readonly inputGradient: Float64Array;
  /** `[sequences, heads, headDim, valueHeadDim]`. */
  readonly initialStateGradient: ArrayLike<number>;
  /** Of each weight, with its shape. */
  readonly weightGradients: GlaWeights;
}

/** What a layer computes on its way. */
interface Activations {
  /** What the gates are the logistic of. */
  readonly gateInput: Float64Array;
  /** `W1 x`. */
  readonly low: Float64Array;
  readonly attention: LinearAttentionProblem;
  /** `o`, and the last state. */
  readonly mixed: ArrayLike<number>;
  readonly state: Float64Array | Float32Array;
  readonly normed: Float64Array;
  /** `Wg x`. */
  readonly outputGate: Float64Array;
  readonly gated: Float64Array;
}

/**
 * A layer of Gated Linear Attention.
 *
 * @param problem The layer, its input, and the state to start from.
 * @returns `output` `[tokens, hidden]`, and `state`
 * `[sequences, heads, headDim, valueHeadDim]`.
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range.
 *
 * @example A layer of one element
 * ```ts
 * import { glaLayer } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const one = [1];
 * const { output, state } = glaLayer({
 *   input: [2],
 *   weights: {
 *     query: one,
 *     key: one,
 *     value: one,
 *     gateDown: one,
 *     gateUp: one,
 *     gateBias: [0],
 *     outputGate: [0],
 *     norm: one,
 *     output: one,
 *   },
 *   batch: 1,
 *   sequence: 1,
 *   hidden: 1,
 *   heads: 1,
 *   headDim: 1,
 *   valueHeadDim: 1,
 *   rank: 1,
 * });
 * // The output gate is swish(0) = 0.
 * assertEquals([...output], [0]);
 * assertEquals([...state], [4]);
 * ```
 *
 * @category Linear attention
 */
export function glaLayer(
  problem: GlaLayerProblem,
): { output: Float64Array; state: Float64Array | Float32Array } {
  const { gated, state } = activationsOf(problem);
  return { output: projected(problem, gated, "output"), state };
}

/**
 * The gradients of {@linkcode glaLayer}.
 *
 * @param problem The layer, and the loss's derivatives with respect to its
 * output and (default 0) its last states.
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range.
 *
 * @example A layer of one element
 * ```ts
 * import { glaLayerBackward } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const one = [1];
 * const { weightGradients } = glaLayerBackward({
 *   input: [2],
 *   weights: {
 *     query: one,
 *     key: one,
 *     value: one,
 *     gateDown: one,
 *     gateUp: one,
 *     gateBias: [0],
 *     outputGate: [0],
 *     norm: one,
 *     output: one,
 *   },
 *   batch: 1,
 *   sequence: 1,
 *   hidden: 1,
 *   heads: 1,
 *   headDim: 1,
 *   valueHeadDim: 1,
 *   rank: 1,
 *   eps: 0,
 *   outputGradient: [1],
 * });
 * // RMSNorm makes 1 of the one element; swish has slope 1/2 at 0.
 * assertEquals([...Array.from(weightGradients.outputGate)], [2 * 0.5]);
 * ```
 *
 * @category Linear attention
 */
export function glaLayerBackward(
  problem: GlaLayerProblem & {
    readonly outputGradient: ArrayLike<number>;
    readonly stateGradient?: ArrayLike<number>;
  },
): GlaLayerGradients {
  const { input, round = EXACT } = problem;
  const { outputGradient, stateGradient } = problem;
  const { low, attention, mixed, gateInput, ...way } = activationsOf(problem);
  const back = (
    name: ProjectionName,
    rows: ArrayLike<number>,
    gradient: ArrayLike<number>,
  ) =>
    projectBackward({
      ...projectionOf(problem, name),
      input: rows,
      outputGradient: gradient,
      round,
    });

  const out = back("output", way.gated, outputGradient);
  const swish = gateBackward({
    ...swishOf(problem, way.normed, way.outputGate),
    outputGradient: out.inputGradient,
  });
  const norm = rowNormBackward({
    ...normOf(problem, mixed),
    outputGradient: swish.inputGradient,
  });
  const mixing = runBackward(
    { ...attention, outputGradient: norm.inputGradient, stateGradient },
    linearGeometryOf(attention),
    floatsOf(problem),
  );
  const logGate = gateBackward({
    ...logGateOf(problem, gateInput),
    outputGradient: mixing.decayGradient,
  });
  const gateUp = back("gateUp", low, logGate.inputGradient);
  const parts = {
    query: back("query", input, mixing.queryGradient),
    key: back("key", input, mixing.keyGradient),
    value: back("value", input, mixing.valueGradient),
    gateDown: back("gateDown", input, gateUp.inputGradient),
    outputGate: back("outputGate", input, swish.gateGradient),
  };
  const inputGradient = new Float64Array(input.length);
  for (const part of Object.values(parts)) {
    part.inputGradient.forEach((x, n) =>
      inputGradient[n] = round(inputGradient[n] + x)
    );
  }
  return {
    inputGradient,
    initialStateGradient: mixing.initialStateGradient,
    weightGradients: {
      query: parts.query.weightGradient,
      key: parts.key.weightGradient,
      value: parts.value.weightGradient,
      gateDown: parts.gateDown.weightGradient,
      gateUp: gateUp.weightGradient,
      gateBias: gateUp.biasGradient,
      outputGate: parts.outputGate.weightGradient,
      norm: norm.weightGradient,
      output: out.weightGradient,
    },
  };
}

function activationsOf(problem: GlaLayerProblem): Activations {
  checkLayer(problem);
  const { input, heads, headDim, valueHeadDim } = problem;
  const { batch, sequence, cuSeqlens, initialState } = problem;
  const low = projected(problem, input, "gateDown");
  const gateInput = projected(problem, low, "gateUp");
  const attention: LinearAttentionProblem = {
    batch,
    sequence,
    cuSeqlens,
    initialState,
    query: projected(problem, input, "query"),
    key: projected(problem, input, "key"),
    value: projected(problem, input, "value"),
    decay: gate(logGateOf(problem, gateInput)),
    decayShape: "channel",
    queryHeads: heads,
    keyHeads: heads,
    valueHeads: heads,
    headDim,
    valueHeadDim,
  };
  const { output, state } = runRecurrence(
    attention,
    linearGeometryOf(attention),
    floatsOf(problem),
  );
  const normed = rowNorm(normOf(problem, output));
  const outputGate = projected(problem, input, "outputGate");
  const gated = gate(swishOf(problem, normed, outputGate));
  return {
    low,
    gateInput,
    attention,
    mixed: output,
    state,
    normed,
    outputGate,
    gated,
  };
}

/** Checks that weights and input are as long as their shapes say. */
function checkLayer(problem: GlaLayerProblem): void {
  const { weights, heads, headDim, valueHeadDim, hidden, input } = problem;
  for (const name of PROJECTIONS) {
    const { inFeatures, outFeatures } = projectionOf(problem, name);
    const shape = [outFeatures, inFeatures];
    checkLength(`weights.${name}`, weights[name], shape);
  }
  checkLength("weights.gateBias", weights.gateBias, [heads * headDim]);
  checkLength("weights.norm", weights.norm, [valueHeadDim]);
  checkLength("input", input, [Math.floor(input.length / hidden), hidden]);
}

/** What attention itself computes in. */
function floatsOf(
  { round = EXACT }: GlaLayerProblem,
): FloatArrays<Float64Array | Float32Array> {
  return round === EXACT ? Float64Array : Float32Array;
}

function logGateOf(
  { normalizer = 16, round = EXACT }: GlaLayerProblem,
  input: ArrayLike<number>,
): GateProblem {
  return { name: "log_gate", input, normalizer, round };
}

function swishOf(
  { round = EXACT }: GlaLayerProblem,
  input: ArrayLike<number>,
  gate: ArrayLike<number>,
): GateProblem {
  return { name: "swish_gate", input, gate, round };
}

function normOf(
  { weights, valueHeadDim, eps = 1e-5, round = EXACT }: GlaLayerProblem,
  input: ArrayLike<number>,
) {
  const { norm: weight } = weights;
  return { input, width: valueHeadDim, weight, mean: true, eps, round };
}

/** The weights that are projections. */
const PROJECTIONS = [
  "query",
  "key",
  "value",
  "gateDown",
  "gateUp",
  "outputGate",
  "output",
] as const;

type ProjectionName = (typeof PROJECTIONS)[number];

function projected(
  problem: GlaLayerProblem,
  input: ArrayLike<number>,
  name: ProjectionName,
): Float64Array {
  const { round = EXACT } = problem;
  return project({ ...projectionOf(problem, name), input, round });
}

function projectionOf(problem: GlaLayerProblem, name: ProjectionName) {
  const { weights, hidden, heads, headDim, valueHeadDim, rank } = problem;
  const sizes: Record<ProjectionName, readonly [number, number]> = {
    query: [hidden, heads * headDim],
    key: [hidden, heads * headDim],
    value: [hidden, heads * valueHeadDim],
    gateDown: [hidden, rank],
    gateUp: [rank, heads * headDim],
    outputGate: [hidden, heads * valueHeadDim],
    output: [heads * valueHeadDim, hidden],
  };
  const [inFeatures, outFeatures] = sizes[name];
  return {
    weight: weights[name],
    bias: name === "gateUp" ? weights.gateBias : undefined,
    inFeatures,
    outFeatures,
  };
}
