/**
 * Exact attention: `O = softmax(mask(mods(scale Q K^T))) V`.
 *
 * @module
 */

import { checkBoolean, checkType } from "../../core/check.ts";
import { uploadHost } from "../../gpu/host_tensor.ts";
import { type Gpu, GpuTensor } from "../../gpu/mod.ts";
import type { DeviceBlockMask } from "../block_mask/device_block_mask.ts";
import { EMPTY_LSE } from "./lse.ts";
import {
  isStrided,
  storageOf,
  type StridedGpuTensor,
  type StridedHostTensor,
} from "../strided.ts";
import type { AnyTensor, HostBits, HostTensor } from "../tensors.ts";
import type { AttentionOptions } from "./options/attention_options.ts";
import { attentionProblem } from "./options/attention_problem.ts";
import type { PlanChoices } from "./options/choices.ts";
import { outputShape } from "./rows.ts";
import { SavedAttention } from "./saved.ts";
import { AttentionPlan } from "./plan.ts";
import type { AttentionTensors } from "./plan_tensors.ts";

/**
 * The result of {@linkcode attention}; `T` is where the query was.
 *
 * @category Attention
 */
export interface AttentionResult<
  T extends GpuTensor | HostTensor = GpuTensor | HostTensor,
> {
  /** Like the query, with the value's head dim. */
  readonly output: T;
  /**
   * `[batch, queries, heads]` or `[tokens, heads]`, natural logarithm, f32;
   * where `returnLse` is set. A row without keys has -Infinity on the host, and
   * on the device {@linkcode EMPTY_LSE}.
   */
  readonly lse?: T;
  /**
   * `[batch, heads, queryBlocks, keyBlocks]`, f32; where `blockScores` is set.
   * Of ragged sequences each has as many blocks as the longest; what it has not,
   * and rows of blocks that see no key, are 0.
   */
  readonly blockScores?: T;
  /**
   * What `attentionBackward()` needs; where `forBackward` is set. The caller's
   * to destroy.
   */
  readonly saved?: SavedAttention<T>;
}

/**
 * What {@linkcode attention} takes besides the problem.
 *
 * @category Attention
 */
export interface AttentionRunOptions extends PlanChoices {
  /** Checked before anything is submitted and before results are read. */
  readonly signal?: AbortSignal;
  /** Whether `saved` is wanted, for `attentionBackward()`. */
  readonly forBackward?: boolean;
}

/**
 * Computes attention. Host arrays come back as host arrays; where the query is
 * a GPU tensor, so is the output (the caller's to destroy), and nothing waits
 * for the device. Keys and values may be on either side.
 *
 * bfloat16, as checkpoints have it, is taken as `{ data: Uint16Array, shape,
 * dtype: "bf16" }` and widened to f32, or with `as: "f16"` rounded to f16.
 * float16 may be given by its bits, too, where there is no `Float16Array`; the
 * output is then widened to a `Float32Array`.
 *
 * Dense, ragged and paged inputs give the same result for the same sequences,
 * and a row's bits do not depend on what else is in the batch.
 *
 * @throws {TypeError} for wrong types, shapes, dtypes and combinations
 * @throws {RangeError} for values out of range or beyond the device's limits
 * @throws {UnsupportedError} for f16 on a device without `shader-f16`
 * @throws {DeviceLostError} if the device is lost
 *
 * @example Two tokens, one head
 * ```ts
 * import { attention, openGpu } from "@quire/attention";
 *
 * const gpu = await openGpu();
 * const shape = [1, 2, 1, 4];
 * const { output } = await attention(gpu, {
 *   query: { data: new Float32Array(8).fill(1), shape },
 *   key: { data: new Float32Array(8).fill(1), shape },
 *   value: { data: Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8]), shape },
 *   causal: true,
 * });
 * console.log(output.data); // 1 2 3 4 3 4 5 6
 * gpu.destroy();
 * ```
 *
 * @example Dropout of a tenth of the weights, as in training
 * ```ts
 * import { attention, openGpu } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const shape = [1, 64, 2, 16];
 * const ones = { data: new Float32Array(64 * 2 * 16).fill(1), shape };
 * const step = async (seed: number) => {
 *   const dropout = { rate: 0.1, seed }; // another seed for each step and layer
 *   const options = { query: ones, key: ones, value: ones, dropout };
 *   return (await attention(gpu, options)).output.data;
 * };
 * const [one, again, other] = [await step(1), await step(1), await step(2)];
 * console.log(one[0]); // near 1, of which it is the mean over seeds
 * console.log(one.every((x, i) => x === again[i])); // true
 * console.log(one.some((x, i) => x !== other[i])); // true
 * ```
 *
 * @category Attention
 */
