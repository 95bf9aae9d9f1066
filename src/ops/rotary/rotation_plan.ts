/**
 * A plan for rotating rows (RoPE): compiled, reusable, disposable.
 *
 * @module
 */

import type { RotaryPairing } from "../../../kernels/fragments/rotary.ts";
import { rowFormat, rowStride } from "../../../kernels/fragments/rows.ts";
import { ROTATE_LANES, rotateKernel } from "../../../kernels/layers/rotate.ts";
import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { checkOptions, type OptionHints } from "../../core/options.ts";
import { flatGrid } from "../../gpu/program/dispatch.ts";
import { type Gpu, GpuTensor, type ProgramParts } from "../../gpu/mod.ts";
import type { KeyRotation } from "../../kv/mod.ts";
import type { Layout } from "../attention/problem.ts";
import { checkGpu, type PlanParts, PlanProgram } from "../plan/plan_program.ts";
import { type AnyTensor, describeTensor } from "../tensors.ts";

/**
 * What is rotated, and how; the cache's `rope` has the same `pairing` and `dim`.
 *
 * @category Attention
 */
export interface RotationOptions {
  /**
   * Rows, or their shape: `[batch, sequence, heads, headDim]`, or ragged
   * `[tokens, heads, headDim]`.
   */
  readonly rows: AnyTensor;
  /** The order of dimensions, as in `attention()`; `"bshd"` by default. */
  readonly layout?: Layout;
  /** Pairs of elements: `(2t, 2t + 1)`, or `(t, t + dim / 2)`. */
  readonly pairing: RotaryPairing;
  /** Rotated elements of a row, the first; `headDim` by default. */
  readonly dim?: number;
}

/**
 * What a rotation's `encode` reads and writes.
 *
 * @category Attention
 */
export interface RotationTensors {
  /** The rows. */
  readonly input: GpuTensor;
  /** The rotated rows, in a buffer of their own. */
  readonly output: GpuTensor;
  /**
   * The position of each token, `u32[tokens]`, and the table, as `append()`
   * takes them: queries and keys of one step may share both. A position past
   * the table's is not noticed.
   */
  readonly rotation: KeyRotation;
}

/** Options, checked. */
export interface RotationProblem {
  readonly dtype: "f32" | "f16";
  readonly batch: number;
  /** Tokens of a sequence, or all where ragged. */
  readonly tokens: number;
  readonly heads: number;
  readonly headDim: number;
  readonly layout: Layout;
  readonly pairing: RotaryPairing;
  readonly dim: number;
}

/**
 * A plan for rotating rows: queries before attention, as a cache with `rope`
 * rotates keys when they are appended.
 *
 * @example Queries of a step at their true positions
 * ```ts
 * import { attentionProblem, openGpu, rotaryTable } from "@quire/attention";
 * import { planRotation, queryPositions } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const shape = [1, 2, 4, 16];
 * const rows = { dtype: "f32", shape } as const;
 * using plan = await planRotation(gpu, { rows, pairing: "half-split" });
 *
 * // Two queries after 6 keys that are there already.
 * const key = { dtype: "f32", shape: [1, 8, 4, 16] } as const;
 * const problem = attentionProblem({ query: rows, key, value: key });
 * using positions = gpu.tensor(queryPositions(problem), [2]); // 6, 7
 * using table = gpu.tensor(rotaryTable({ positions: 8, dim: 16 }), [8, 8, 2]);
 * using input = gpu.empty("f32", shape);
 * using output = gpu.empty("f32", shape);
 * const rotation = { positions, table };
 * gpu.submit("step", (encoder) =>
 *   plan.encode(encoder, { input, output, rotation }));
 * ```
 *
 * @category Attention
 */
export class RotationPlan implements Disposable {
  readonly #plan: PlanProgram<RotationProblem, PlanParts>;

  private constructor(plan: PlanProgram<RotationProblem, PlanParts>) {
    this.#plan = plan;
  }

  /** See {@linkcode planRotation}. */
  static async create(
    gpu: Gpu,
    options: RotationOptions,
  ): Promise<RotationPlan> {
    checkGpu(gpu);
    return new RotationPlan(
      await PlanProgram.create(gpu, {
        label: "rotation",
        problem: rotationProblem(options),
        work: (problem) => ({ parts: partsOf(gpu, problem) }),
      }),
    );
  }

  /**
   * Takes other rows, such as another number of tokens. What was recorded before
   * stays as it was recorded; after an error the plan is as before.
   *
   * @throws {TypeError} as {@linkcode planRotation} does, or if it is destroyed
   * @throws {RangeError} as {@linkcode planRotation} does
   */
  async update(options: RotationOptions): Promise<void> {
    this.#plan.check();
    await this.#plan.update(rotationProblem(options));
  }

