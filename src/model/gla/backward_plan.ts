/**
 * A plan for the gradients of a layer of Gated Linear Attention.
 *
 * @module
 */

import { checkBoolean, checkType } from "../../core/check.ts";
import type { Gpu, GpuTensor, ProgramExplanation } from "../../gpu/mod.ts";
import {
  type LayerOptions,
  planLayer,
  planLinearAttentionBackward,
  type TensorShape,
} from "../../ops/mod.ts";
import { checkGpu } from "../../ops/plan/plan_program.ts";
import { checkWritten } from "../../ops/plan/tensors.ts";
import { OwnedTensors } from "../owned_tensors.ts";
import { type GlaActivations, rowsOf } from "./plan.ts";
import {
  type GlaActivationsOf,
  type GlaPlanOptions,
  type GlaProblem,
  glaProblem,
} from "./problem.ts";
import type { GlaWeights } from "./sizes.ts";
import { buffersOf, checkModelTensors } from "../tensors.ts";

/**
 * What a plan of a layer's gradients is for.
 *
 * @category Layers
 */
export interface GlaBackwardPlanOptions extends
  Omit<
    GlaPlanOptions,
    "returnState" | "states" | "stateIndices" | "finalStateIndices"
  > {
  /**
   * Whether a gradient flows into the states that sequences end with; `false` by
   * default.
   */
  readonly stateGradient?: boolean | undefined;
  /**
   * Gradients that are added to what is there, instead of replacing it: `"input"`
   * where the input is used elsewhere too, `"weights"` over several batches.
   */
  readonly accumulate?: readonly ("input" | "weights")[] | undefined;
}

/**
 * What `encode` of a layer's gradients reads and writes.
 *
 * @category Layers
 */
export interface GlaBackwardTensors {
  /** As forward had it. */
  readonly input: GpuTensor;
  /** As forward had them. */
  readonly weights: GlaWeights<GpuTensor>;
  /** What forward wrote. */
  readonly activations: GlaActivations;
  /** As forward had them, where the options have any. */
  readonly initialState?: GpuTensor | undefined;
  /** The loss's derivative by the output: like it. */
  readonly outputGradient: GpuTensor;
  /** That by the states that sequences end with, where the options have it. */
  readonly stateGradient?: GpuTensor | undefined;
  /** Written: like the input. */
  readonly inputGradient: GpuTensor;
  /** Written: like the weights, f32. */
  readonly weightGradients: GlaWeights<GpuTensor>;
  /** Written: like the initial states, f32; where there are any. */
  readonly initialStateGradient?: GpuTensor | undefined;
}

/** The plans of the gradients of a layer's parts. */
async function partsOf(
  gpu: Gpu,
  problem: GlaProblem,
  { stateGradient, input: adds, weights: sums }: {
    readonly stateGradient: boolean;
    readonly input: boolean;
    readonly weights: boolean;
  },
) {
  const { input, weights, activations, attention, sizes } = problem;
  const made: Disposable[] = [];
  const plan = async <Name extends keyof LayerOptions>(
    name: Name,
    options: LayerOptions[Name],
  ) => {
    const own = await planLayer(gpu, name, options);
    made.push(own);
    return own;
  };
  // The first projection of the input writes its gradient, others add to it.
  const project = (
    input: TensorShape,
    weight: TensorShape,
    { adds = false, bias = false }: {
      readonly adds?: boolean;
      readonly bias?: boolean;
    } = {},
  ) =>
    plan("projectBackward", {
      input,
      weight,
      bias,
      accumulate: [
        ...(adds ? ["inputGradient" as const] : []),
        ...(sums ? ["weightGradient" as const] : []),
        ...(sums && bias ? ["biasGradient" as const] : []),
      ],
    });
  try {
    const { normalizer, eps } = sizes;
    const mixing = await planLinearAttentionBackward(gpu, attention, {
      stateGradient,
    });
    made.push(mixing);
    return {
      made,
      stateGradient,
      mixing,
      output: await project(rowsOf(activations.gated), weights.output),
      gate: await plan("swishGateBackward", {
        input: activations.normed,
        gate: activations.outputGate,
      }),
      norm: await plan("rmsNormBackward", {
        input: activations.mixed,
        weight: weights.norm,
        eps,
        accumulate: sums ? ["weightGradient"] : [],
      }),
      decay: await plan("logGateBackward", {
        input: activations.gateInput,
        normalizer,
      }),
      gateUp: await project(activations.low, weights.gateUp, { bias: true }),
      query: await project(input, weights.query, { adds }),
      key: await project(input, weights.key, { adds: true }),
      value: await project(input, weights.value, { adds: true }),
      gateDown: await project(input, weights.gateDown, { adds: true }),
    };
  } catch (error) {
    for (const own of made) own[Symbol.dispose]();
    throw error;
  }
}

