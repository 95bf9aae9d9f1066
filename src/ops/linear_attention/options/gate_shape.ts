/**
 * Log gates and strengths as they are given: one a token, head and channel, or
 * fewer where some are alike.
 *
 * @module
 */

import { checkRange, checkType } from "../../../core/check.ts";
import type { DType, HostArray } from "../../../core/dtype.ts";
import { fromBfloat16, fromFloat16 } from "../../../core/half.ts";
import { type Gpu, GpuTensor } from "../../../gpu/mod.ts";
import { isStrided } from "../../strided.ts";
import { describeTensor, type HostBits } from "../../tensors.ts";

/**
 * Where the gates of tokens, heads and channels are, in elements; a stride is 0
 * where all are alike.
 *
 * @category Plans
 */
export interface GateShape {
  /** Their storage. */
  readonly dtype: DType;
  /** Whether there is one for each channel of a key, or for each head. */
  readonly kind: "head" | "channel";
  /** From one sequence to the next. */
  readonly batch: number;
  /** From one token to the next. */
  readonly token: number;
  /** From one head to the next. */
  readonly head: number;
  /** From one channel to the next. */
  readonly channel: number;
  /** Elements in all. */
  readonly elements: number;
}

/**
 * The shape of gates, which broadcasts to `[.., stateHeads]`, or with a
 * `headDim` to `[.., stateHeads, headDim]`, too.
 *
 * @throws {TypeError} for another dtype or shape, or one with two meanings
 */
export function gateShape(
  name: string,
  tensor: unknown,
  { dtype: rows, shape: full, headDim }: {
    readonly dtype: DType;
    /** `[batch, sequence, stateHeads]`, or `[tokens, stateHeads]`. */
    readonly shape: readonly number[];
    readonly headDim?: number;
  },
): GateShape {
  checkType(
    !isStrided(tensor),
    `${name}.strides`,
    "must not be given: copy it to lie in order",
    tensor,
  );
  const { dtype, shape } = describeTensor(name, tensor);
  checkType(
    dtype === "f32" || dtype === rows,
    `${name}.dtype`,
    rows === "f32" ? "must be f32" : `must be f32 or ${rows}`,
    dtype,
  );
  const heads = full[full.length - 1];
  const fits = (wanted: readonly number[]) =>
    shape.length === wanted.length &&
    shape.every((n, i) => n === wanted[i] || n === 1);
  const perToken = fits(full);
  const perChannel = headDim !== undefined && fits([...full, headDim]);
  const constant = headDim !== undefined && fits([heads]);
  const constants = headDim !== undefined && fits([heads, headDim]);
  const dots = full.length === 3 ? "batch, sequence" : "tokens";
  checkType(
    perToken || perChannel || constant || constants,
    `${name}.shape`,
    headDim === undefined
      ? `must be [${
        full.join(", ")
      }] (${dots}, valueHeads); any of them may be 1`
      : `must be [${
        full.join(", ")
      }, ${headDim}] (${dots}, valueHeads, headDim), ` +
        `[${
          full.join(", ")
        }], [${heads}, ${headDim}] or [${heads}]; any of them may be 1`,
    shape,
  );
  checkType(
    !(perToken && constants) || shape.every((n) => n === 1),
    `${name}.shape`,
    `must say whether it is [tokens, valueHeads] or [valueHeads, headDim]; write [${
      shape[0]
    }, ${shape[1]}, 1] for the one, [1, ${shape.join(", ")}] for the other`,
    shape,
  );
  const channels = perChannel || (constants && !perToken);
  // To [batch, token, head, channel].
  const own = channels ? [...shape] : [...shape, 1];
  const whole = [...new Array(4 - own.length).fill(1), ...own];
  let stride = 1;
  const strides = new Array<number>(4).fill(0);
  for (let axis = 3; axis >= 0; axis--) {
    strides[axis] = whole[axis] === 1 ? 0 : stride;
    stride *= whole[axis];
  }
  const [batch, token, head, channel] = strides;
  return {
    dtype,
    kind: whole[3] > 1 ? "channel" : "head",
    batch,
    token,
    head,
    channel,
    elements: stride,
  };
}

/**
 * Throws unless log gates on the host are at most 0.
 *
 * @throws {RangeError} naming the first that is not
 */
export function checkHostGates(name: string, tensor: unknown): void {
  if (tensor instanceof GpuTensor) return;
  if (typeof tensor !== "object" || tensor === null) return;
  if (!("data" in tensor)) return;
  const { data } = tensor as { readonly data: HostArray | Uint16Array };
  if (!(data instanceof Uint16Array)) return checkValues(name, data);
  const widen = (tensor as HostBits).dtype === "bf16"
    ? fromBfloat16
    : fromFloat16;
  checkValues(name, data, widen);
}

function checkValues(
  name: string,
  data: ArrayLike<number>,
  widen: (bits: number) => number = (x) => x,
): void {
  for (let i = 0; i < data.length; i++) {
    const gate = widen(data[i]);
    // Not `gate > 0`, which NaN passes.
    checkRange(
      gate <= 0 && gate > -Infinity,
      `${name}[${i}]`,
      "must be a log gate, finite and at most 0 (the logarithm of what a step keeps; -104 keeps nothing)",
      gate,
    );
  }
}

/**
 * Throws unless log gates on the device are at most 0, for which it waits: a
 * check for tests and for the start of a run, not for each step.
 *
 * @throws {TypeError} if it is no f32 or f16 tensor of the `Gpu`
 * @throws {RangeError} naming the first that is not
 *
 * @example A decay that grows
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { checkLogGates } from "@quire/attention/ops";
 * import { assertRejects } from "@std/assert";
 *
 * using gpu = await openGpu();
 * using decay = gpu.tensor(Float32Array.of(-0.5, 0.5), [2]);
 * await assertRejects(() => checkLogGates(gpu, decay), RangeError);
 * ```
 *
 * @category Attention
 */
export async function checkLogGates(
  gpu: Gpu,
  decay: GpuTensor,
): Promise<void> {
  checkType(
    decay instanceof GpuTensor && decay.gpu === gpu,
    "decay",
    "must be a GpuTensor of the Gpu",
    decay,
  );
  checkType(
    decay.dtype === "f32" || decay.dtype === "f16",
    "decay.dtype",
    "must be f32 or f16",
    decay.dtype,
  );
  checkValues("decay", await gpu.readOne(decay));
}