  /**
   * Records the rotation. Nothing is submitted.
   *
   * @throws {TypeError} if a tensor is missing, destroyed, of another device,
   * dtype or size, or the output shares a buffer with another
   */
  encode(
    encoder: GPUCommandEncoder,
    { input, output, rotation }: RotationTensors,
  ): void {
    this.#plan.check();
    const { gpu, problem } = this.#plan;
    const { dtype, batch, tokens, heads, headDim, dim } = problem;
    const size = batch * tokens * heads * headDim;
    checkTensor(gpu, "input", input, { dtype, size });
    checkTensor(gpu, "output", output, { dtype, size });
    checkType(
      typeof rotation === "object" && rotation !== null,
      "rotation",
      "must be { positions, table }",
      rotation,
    );
    const { positions, table } = rotation;
    checkTensor(gpu, "rotation.positions", positions, {
      dtype: "u32",
      size: batch * tokens,
    });
    checkTable(gpu, "rotation.table", table, dim);
    this.#plan.encode(encoder, { input, output, positions, rotary: table }, {
      names: { positions: "rotation.positions", rotary: "rotation.table" },
    });
  }

  /** Frees the plan's buffers; further calls do nothing. */
  destroy(): void {
    this.#plan.destroy();
  }

  /** The same as {@linkcode RotationPlan.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

/**
 * Makes a plan for rotating rows, which may be given as a shape.
 *
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for values out of range
 * @throws {UnsupportedError} for f16 on a device without `shader-f16`
 *
 * @example One plan for as many tokens as come
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { planRotation } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const of = (tokens: number) => ({
 *   rows: { dtype: "f32", shape: [tokens, 8, 64] } as const,
 *   pairing: "half-split",
 * } as const);
 * using plan = await planRotation(gpu, of(5));
 * await plan.update(of(6));
 * ```
 *
 * @category Attention
 */
export function planRotation(
  gpu: Gpu,
  options: RotationOptions,
): Promise<RotationPlan> {
  return RotationPlan.create(gpu, options);
}

/** Throws unless a tensor is a table of turns of so many elements. */
export function checkTable(
  gpu: Gpu,
  name: string,
  table: GpuTensor,
  dim: number,
): void {
  checkTensor(gpu, name, table, { dtype: "f32" });
  const { shape } = table;
  checkType(
    shape.length === 3 && shape[1] === dim / 2 && shape[2] === 2,
    `${name}.shape`,
    `must be [positions, ${
      dim / 2
    }, 2], as rotaryTable() makes it for dim ${dim}`,
    shape,
  );
}

/** Throws unless a tensor is of a device, and has a dtype and maybe a size. */
export function checkTensor(
  gpu: Gpu,
  name: string,
  tensor: GpuTensor,
  { dtype, size }: { readonly dtype: string; readonly size?: number },
): void {
  checkType(
    tensor instanceof GpuTensor && tensor.gpu === gpu,
    name,
    "must be a GpuTensor of the plan's Gpu",
    tensor,
  );
  void tensor.buffer; // Throws where it is destroyed.
  checkType(
    tensor.dtype === dtype,
    `${name}.dtype`,
    `must be ${dtype}`,
    tensor.dtype,
  );
  checkType(
    size === undefined || tensor.size === size,
    `${name}.size`,
    `must be ${size}`,
    tensor.size,
  );
}

/** What names of others are here. */
export const ROTATION_HINTS: OptionHints = {
  tensor: "write rows",
  query: "write rows",
  interleaved: 'write pairing: "interleaved" or "half-split"',
  isNeoxStyle: 'write pairing: "half-split"; "interleaved" where it is false',
  rotaryDim: "write dim",
  headDim: "write dim, if not all of a row is rotated",
};

/** The options of a rotation, checked. */
export function rotationProblem(options: RotationOptions): RotationProblem {
  checkOptions("planRotation()", options, {
    known: ["rows", "layout", "pairing", "dim"],
    hints: ROTATION_HINTS,
  });
  const { layout = "bshd", pairing } = options;
  const { dtype, shape } = describeTensor("rows", options.rows);
  checkType(
    layout === "bshd" || layout === "bhsd",
    "layout",
    'must be "bshd" or "bhsd"',
    layout,
  );
  checkType(
    shape.length === 4 || (shape.length === 3 && layout === "bshd"),
    "rows.shape",
    layout === "bshd"
      ? "must be [batch, sequence, heads, headDim], or [tokens, heads, headDim] where ragged"
      : 'must be [batch, heads, sequence, headDim], as layout is "bhsd"',
    shape,
  );
  checkType(
    pairing === "interleaved" || pairing === "half-split",
    "pairing",
    'must be "interleaved" or "half-split"',
    pairing,
  );
  const [batch, second, third, headDim] = [1, ...shape].slice(-4);
  const [tokens, heads] = layout === "bshd" ? [second, third] : [third, second];
  checkInteger("headDim", headDim, 2, 256);
  const { dim = headDim - headDim % 2 } = options;
  checkInteger("dim", dim, 2, headDim);
  checkRange(dim % 2 === 0, "dim", "must be even", dim);
  return { dtype, batch, tokens, heads, headDim, layout, pairing, dim };
}

function partsOf(
  { limits }: Gpu,
  { dtype, batch, tokens, heads, headDim, layout, pairing, dim }:
    RotationProblem,
): ProgramParts {
  const format = rowFormat(dtype, headDim);
  const rows = batch * tokens * heads;
  if (rows === 0) return { dispatches: [] };
  const headVecs = Math.ceil(headDim / 4);
  return {
    dispatches: [{
      source: rotateKernel({ format, pairing }),
      uniforms: {
        row_count: rows,
        row_stride: rowStride(format, headDim),
        head_dim: headDim,
        head_vecs: headVecs,
        batch_rows: tokens * heads,
        batch_tokens: tokens,
        token_rows: layout === "bshd" ? heads : 1,
        rotary_pairs: dim / 2,
      },
      grid: flatGrid(rows * headVecs, ROTATE_LANES, limits),
    }],
  };
}
