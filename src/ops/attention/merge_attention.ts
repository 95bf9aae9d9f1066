/**
 * Merging attention over parts of the keys into attention over all of them.
 *
 * @module
 */

import {
  MERGE_STATES_LANES,
  mergeStatesKernel,
} from "../../../kernels/attention/merge_states.ts";
import { rowFormat, rowStride } from "../../../kernels/fragments/rows.ts";
import { checkType } from "../../core/check.ts";
import { type Gpu, GpuTensor, Program } from "../../gpu/mod.ts";
import { foldGrid } from "../../gpu/program/dispatch.ts";
import { vecsOf } from "./problem.ts";

/**
 * Attention over a part of the keys, as `attention` returns it.
 *
 * @category Attention
 */
export interface AttentionPart {
  /** `[..., heads, valueHeadDim]`. */
  readonly output: GpuTensor;
  /** `[..., heads]`, natural logarithm, f32. */
  readonly lse: GpuTensor;
}

/**
 * Merges attention of the same queries over disjoint parts of the keys, in the
 * order given; the result is the caller's to destroy. A part without keys
 * changes nothing.
 *
 * @throws {TypeError} if there is no part, or they differ in shape or dtype
 * @throws {DeviceLostError} if the device is lost
 *
 * @example Two halves of the keys
 * ```ts
 * import { attention, mergeAttention, openGpu } from "@quire/attention";
 *
 * const gpu = await openGpu();
 * const rows = (values: number[]) =>
 *   gpu.tensor(Float32Array.from(values), [1, values.length / 4, 1, 4]);
 * const query = rows([1, 2, 3, 4]);
 * const part = async (key: number[], value: number[]) => {
 *   const { output, lse } = await attention(gpu, {
 *     query,
 *     key: rows(key),
 *     value: rows(value),
 *     returnLse: true,
 *   });
 *   return { output, lse: lse! };
 * };
 * const merged = await mergeAttention(gpu, [
 *   await part([1, 0, 0, 0], [1, 1, 1, 1]),
 *   await part([0, 0, 0, 1], [2, 2, 2, 2]),
 * ]);
 * console.log(await gpu.readOne(merged.output));
 * gpu.destroy();
 * ```
 *
 * @category Attention
 */
export async function mergeAttention(
  gpu: Gpu,
  parts: readonly AttentionPart[],
): Promise<AttentionPart> {
  gpu.check();
  checkParts(gpu, parts);
  const [first, ...others] = parts;
  const { shape } = first.output;
  const dtype = first.output.dtype as "f32" | "f16";
  const dim = shape[shape.length - 1];
  const format = rowFormat(dtype, dim);
  const rows = first.lse.size;
  const [x, y, z] = foldGrid(Math.ceil(rows / MERGE_STATES_LANES), gpu.limits);
  const program = await Program.create(gpu, "attention.merge", {
    dispatches: [{
      source: mergeStatesKernel(format),
      uniforms: {
        rows,
        value_dim: dim,
        value_vecs: vecsOf(dim),
        value_stride: rowStride(format, dim),
        grid_width: x,
      },
      grid: [x, y * z, 1],
    }],
  });
  const made: GpuTensor[] = [];
  const empty = (type: "f32" | "f16", of: GpuTensor, label: string) => {
    const tensor = gpu.empty(type, of.shape, label);
    made.push(tensor);
    return tensor;
  };
  try {
    const output = empty(dtype, first.output, "attention.merged");
    const lse = empty("f32", first.lse, "attention.merged.lse");
    gpu.submit("attention.merge", (encoder) => {
      copyTensor(encoder, first.output, output);
      copyTensor(encoder, first.lse, lse);
      for (const other of others) {
        program.encode(encoder, {
          other: other.output,
          other_lse: other.lse,
          output,
          lse,
        });
      }
    });
    return { output, lse };
  } catch (error) {
    for (const tensor of made) tensor.destroy();
    throw error;
  } finally {
    program.destroy();
  }
}

function checkParts(gpu: Gpu, parts: readonly AttentionPart[]): void {
  checkType(
    Array.isArray(parts) && parts.length > 0,
    "parts",
    "must be an array with at least one part",
    parts,
  );
  const [first] = parts;
  parts.forEach((part, i) => {
    for (const name of ["output", "lse"] as const) {
      const tensor = part?.[name];
      const label = `parts[${i}].${name}`;
      checkType(
        tensor instanceof GpuTensor && tensor.gpu === gpu,
        label,
        "must be a GpuTensor of this Gpu",
        tensor,
      );
      void tensor.buffer;
      checkType(
        tensor.shape.join() === first[name].shape.join(),
        `${label}.shape`,
        `must be [${first[name].shape.join(", ")}], that of parts[0]`,
        tensor.shape,
      );
      checkType(
        tensor.dtype === (name === "lse" ? "f32" : first.output.dtype) &&
          (tensor.dtype === "f32" || tensor.dtype === "f16"),
        `${label}.dtype`,
        name === "lse" ? "must be f32" : "must be that of parts[0], f32 or f16",
        tensor.dtype,
      );
    }
    checkType(
      part.lse.shape.join() === part.output.shape.slice(0, -1).join(),
      `parts[${i}].lse.shape`,
      "must be the output's without its last dimension",
      part.lse.shape,
    );
  });
}

/** Whole words, so the padding of an odd f16 tensor comes along. */
function copyTensor(
  encoder: GPUCommandEncoder,
  from: GpuTensor,
  to: GpuTensor,
): void {
  const bytes = Math.ceil(from.byteLength / 4) * 4;
  if (bytes === 0) return;
  encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, 0, bytes);
}