export async function attention<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options:
    & AttentionOptions
    & AttentionRunOptions
    & ({ readonly query: T } | { readonly qkv: T }),
): Promise<AttentionResult<T>>;
/** The same for a query given by its bits; the output is numbers. */
export async function attention(
  gpu: Gpu,
  options:
    & AttentionOptions
    & AttentionRunOptions
    & ({ readonly query: HostBits } | { readonly qkv: HostBits }),
): Promise<AttentionResult<HostTensor>>;
/** The same for a part of a tensor on the device; the output is whole. */
export async function attention(
  gpu: Gpu,
  options:
    & AttentionOptions
    & AttentionRunOptions
    & { readonly query: StridedGpuTensor },
): Promise<AttentionResult<GpuTensor>>;
/** The same for a part of an array on the host; the output is whole. */
export async function attention(
  gpu: Gpu,
  options:
    & AttentionOptions
    & AttentionRunOptions
    & { readonly query: StridedHostTensor },
): Promise<AttentionResult<HostTensor>>;
/** The same for a query that may be on either side. */
export async function attention(
  gpu: Gpu,
  options: AttentionOptions & AttentionRunOptions,
): Promise<AttentionResult<GpuTensor | HostTensor>>;
export async function attention(
  gpu: Gpu,
  options: AttentionOptions & AttentionRunOptions,
): Promise<AttentionResult<GpuTensor | HostTensor>> {
  options?.signal?.throwIfAborted();
  checkBoolean("forBackward", options?.forBackward);
  // At once: a cache's sequences may grow while this waits.
  const asked = attentionProblem(options);
  checkType(
    asked.strides?.output === undefined,
    "outputStrides",
    "must be given to planAttention() only, whose encode() writes to a tensor of yours",
    options.outputStrides,
  );
  const { forBackward = false } = options;
  const { blockScores: scored } = asked;
  const problem = forBackward || scored ? { ...asked, lse: true } : asked;
  const plan = await AttentionPlan.create(gpu, problem, options);
  const temporary: { destroy(): void }[] = [plan];
  const inputs: { destroy(): void }[] = [];
  const results: GpuTensor[] = [];
  try {
    options.signal?.throwIfAborted();
    const onDevice = (name: "query" | "key" | "value" | "qkv") => {
      const given = options[name];
      if (!given) return given;
      const held = isStrided(given) ? storageOf(given) : given;
      const { tensor, made } = uploadHost(gpu, held, {
        name,
        label: "attention.input",
      });
      if (made) inputs.push(tensor);
      return tensor;
    };
    const given = (options.qkv ?? options.query)!;
    const shape = outputShape(given.shape, problem);
    results.push(gpu.empty(problem.dtype, shape, "attention.output"));
    if (problem.lse) {
      results.push(gpu.empty("f32", shape.slice(0, -1), "attention.lse"));
    }
    const [output, lse] = results;
    const blockScores = scored && gpu.empty(
      "f32",
      [
        problem.sequences.length,
        problem.queryHeads,
        scored.queryBlocks,
        scored.keyBlocks,
      ],
      "attention.blockScores",
    );
    if (blockScores) results.push(blockScores);
    const query = onDevice(problem.qkv ? "qkv" : "query");
    const tensors = {
      query,
      key: problem.qkv ? query : onDevice("key"),
      value: problem.qkv ? query : onDevice("value"),
      arenas: options.cache?.arenas(options.layer),
      output,
      lse,
      blockScores,
    } as AttentionTensors;
    const kept: DeviceBlockMask[] = [];
    gpu.submit("attention", (encoder) => {
      plan.encode(encoder, tensors);
      if (!forBackward || !problem.selection) return;
      // Another call with the same policy, or mask, may select anew.
      kept.push(problem.selection.copy(encoder));
      inputs.push(...kept);
    });
    const onHost = !(given instanceof GpuTensor || "tensor" in given);
    const shown: Shown<GpuTensor> = {
      output,
      ...(asked.lse && { lse }),
      ...(blockScores && { blockScores }),
    };
    const read = onHost ? await readResult(gpu, shown, options.signal) : shown;
    const own = [
      ...inputs,
      ...results.filter((one) => onHost || !Object.values(shown).includes(one)),
    ];
    if (!forBackward) {
      temporary.push(...own);
      return read;
    }
    // Backward reads no scores of blocks.
    const isRead = (one: { destroy(): void }) => one !== blockScores;
    temporary.push(...own.filter((one) => !isRead(one)));
    const saved = new SavedAttention({
      gpu,
      problem,
      tensors: { ...tensors, lse, blockScores: undefined, blockMask: kept[0] },
      queryShape: given.shape,
      keyShape: options.key?.shape,
      onHost,
      owned: own.filter(isRead),
    });
    return { ...read, saved };
  } catch (error) {
    temporary.push(...inputs, ...results);
    throw error;
  } finally {
    for (const made of temporary) made.destroy();
  }
}

