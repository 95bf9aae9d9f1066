/**
 * A plan for a layer of Gated Linear Attention: compiled, reusable, disposable.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import type { Gpu, GpuTensor, ProgramExplanation } from "../../gpu/mod.ts";
import {
  type LayerOptions,
  type LinearExplanation,
  planLayer,
  planLinearAttention,
  type TensorShape,
} from "../../ops/mod.ts";
import { checkGpu } from "../../ops/plan/plan_program.ts";
import { checkLinearTensors } from "../../ops/linear_attention/plan_tensors.ts";
import { checkWritten } from "../../ops/plan/tensors.ts";
import { OwnedTensors } from "../owned_tensors.ts";
import {
  type GlaActivationsOf,
  type GlaPlanOptions,
  type GlaProblem,
  glaProblem,
} from "./problem.ts";
import type { GlaWeights } from "./sizes.ts";
import { buffersOf, checkModelTensors } from "../tensors.ts";

/**
 * What a layer computes on its way, for its backward: made by
 * {@linkcode GlaLayerPlan.activations}, and the caller's to destroy.
 *
 * @category Layers
 */
export interface GlaActivations extends Disposable {
  /** The tensors. */
  readonly tensors: GlaActivationsOf<GpuTensor>;
  /** Frees them; further calls do nothing. */
  destroy(): void;
}

/**
 * What a layer's `encode` reads and writes.
 *
 * @category Layers
 */
export interface GlaTensors {
  /** As in the options. */
  readonly input: GpuTensor;
  /** Of the options' `weightType`. */
  readonly weights: GlaWeights<GpuTensor>;
  /** Written: like the input. */
  readonly output: GpuTensor;
  /** The states that sequences begin with, where the options have any. */
  readonly initialState?: GpuTensor | undefined;
  /** The pool of states, where the options have one: read and written. */
  readonly states?: GpuTensor | undefined;
  /** Written: the states that sequences end with, where they are wanted. */
  readonly state?: GpuTensor | undefined;
  /**
   * Written: what {@linkcode GlaLayerPlan.activations} made, where there is a
   * backward to come; the plan has its own otherwise.
   */
  readonly activations?: GlaActivations | undefined;
}

/** The plans of a layer's parts. */
async function partsOf(gpu: Gpu, problem: GlaProblem) {
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
  try {
    const { normalizer, eps } = sizes;
    const mixing = await planLinearAttention(gpu, attention);
    made.push(mixing);
    return {
      made,
      mixing,
      // Queries and keys are of one shape, and so are values and output gates.
      key: await plan("project", { input, weight: weights.key }),
      value: await plan("project", { input, weight: weights.value }),
      gateDown: await plan("project", { input, weight: weights.gateDown }),
      gateUp: await plan("project", {
        input: activations.low,
        weight: weights.gateUp,
        bias: weights.gateBias,
      }),
      decay: await plan("logGate", {
        input: activations.gateInput,
        normalizer,
      }),
      norm: await plan("rmsNorm", {
        input: activations.mixed,
        weight: weights.norm,
        eps,
      }),
      gate: await plan("swishGate", {
        input: activations.normed,
        gate: activations.outputGate,
      }),
      output: await plan("project", {
        input: rowsOf(activations.gated),
        weight: weights.output,
      }),
    };
  } catch (error) {
    for (const own of made) own[Symbol.dispose]();
    throw error;
  }
}

/** Heads one after the other, as a projection takes them. */
export function rowsOf({ dtype, shape }: TensorShape): TensorShape {
  const [heads, dim] = shape.slice(-2);
  return { dtype, shape: [...shape.slice(0, -2), heads * dim] };
}

/**
 * A plan for a layer of Gated Linear Attention: prefill, or with one token a
 * sequence a step of decoding.
 *
 * @example One plan for all layers of a decoder
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { GlaLayerPlan, glaWeightShapes } from "@quire/attention/model";
 *
 * using gpu = await openGpu();
 * const config = { hidden: 16, heads: 2 };
 * const input = { dtype: "f32", shape: [1, 5, 16] } as const;
 * using plan = await GlaLayerPlan.create(gpu, { ...config, input });
 * const zeros = ([, shape]: [string, readonly number[]]) =>
 *   gpu.empty("f32", shape);
 * const shapes = Object.entries(glaWeightShapes(config));
 * const layers = [0, 1].map(() => Object.fromEntries(
 *   shapes.map((own) => [own[0], zeros(own)]),
 * ) as unknown as Parameters<typeof plan.encode>[1]["weights"]);
 * const rows = [0, 1, 2].map(() => gpu.empty("f32", input.shape));
 * gpu.submit("decoder", (encoder) =>
 *   layers.forEach((weights, i) =>
 *     plan.encode(encoder, { input: rows[i], weights, output: rows[i + 1] })
 *   ));
 * console.log(plan.explain().dispatches.length > 9); // true
 * ```
 *
 * @category Layers
 */
export class GlaLayerPlan implements Disposable {
  readonly #gpu: Gpu;
  readonly #problem: GlaProblem;
  readonly #parts: Awaited<ReturnType<typeof partsOf>>;
  readonly #own: GlaActivations;
  #destroyed = false;

