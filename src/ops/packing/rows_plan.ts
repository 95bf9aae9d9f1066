/**
 * Taking rows of one tensor into another, ready to be recorded.
 *
 * @module
 */

import { copyUnit } from "../../../kernels/cache/copy_blocks.ts";
import {
  NO_ROW,
  TAKE_ROWS_LANES,
  takeRowsKernel,
} from "../../../kernels/rows/take_rows.ts";
import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { bytesPerElement, type ElementType } from "../../core/dtype.ts";
import { flatGrid } from "../../gpu/program/dispatch.ts";
import { type Gpu, GpuTensor, Program } from "../../gpu/mod.ts";

/**
 * Which rows are taken, of what.
 *
 * @category Packing
 */
export interface RowsProblem {
  /** Of each row of the destination that of the source, or -1 for zeros. */
  readonly rows: readonly number[] | Uint32Array | Int32Array;
  /** Rows of the source. */
  readonly sourceRows: number;
  /** Elements of a row. */
  readonly width: number;
  /** The type of the elements: f32, f16, u32 or i32. */
  readonly dtype: ElementType;
}

/**
 * Source and destination of a {@linkcode RowsPlan}; their dimensions may be
 * any, as long as the elements are those of the problem.
 *
 * @category Packing
 */
export interface RowsTensors {
  /** Rows to take from. */
  readonly source: GpuTensor;
  /** Where they go; it must not be the source. */
  readonly destination: GpuTensor;
}

/**
 * Takes rows of one tensor into another, in any order and any number of times.
 * Once made, it is recorded as often as one likes.
 *
 * @example The third row, the first one, and zeros
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { RowsPlan } from "@quire/attention/ops";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await openGpu();
 * using plan = await RowsPlan.create(gpu, {
 *   rows: [2, 0, -1],
 *   sourceRows: 3,
 *   width: 2,
 *   dtype: "u32",
 * });
 * using source = gpu.tensor(Uint32Array.of(1, 2, 3, 4, 5, 6), [3, 2]);
 * using destination = gpu.empty("u32", [3, 2]);
 * gpu.submit("rows", (encoder) => plan.encode(encoder, { source, destination }));
 * assertEquals([...await gpu.readOne(destination)], [5, 6, 1, 2, 0, 0]);
 * ```
 *
 * @category Packing
 */
export class RowsPlan implements Disposable {
  /** The problem that it is for. */
  readonly problem: RowsProblem;
  #gpu: Gpu;
  #program: Program;

  private constructor(gpu: Gpu, problem: RowsProblem, program: Program) {
    this.problem = problem;
    this.#gpu = gpu;
    this.#program = program;
  }

  /**
   * Compiles what is needed and uploads the rows' numbers.
   *
   * @throws {TypeError} If a part of the problem has another type.
   * @throws {RangeError} If a row is not in the source, or sizes exceed the
   * device's limits.
   * @throws {DeviceLostError} If the device is lost.
   */
  static async create(gpu: Gpu, problem: RowsProblem): Promise<RowsPlan> {
    gpu.check();
    const rows = checkProblem(problem);
    const { width, dtype } = problem;
    const bytes = width * bytesPerElement(dtype);
    const unit = copyUnit({ key: bytes, value: 0 });
    const units = rows.length * bytes / unit;
    const invocations = unit === 2 ? Math.ceil(units / 2) : units;
    const source = takeRowsKernel({ unit });
    const nothing = units === 0 || problem.sourceRows === 0;
    const program = await Program.create(gpu, "rows.take", {
      dispatches: nothing ? [] : [{
        source,
        uniforms: { units, row_units: bytes / unit },
        grid: flatGrid(invocations, TAKE_ROWS_LANES, gpu.limits),
      }],
      words: nothing ? {} : { rows },
    });
    return new RowsPlan(gpu, { ...problem, rows }, program);
  }

  /**
   * Records it; nothing is submitted.
   *
   * @throws {TypeError} If a tensor is missing, destroyed, of another device,
   * dtype or size, or both are one buffer.
   */
  encode(encoder: GPUCommandEncoder, tensors: RowsTensors): void {
    const { rows, sourceRows, width, dtype } = this.problem;
    const sizes = { source: sourceRows, destination: rows.length };
    for (const name of ["source", "destination"] as const) {
      checkTensor(this.#gpu, name, tensors?.[name], dtype, sizes[name] * width);
    }
    const { source, destination } = tensors;
    if (sourceRows === 0 && destination.size > 0) {
      // Nothing to take, so all rows are zeros.
      const bytes = Math.ceil(destination.byteLength / 4) * 4;
      encoder.clearBuffer(destination.buffer, destination.offset, bytes);
      return;
    }
    this.#program.encode(encoder, { source, destination });
  }

  /** Frees its buffers. */
  destroy(): void {
    this.#program.destroy();
  }

  /** The same, for `using`. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** The rows as the kernel has them. */
function checkProblem(problem: RowsProblem): Uint32Array<ArrayBuffer> {
  const { rows, sourceRows, width, dtype } = problem;
  checkType(
    Array.isArray(rows) || rows instanceof Uint32Array ||
      rows instanceof Int32Array,
    "rows",
    "must be an array of row numbers",
    rows,
  );
  checkType(
    dtype === "f32" || dtype === "f16" || dtype === "u32" || dtype === "i32",
    "dtype",
    "must be f32, f16, u32 or i32",
    dtype,
  );
  checkInteger("sourceRows", sourceRows, 0, 2 ** 32 - 2);
  checkInteger("width", width, 0, 2 ** 32 - 1);
  const most = Math.max(rows.length, sourceRows) * width;
  checkRange(most < 2 ** 32, "elements", "must be < 2^32", most);
  return Uint32Array.from(rows, (row, i) => {
    // As a Uint32Array has it, too.
    if (row === -1 || row === NO_ROW) return NO_ROW;
    checkInteger(`rows[${i}]`, row, -1, sourceRows - 1);
    return row;
  });
}

function checkTensor(
  gpu: Gpu,
  name: string,
  tensor: unknown,
  dtype: ElementType,
  size: number,
): void {
  checkType(
    tensor instanceof GpuTensor && tensor.gpu === gpu,
    name,
    "must be a GpuTensor of this Gpu",
    tensor,
  );
  void tensor.buffer;
  checkType(
    tensor.dtype === dtype,
    `${name}.dtype`,
    `must be ${dtype}`,
    tensor.dtype,
  );
  checkType(
    tensor.size === size,
    `${name}.shape`,
    `must have ${size} elements`,
    tensor.shape,
  );
}
