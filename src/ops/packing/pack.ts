/**
 * Packing a padded batch on the device, and back.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { type Gpu, GpuTensor } from "../../gpu/mod.ts";
import { type Indices, indicesOf } from "../attention/options/spans.ts";
import { Packing } from "./packing.ts";
import { RowsPlan } from "./rows_plan.ts";

/**
 * The tokens of a padded batch, on the device; the result is the caller's to
 * destroy, and nothing waits for the device. What the padding holds does not
 * matter. Its gradient is {@linkcode unpack}.
 *
 * @param padded `[batch, length, ...]` of f32, f16, u32 or i32.
 * @returns `[tokens, ...]`.
 * @throws {TypeError} If it is no tensor of this Gpu, or of another shape.
 * @throws {RangeError} If sizes exceed the device's limits.
 * @throws {DeviceLostError} If the device is lost.
 *
 * @example Attention over what is not padding
 * ```ts
 * import { attention, openGpu } from "@quire/attention";
 * import { pack, Packing, unpack } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const packing = new Packing({ lengths: [2, 3], length: 3 });
 * using padded = gpu.empty("f32", [2, 3, 1, 4]);
 * using rows = await pack(gpu, padded, packing);
 * const { output } = await attention(gpu, {
 *   query: rows,
 *   key: rows,
 *   value: rows,
 *   cuSeqlens: packing.cuSeqlens,
 * });
 * using result = await unpack(gpu, output, packing);
 * console.log(rows.shape, result.shape); // [5, 1, 4] [2, 3, 1, 4]
 * output.destroy();
 * ```
 *
 * @category Packing
 */
export async function pack(
  gpu: Gpu,
  padded: GpuTensor,
  packing: Packing,
): Promise<GpuTensor> {
  checkArguments(gpu, "padded", padded, packing);
  const row = packing.rowShape("padded", padded.shape);
  return await taken(gpu, padded, {
    rows: packing.indices,
    sourceRows: packing.batch * packing.length,
    row,
    shape: [packing.tokens, ...row],
  });
}

/**
 * The padded batch of packed tokens, on the device, with zeros where there is
 * no token; the result is the caller's to destroy. Its gradient is
 * {@linkcode pack}.
 *
 * @param packed `[tokens, ...]` of f32, f16, u32 or i32.
 * @returns `[batch, length, ...]`.
 * @throws {TypeError} If it is no tensor of this Gpu, or of another shape.
 * @throws {RangeError} If sizes exceed the device's limits.
 * @throws {DeviceLostError} If the device is lost.
 *
 * @example One token of a sequence that is padded to two
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { Packing, unpack } from "@quire/attention/ops";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await openGpu();
 * const packing = new Packing({ lengths: [1, 2], length: 2 });
 * using packed = gpu.tensor(Float32Array.of(1, 2, 3), [3]);
 * using padded = await unpack(gpu, packed, packing);
 * assertEquals([...await gpu.readOne(padded)], [1, 0, 2, 3]);
 * ```
 *
 * @category Packing
 */
export async function unpack(
  gpu: Gpu,
  packed: GpuTensor,
  packing: Packing,
): Promise<GpuTensor> {
  checkArguments(gpu, "packed", packed, packing);
  const row = packing.tokenShape("packed", packed.shape);
  return await taken(gpu, packed, {
    rows: packing.tokenOf(0xffffffff),
    sourceRows: packing.tokens,
    row,
    shape: packing.paddedShape(row),
  });
}

/**
 * Rows of a tensor's outermost dimension, by their numbers; the result is the
 * caller's to destroy. A number may come several times, or be -1 for zeros.
 *
 * @param tensor `[rows, ...]` of f32, f16, u32 or i32.
 * @param rows The number of each row of the result.
 * @returns `[rows.length, ...]`.
 * @throws {TypeError} If it is no tensor of this Gpu, or has no dimension.
 * @throws {RangeError} If a number is no row.
 * @throws {DeviceLostError} If the device is lost.
 *
 * @example The last token of each sequence
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { takeRows } from "@quire/attention/ops";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await openGpu();
 * const cuSeqlens = [0, 3, 5];
 * using packed = gpu.tensor(Float32Array.of(1, 2, 3, 4, 5), [5, 1]);
 * const lasts = cuSeqlens.slice(1).map((end) => end - 1);
 * using rows = await takeRows(gpu, packed, lasts);
 * assertEquals([...await gpu.readOne(rows)], [3, 5]);
 * ```
 *
 * @category Packing
 */
export async function takeRows(
  gpu: Gpu,
  tensor: GpuTensor,
  rows: Indices,
): Promise<GpuTensor> {
  gpu.check();
  checkTensor(gpu, "tensor", tensor);
  checkType(
    tensor.shape.length > 0,
    "tensor.shape",
    "must have a dimension",
    tensor.shape,
  );
  const numbers = indicesOf("rows", rows);
  const [sourceRows, ...row] = tensor.shape;
  const shape = [numbers.length, ...row];
  return await taken(gpu, tensor, { rows: numbers, sourceRows, row, shape });
}

/** What {@linkcode taken} makes. */
interface Taken {
  readonly rows: readonly number[] | Uint32Array;
  readonly sourceRows: number;
  /** The shape of a row. */
  readonly row: readonly number[];
  /** The shape of the result. */
  readonly shape: readonly number[];
}

async function taken(
  gpu: Gpu,
  source: GpuTensor,
  { rows, sourceRows, row, shape }: Taken,
): Promise<GpuTensor> {
  const { dtype } = source;
  const width = row.reduce((product, size) => product * size, 1);
  const plan = await RowsPlan.create(gpu, { rows, sourceRows, width, dtype });
  let destination: GpuTensor | undefined;
  try {
    destination = gpu.empty(dtype, shape, "rows.taken");
    const tensors = { source, destination };
    gpu.submit("rows.take", (encoder) => plan.encode(encoder, tensors));
    return destination;
  } catch (error) {
    destination?.destroy();
    throw error;
  } finally {
    plan.destroy();
  }
}

function checkArguments(
  gpu: Gpu,
  name: string,
  tensor: unknown,
  packing: unknown,
): void {
  gpu.check();
  checkTensor(gpu, name, tensor);
  checkType(
    packing instanceof Packing,
    "packing",
    "must be a Packing",
    packing,
  );
}

function checkTensor(gpu: Gpu, name: string, tensor: unknown): void {
  checkType(
    tensor instanceof GpuTensor && tensor.gpu === gpu,
    name,
    "must be a GpuTensor of this Gpu",
    tensor,
  );
  void tensor.buffer;
}
