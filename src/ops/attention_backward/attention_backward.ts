/**
 * The gradients of exact attention.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { capturedShape } from "../../mods/derivative/capture_derivative.ts";
import type { CapturedFloats } from "../../mods/mod.ts";
import { type Gpu, GpuTensor } from "../../gpu/mod.ts";
import { uploadHost } from "../../gpu/host_tensor.ts";
import type { AttentionOptions } from "../attention/options/attention_options.ts";
import { isStrided, storageOf } from "../strided.ts";
import { attentionProblem } from "../attention/options/attention_problem.ts";
import type { AttentionTensors } from "../attention/plan_tensors.ts";
import { outputShape } from "../attention/rows.ts";
import { SavedAttention, type SavedParts } from "../attention/saved.ts";
import {
  type AnyTensor,
  checkLike,
  type HostBits,
  type HostTensor,
} from "../tensors.ts";
import type { BackwardChoices } from "./choices.ts";
import { gradientShapes } from "./gradient_spans.ts";
import { checkBackwardRun, checkGradientNames } from "./options.ts";
import { AttentionBackwardPlan, type BackwardPlanOptions } from "./plan.ts";

/**
 * What a loss sends back.
 *
 * @category Gradients
 */
export interface OutputGradients {
  /** Its derivative by the output: the output's shape and dtype. */
  readonly outputGradient: GpuTensor | HostTensor | HostBits;
  /**
   * Its derivative by the log-sum-exp, f32, of that shape: where a loss depends
   * on it, as one through merged partial attentions does. 0 by default.
   */
  readonly lseGradient?: GpuTensor | HostTensor | undefined;
}

/**
 * The gradients of {@linkcode attentionBackward}; `T` is where the query was.
 *
 * @category Attention
 */
export interface AttentionGradients<T> {
  /** Like the query; of `qkv` its queries. */
  readonly query: T;
  /**
   * Like the key, and 0 for keys that nobody sees. Where keys are in blocks or
   * in a cache: `[tokens, kvHeads, headDim]` of each sequence's written keys, one
   * sequence after the other; what sequences share then has a gradient in each.
   */
  readonly key: T;
  /** The same of values. */
  readonly value: T;
  /**
   * One for each of `captureGradients`, f32, of the shape that was captured (of
   * an array, as long as it); where any were asked for.
   */
  readonly captures?: readonly T[] | undefined;
}

/**
 * How {@linkcode attentionBackward} runs.
 *
 * @category Gradients
 */
export interface BackwardRunOptions extends BackwardChoices {
  /**
   * What score mods capture and is to have a gradient too (a relative-bias
   * table, learned slopes): what `capture()` gave, or the `Float32Array` or GPU
   * tensor that a mod was made of.
   */
  readonly captureGradients?: readonly CapturedFloats[] | undefined;
  /** Checked before anything is submitted and before results are read. */
  readonly signal?: AbortSignal;
}

/**
 * The options of `attention()`, and what it gave.
 *
 * @category Gradients
 */
export interface BackwardInputs extends AttentionOptions {
  /** The output. */
  readonly output: GpuTensor | HostTensor | HostBits;
  /** The log-sum-exp; -Infinity on the host for rows without keys. */
  readonly lse: GpuTensor | HostTensor;
}