/**
 * Makes a plan for the same options, whose tensors may be shapes only. The
 * plan records into a caller's encoder, as often as wanted: over layers, and
 * after `update(attentionProblem(...))` over steps.
 *
 * @throws {TypeError} as {@linkcode attention} does
 * @throws {RangeError} as {@linkcode attention} does
 *
 * @example One plan, recorded into an encoder of the caller's
 * ```ts
 * import { openGpu, planAttention } from "@quire/attention";
 *
 * const gpu = await openGpu();
 * const shape = [1, 128, 4, 64];
 * const plan = await planAttention(gpu, {
 *   query: { dtype: "f32", shape },
 *   key: { dtype: "f32", shape },
 *   value: { dtype: "f32", shape },
 *   causal: true,
 * });
 * console.log(plan.explain().dispatches[0].kernel);
 * const tensors = {
 *   query: gpu.empty("f32", shape),
 *   key: gpu.empty("f32", shape),
 *   value: gpu.empty("f32", shape),
 *   output: gpu.empty("f32", shape),
 * };
 * gpu.submit("step", (encoder) => plan.encode(encoder, tensors));
 * gpu.destroy();
 * ```
 *
 * @category Attention
 */
export async function planAttention(
  gpu: Gpu,
  options: AttentionOptions<AnyTensor> & PlanChoices,
): Promise<AttentionPlan> {
  return await AttentionPlan.create(gpu, attentionProblem(options), options);
}

/** What a caller asked for, `saved` aside. */
type Shown<T extends GpuTensor | HostTensor> = Omit<
  AttentionResult<T>,
  "saved"
>;

/** Reads results that a caller asked for, by their names. */
async function readResult(
  gpu: Gpu,
  results: Shown<GpuTensor>,
  signal: AbortSignal | undefined,
): Promise<Shown<HostTensor>> {
  const arrays = await gpu.read(
    Object.values(results),
    signal ? { signal } : {},
  );
  const read = Object.fromEntries(
    Object.entries(results).map(([name, { shape }], i) => [
      name,
      { data: arrays[i] as Float32Array, shape },
    ]),
  ) as unknown as Shown<HostTensor>;
  read.lse?.data.forEach((value, i, data) => {
    if (value === EMPTY_LSE) data[i] = -Infinity;
  });
  return read;
}