  private constructor(
    gpu: Gpu,
    problem: GlaProblem,
    parts: Awaited<ReturnType<typeof partsOf>>,
  ) {
    this.#gpu = gpu;
    this.#problem = problem;
    this.#parts = parts;
    this.#own = new OwnedTensors(gpu, problem.activations, "gla");
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
    options: GlaPlanOptions,
  ): Promise<GlaLayerPlan> {
    checkGpu(gpu);
    const problem = glaProblem("GlaLayerPlan.create()", options);
    const parts = await partsOf(gpu, problem);
    try {
      return new GlaLayerPlan(gpu, problem, parts);
    } catch (error) {
      for (const own of parts.made) own[Symbol.dispose]();
      throw error;
    }
  }

  /** The type and shape of the input, and of the output. */
  get input(): TensorShape {
    return this.#problem.input;
  }

  /** The shape of each weight, and its type. */
  get weights(): GlaWeights<TensorShape> {
    return this.#problem.weights;
  }

  /** The shape of states of its sequences, one each. */
  get stateShape(): readonly number[] {
    const { sequences } = this.#parts.mixing.problem;
    const { heads, headDim, valueHeadDim } = this.#problem.sizes;
    return [sequences.length, heads, headDim, valueHeadDim];
  }

  /** Room for what one layer's backward reads; the caller's to destroy. */
  activations(): GlaActivations {
    this.#check();
    return new OwnedTensors(this.#gpu, this.#problem.activations, "gla.saved");
  }

  /** Says which kernels will run. */
  explain(): {
    readonly dispatches: ProgramExplanation["dispatches"];
    readonly attention: LinearExplanation;
  } {
    const { key, value, gateDown, gateUp, decay, mixing, ...last } =
      this.#parts;
    const attention = mixing.explain();
    const before = [key, key, value, value, gateDown, gateUp, decay];
    const after = [last.norm, last.gate, last.output];
    const of = (plans: readonly { explain(): ProgramExplanation }[]) =>
      plans.flatMap((plan) => plan.explain().dispatches);
    return {
      dispatches: [...of(before), ...attention.dispatches, ...of(after)],
      attention,
    };
  }

  /**
   * Records the layer. Nothing is submitted, and on an error nothing is
   * recorded.
   *
   * @throws {TypeError} if a tensor is missing, destroyed, of another device,
   * dtype or size, or one that is written shares its buffer with another
   */
  encode(encoder: GPUCommandEncoder, tensors: GlaTensors): void {
    this.#check();
    const { input, weights, output, activations = this.#own, ...states } =
      tensors;
    this.#checkTensors(tensors);
    const parts = this.#parts;
    const way = activations.tensors;
    const project = (
      plan: typeof parts.key,
      weight: GpuTensor,
      output: GpuTensor,
    ) => plan.encode(encoder, { input, weight, output });
    project(parts.key, weights.query, way.query);
    project(parts.key, weights.key, way.key);
    project(parts.value, weights.value, way.value);
    project(parts.value, weights.outputGate, way.outputGate);
    project(parts.gateDown, weights.gateDown, way.low);
    parts.gateUp.encode(encoder, {
      input: way.low,
      weight: weights.gateUp,
      bias: weights.gateBias,
      output: way.gateInput,
    });
    parts.decay.encode(encoder, { input: way.gateInput, output: way.decay });
    const { query, key, value, decay } = way;
    parts.mixing.encode(encoder, {
      ...states,
      query,
      key,
      value,
      decay,
      output: way.mixed,
    });
    parts.norm.encode(encoder, {
      input: way.mixed,
      weight: weights.norm,
      output: way.normed,
    });
    parts.gate.encode(encoder, {
      input: way.normed,
      gate: way.outputGate,
      output: way.gated,
    });
    parts.output.encode(encoder, {
      input: way.gated,
      weight: weights.output,
      output,
    });
  }

  /** Frees the plan's buffers; further calls do nothing. */
  destroy(): void {
    this.#destroyed = true;
    for (const own of this.#parts.made) own[Symbol.dispose]();
    this.#own.destroy();
  }

  /** The same as {@linkcode GlaLayerPlan.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  /** What parts would refuse only after others have been recorded. */
  #checkTensors(
    { input, weights, output, activations = this.#own, ...states }: GlaTensors,
  ): void {
    const gpu = this.#gpu;
    const problem = this.#problem;
    const { input: like } = problem;
    checkModelTensors(gpu, { input, output }, {
      wanted: { input: like, output: like },
    });
    checkModelTensors(gpu, weights, { wanted: problem.weights, of: "weights" });
    checkType(
      activations instanceof OwnedTensors,
      "activations",
      "must be what activations() of a plan made",
      activations,
    );
    const { tensors } = activations;
    checkModelTensors(gpu, tensors, {
      wanted: problem.activations,
      of: "activations",
    });
    checkOptions("encode() of GlaLayerPlan", states, {
      known: ["initialState", "states", "state"],
    });
    const { query, key, value, decay, mixed } = tensors;
    checkLinearTensors(gpu, this.#parts.mixing.problem, {
      ...states,
      query,
      key,
      value,
      decay,
      output: mixed,
    });
    // Of all parts together: one reads what another may have written over.
    checkWritten([
      ["input", input.buffer],
      ["initialState", states.initialState?.buffer],
      ...buffersOf("weights", weights),
    ], [
      ...buffersOf("activations", tensors),
      ["output", output.buffer],
      ["states", states.states?.buffer],
      ["state", states.state?.buffer],
    ]);
  }

  #check(): void {
    this.#gpu.check();
    checkType(!this.#destroyed, "plan", "must not be destroyed", "destroyed");
  }
}