/**
 * The gradients of `attention()` with respect to queries, keys and values, from
 * what a call with `forBackward` saved, or from the same options with `output`
 * and `lse`. Host arrays come back where the query was on the host; GPU tensors
 * are the caller's to destroy, and nothing waits for the device.
 *
 * Scores are computed again of the log-sum-exp, tile by tile (FlashAttention-2,
 * Dao 2023), and where that is faster their gradients are stored, those of a
 * few keys at a time: memory is O(N). Every sum has a fixed order, so gradients repeat
 * bit by bit, and those of a sequence do not depend on its batch.
 *
 * @throws {TypeError} for a saved state that is destroyed or of another Gpu,
 * gradients of another shape or dtype, unknown options, and a mod that has no
 * derivative
 * @throws {RangeError} for values out of range or beyond the device's limits
 * @throws {DeviceLostError} if the device is lost
 *
 * @example The gradient of the sum of all outputs
 * ```ts
 * import { attention, attentionBackward, openGpu } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const shape = [1, 2, 1, 4];
 * const rows = (values: number[]) => ({ data: Float32Array.from(values), shape });
 * const { output, saved } = await attention(gpu, {
 *   query: rows([1, 0, 0, 0, 0, 1, 0, 0]),
 *   key: rows([1, 0, 0, 0, 0, 1, 0, 0]),
 *   value: rows([1, 2, 3, 4, 5, 6, 7, 8]),
 *   causal: true,
 *   forBackward: true,
 * });
 * using state = saved!;
 * const ones = { data: output.data.map(() => 1), shape };
 * const gradients = await attentionBackward(gpu, state, { outputGradient: ones });
 * console.log(gradients.query.data); // of query 0: zeros, it sees one key
 * ```
 *
 * @example The gradient of learned slopes too
 * ```ts
 * import { alibi, attention, attentionBackward, openGpu } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const shape = [1, 8, 2, 4];
 * const rows = (f: (n: number) => number) => ({
 *   data: Float32Array.from({ length: 64 }, (_, n) => f(n)),
 *   shape,
 * });
 * const slopes = Float32Array.of(0.5, 0.25); // one a head
 * const { saved } = await attention(gpu, {
 *   query: rows(Math.sin),
 *   key: rows(Math.cos),
 *   value: rows(Math.sqrt),
 *   causal: true,
 *   scoreMod: alibi(slopes),
 *   forBackward: true,
 * });
 * using state = saved!;
 * const { captures } = await attentionBackward(
 *   gpu,
 *   state,
 *   { outputGradient: rows(() => 1) },
 *   { captureGradients: [slopes] },
 * );
 * console.log(captures![0].shape); // [2]
 * ```
 *
 * @category Attention
 */
export async function attentionBackward<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  saved: SavedAttention<T>,
  gradients: OutputGradients,
  options?: BackwardRunOptions,
): Promise<AttentionGradients<T>>;
/** The same from the options of `attention()`, and what it gave. */
export async function attentionBackward<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  inputs: BackwardInputs & ({ readonly query: T } | { readonly qkv: T }),
  gradients: OutputGradients,
  options?: BackwardRunOptions,
): Promise<AttentionGradients<T>>;
/** The same for a query that may be on either side, or is given by its bits. */
export async function attentionBackward(
  gpu: Gpu,
  inputs: BackwardInputs | SavedAttention,
  gradients: OutputGradients,
  options?: BackwardRunOptions,
): Promise<AttentionGradients<GpuTensor | HostTensor>>;
export async function attentionBackward(
  gpu: Gpu,
  inputs: BackwardInputs | SavedAttention,
  gradients: OutputGradients,
  options: BackwardRunOptions = {},
): Promise<AttentionGradients<GpuTensor | HostTensor>> {
  checkBackwardRun(options);
  checkGradientNames(gradients);
  const { signal, ...choices } = options;
  const { captureGradients = [] } = choices;
  signal?.throwIfAborted();
  const temporary: { destroy(): void }[] = [];
  const made: GpuTensor[] = [];
  try {
    const saved = inputs instanceof SavedAttention
      ? inputs
      : uploaded(gpu, inputs, temporary);
    const { problem, tensors, onHost } = saved.parts;
    checkType(
      saved.parts.gpu === gpu,
      "saved",
      "must be of this Gpu",
      saved.parts.gpu,
    );
    checkUpstream(gradients, saved.parts);
    const lseGradient = gradients.lseGradient !== undefined;
    const plan = await AttentionBackwardPlan.create(gpu, problem, {
      ...choices,
      lseGradient,
    });
    temporary.push(plan);
    signal?.throwIfAborted();
    const onDevice = (name: keyof OutputGradients) => {
      const given = gradients[name];
      if (given === undefined) return undefined;
      const { tensor, made: own } = uploadHost(gpu, given, {
        name,
        label: `attention.${name}`,
      });
      if (own) temporary.push(tensor);
      return tensor;
    };
    const shapes = gradientShapes(problem, saved.parts);
    for (const name of ["query", "key", "value"] as const) {
      made.push(
        gpu.empty(problem.dtype, shapes[name], `attention.${name}Gradient`),
      );
    }
    for (const [g, captured] of captureGradients.entries()) {
      const shape = capturedShape(captured);
      made.push(gpu.empty("f32", shape, `attention.captureGradient${g}`));
    }
    const [queryGradient, keyGradient, valueGradient, ...captured] = made;
    const outputGradient = onDevice("outputGradient")!;
    const lse = onDevice("lseGradient");
    // Read anew: what the state owns may be gone by now.
    void saved.parts;
    gpu.submit("attention.backward", (encoder) =>
      plan.encode(encoder, {
        ...tensors,
        outputGradient,
        lseGradient: lse,
        queryGradient,
        keyGradient,
        valueGradient,
        captureGradients: captured,
      }));
    if (!onHost) {
      return {
        query: queryGradient,
        key: keyGradient,
        value: valueGradient,
        ...captured.length > 0 && { captures: captured },
      };
    }
    temporary.push(...made);
    const arrays = await gpu.read(made, signal ? { signal } : {});
    const [query, key, value, ...captures] = arrays.map((data, i) => ({
      data: data as Float32Array,
      shape: made[i].shape,
    }));
    return { query, key, value, ...captures.length > 0 && { captures } };
  } catch (error) {
    temporary.push(...made);
    throw error;
  } finally {
    for (const one of temporary) one.destroy();
  }
}