type Parts = Awaited<ReturnType<typeof partsOf>>;

/**
 * A plan for the gradients of a layer of Gated Linear Attention, by its input,
 * its weights and the states that sequences began with, from what a
 * {@linkcode GlaLayerPlan} wrote into `activations`.
 *
 * @example A step of training
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import {
 *   GlaLayerBackwardPlan,
 *   GlaLayerPlan,
 *   type GlaWeights,
 *   glaWeightShapes,
 * } from "@quire/attention/model";
 * import type { GpuTensor } from "@quire/attention/gpu";
 *
 * using gpu = await openGpu();
 * const input = { dtype: "f32", shape: [1, 5, 16] } as const;
 * const options = { hidden: 16, heads: 2, input };
 * using forward = await GlaLayerPlan.create(gpu, options);
 * using backward = await GlaLayerBackwardPlan.create(gpu, options);
 * const shapes = Object.entries(glaWeightShapes(options));
 * const empty = () =>
 *   Object.fromEntries(
 *     shapes.map(([name, shape]) => [name, gpu.empty("f32", shape)]),
 *   ) as unknown as GlaWeights<GpuTensor>;
 * const rows = () => gpu.empty("f32", input.shape);
 * const layer = { input: rows(), weights: empty() };
 * using activations = forward.activations();
 * gpu.submit("step", (encoder) => {
 *   forward.encode(encoder, { ...layer, activations, output: rows() });
 *   backward.encode(encoder, {
 *     ...layer,
 *     activations,
 *     outputGradient: rows(),
 *     inputGradient: rows(),
 *     weightGradients: empty(),
 *   });
 * });
 * ```
 *
 * @category Layers
 */
export class GlaLayerBackwardPlan implements Disposable {
  readonly #gpu: Gpu;
  readonly #problem: GlaProblem;
  readonly #parts: Parts;
  /** Gradients by what forward computed on its way: like it. */
  readonly #own: OwnedTensors<keyof GlaActivationsOf<unknown>>;
  #destroyed = false;

  private constructor(gpu: Gpu, problem: GlaProblem, parts: Parts) {
    this.#gpu = gpu;
    this.#problem = problem;
    this.#parts = parts;
    this.#own = new OwnedTensors(gpu, problem.activations, "gla.gradient");
  }

  /**
   * Compiles and sizes a plan; nothing runs yet.
   *
   * @throws {TypeError} for wrong types, shapes and options
   * @throws {RangeError} for values out of range or beyond the device's limits
   * @throws {UnsupportedError} for f16 on a device without `shader-f16`
   */
  static async create(
    gpu: Gpu,
    options: GlaBackwardPlanOptions,
  ): Promise<GlaLayerBackwardPlan> {
    checkGpu(gpu);
    const { stateGradient = false, accumulate = [], ...rest } = options;
    checkBoolean("stateGradient", stateGradient);
    checkType(
      Array.isArray(accumulate) &&
        accumulate.every((name) => name === "input" || name === "weights"),
      "accumulate",
      'must be a list of "input" and "weights"',
      accumulate,
    );
    for (const name of ["returnState", "states"]) {
      const given = (rest as Record<string, unknown>)[name];
      checkType(
        given === undefined,
        name,
        "must not be given to a plan of gradients",
        given,
      );
    }
    const problem = glaProblem("GlaLayerBackwardPlan.create()", rest);
    const parts = await partsOf(gpu, problem, {
      stateGradient,
      input: accumulate.includes("input"),
      weights: accumulate.includes("weights"),
    });
    try {
      return new GlaLayerBackwardPlan(gpu, problem, parts);
    } catch (error) {
      for (const own of parts.made) own[Symbol.dispose]();
      throw error;
    }
  }

  /** Says which kernels will run. */
  explain(): { readonly dispatches: ProgramExplanation["dispatches"] } {
    const { output, gate, norm, mixing, decay, gateUp, ...rest } = this.#parts;
    const { query, key, value, gateDown } = rest;
    const of = (
      plans: readonly { explain(): Pick<ProgramExplanation, "dispatches"> }[],
    ) => plans.flatMap((plan) => plan.explain().dispatches);
    return {
      dispatches: [
        ...of([output, gate, norm]),
        ...mixing.explain().dispatches,
        ...of([decay, gateUp, query, key, value, gateDown, value]),
      ],
    };
  }