/**
 * Makes a plan for the gradients of the same options, whose tensors may be
 * shapes only; `lseGradient: true` where a gradient flows into the log-sum-exp.
 *
 * @throws {TypeError} as {@linkcode attentionBackward} does
 * @throws {RangeError} as {@linkcode attentionBackward} does
 *
 * @example What runs, and on what tiles
 * ```ts
 * import { openGpu, planAttentionBackward } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const tensor = { dtype: "f32", shape: [1, 128, 4, 64] } as const;
 * using plan = await planAttentionBackward(gpu, {
 *   query: tensor,
 *   key: tensor,
 *   value: tensor,
 *   causal: true,
 * });
 * const { scoreGradients } = plan.explain();
 * console.log(scoreGradients); // stored or recomputed, by the device
 * ```
 *
 * @category Attention
 */
export async function planAttentionBackward(
  gpu: Gpu,
  options: AttentionOptions<AnyTensor>,
  choices: BackwardPlanOptions = {},
): Promise<AttentionBackwardPlan> {
  const problem = attentionProblem(options);
  return await AttentionBackwardPlan.create(gpu, problem, choices);
}

/** A state of what the caller has, on the device. */
function uploaded(
  gpu: Gpu,
  { output, lse, ...options }: BackwardInputs,
  temporary: { destroy(): void }[],
): SavedAttention {
  const problem = attentionProblem(options);
  checkType(
    problem.policy?.blocks === undefined,
    "select",
    `must not select blocks on the device (${problem.policy?.name}), as later calls select anew: give what attention({ forBackward: true }) saved`,
    options.select,
  );
  const upload = (name: string, given: BackwardInputs["query"]) => {
    if (given === undefined) return undefined;
    const held = isStrided(given) ? storageOf(given) : given;
    const { tensor, made } = uploadHost(gpu, held, {
      name,
      label: "attention.input",
    });
    if (made) temporary.push(tensor);
    return tensor;
  };
  const given = (options.qkv ?? options.query)!;
  const shape = outputShape(given.shape, problem);
  checkLike("output", output, { dtype: problem.dtype, shape });
  checkLike("lse", lse, { dtype: "f32", shape: shape.slice(0, -1) });
  const query = upload(problem.qkv ? "qkv" : "query", given);
  return new SavedAttention({
    gpu,
    problem,
    tensors: {
      query,
      key: problem.qkv ? query : upload("key", options.key),
      value: problem.qkv ? query : upload("value", options.value),
      arenas: options.cache?.arenas(options.layer),
      output: upload("output", output),
      lse: upload("lse", lse),
    } as AttentionTensors & { readonly lse: GpuTensor },
    queryShape: given.shape,
    keyShape: options.key?.shape,
    onHost: !(given instanceof GpuTensor || "tensor" in given),
    owned: [],
  });
}

/** Throws unless the gradients are of the output's shape, and of this device. */
function checkUpstream(
  { outputGradient, lseGradient }: OutputGradients,
  { gpu, problem, queryShape }: SavedParts,
): void {
  const shape = outputShape(queryShape, problem);
  checkLike("outputGradient", outputGradient, { dtype: problem.dtype, shape });
  if (lseGradient !== undefined) {
    checkLike("lseGradient", lseGradient, {
      dtype: "f32",
      shape: shape.slice(0, -1),
    });
  }
  for (
    const [name, tensor] of Object.entries({ outputGradient, lseGradient })
  ) {
    checkType(
      !(tensor instanceof GpuTensor) || tensor.gpu === gpu,
      name,
      "must be of this Gpu",
      tensor,
    );
  }
}