  /**
   * Records the gradients. Nothing is submitted, and on an error nothing is
   * recorded.
   *
   * @throws {TypeError} if a tensor is missing, destroyed, of another device,
   * dtype or size, or one that is written shares its buffer with another
   */
  encode(encoder: GPUCommandEncoder, tensors: GlaBackwardTensors): void {
    this.#check();
    this.#checkTensors(tensors);
    const { input, weights, activations, initialState } = tensors;
    const { inputGradient, weightGradients } = tensors;
    const parts = this.#parts;
    const way = activations.tensors;
    const own = this.#own.tensors;
    parts.output.encode(encoder, {
      input: way.gated,
      weight: weights.output,
      outputGradient: tensors.outputGradient,
      inputGradient: own.gated,
      weightGradient: weightGradients.output,
    });
    parts.gate.encode(encoder, {
      input: way.normed,
      gate: way.outputGate,
      outputGradient: own.gated,
      inputGradient: own.normed,
      gateGradient: own.outputGate,
    });
    parts.norm.encode(encoder, {
      input: way.mixed,
      weight: weights.norm,
      outputGradient: own.normed,
      inputGradient: own.mixed,
      weightGradient: weightGradients.norm,
    });
    const { query, key, value, decay } = way;
    parts.mixing.encode(encoder, {
      query,
      key,
      value,
      decay,
      initialState,
      outputGradient: own.mixed,
      stateGradient: tensors.stateGradient,
      queryGradient: own.query,
      keyGradient: own.key,
      valueGradient: own.value,
      decayGradient: own.decay,
      initialStateGradient: tensors.initialStateGradient,
    });
    parts.decay.encode(encoder, {
      input: way.gateInput,
      outputGradient: own.decay,
      inputGradient: own.gateInput,
    });
    parts.gateUp.encode(encoder, {
      input: way.low,
      weight: weights.gateUp,
      outputGradient: own.gateInput,
      inputGradient: own.low,
      weightGradient: weightGradients.gateUp,
      biasGradient: weightGradients.gateBias,
    });
    const project = (
      plan: Parts["query"],
      name: "query" | "key" | "value" | "gateDown" | "outputGate",
      outputGradient: GpuTensor,
    ) =>
      plan.encode(encoder, {
        input,
        weight: weights[name],
        outputGradient,
        inputGradient,
        weightGradient: weightGradients[name],
      });
    project(parts.query, "query", own.query);
    project(parts.key, "key", own.key);
    project(parts.value, "value", own.value);
    project(parts.gateDown, "gateDown", own.low);
    project(parts.value, "outputGate", own.outputGate);
  }

  /** Frees the plan's buffers; further calls do nothing. */
  destroy(): void {
    this.#destroyed = true;
    for (const own of this.#parts.made) own[Symbol.dispose]();
    this.#own.destroy();
  }

  /** The same as {@linkcode GlaLayerBackwardPlan.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  /** What parts would refuse only after others have been recorded. */
  #checkTensors(tensors: GlaBackwardTensors): void {
    const gpu = this.#gpu;
    const { input: like, weights, activations: way } = this.#problem;
    const {
      weights: own,
      weightGradients,
      activations,
      ...rest
    } = tensors;
    const { sequences, states } = this.#parts.mixing.problem;
    const { heads, headDim, valueHeadDim } = this.#problem.sizes;
    const state: TensorShape = {
      dtype: "f32",
      shape: [sequences.length, heads, headDim, valueHeadDim],
    };
    const given = Object.fromEntries(
      Object.entries(rest).filter(([, tensor]) => tensor !== undefined),
    );
    checkModelTensors(gpu, given, {
      wanted: {
        input: like,
        outputGradient: like,
        inputGradient: like,
        ...(states.initial && {
          initialState: state,
          initialStateGradient: state,
        }),
        ...(this.#parts.stateGradient && { stateGradient: state }),
      },
    });
    checkModelTensors(gpu, own, { wanted: weights, of: "weights" });
    checkModelTensors(gpu, weightGradients, {
      wanted: Object.fromEntries(
        Object.entries<TensorShape>({ ...weights }).map(([name, { shape }]) => [
          name,
          { dtype: "f32", shape },
        ]),
      ),
      of: "weightGradients",
    });
    checkType(
      activations instanceof OwnedTensors,
      "activations",
      "must be what activations() of a GlaLayerPlan made",
      activations,
    );
    checkModelTensors(gpu, activations.tensors, {
      wanted: way,
      of: "activations",
    });
    const { inputGradient, initialStateGradient, ...read } = given;
    checkWritten([
      ...buffersOf(undefined, read),
      ...buffersOf("weights", own),
      ...buffersOf("activations", activations.tensors),
    ], [
      ...buffersOf("weightGradients", weightGradients),
      ["inputGradient", inputGradient?.buffer],
      ["initialStateGradient", initialStateGradient?.buffer],
    ]);
  }

  #check(): void {
    this.#gpu.check();
    checkType(!this.#destroyed, "plan", "must not be destroyed", "destroyed");
  }
}
