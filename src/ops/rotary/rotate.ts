/**
 * Rotary position embedding of rows, in one call.
 *
 * @module
 */

import {
  checkFinite,
  checkInteger,
  checkRange,
  checkType,
} from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { uploadHost } from "../../gpu/host_tensor.ts";
import { type Gpu, GpuTensor } from "../../gpu/mod.ts";
import { type Indices, indicesOf } from "../attention/options/spans.ts";
import type { AttentionProblem } from "../attention/problem.ts";
import type { HostBits, HostTensor } from "../tensors.ts";
import { rotaryTable, TABLE_HINTS } from "./rotary_table.ts";
import {
  checkTable,
  checkTensor,
  ROTATION_HINTS,
  type RotationOptions,
  RotationPlan,
  type RotationProblem,
  rotationProblem,
} from "./rotation_plan.ts";

/**
 * What {@linkcode rotate} rotates; `T` is where the rows are.
 *
 * @category Attention
 */
export interface RotateOptions<T = GpuTensor | HostTensor | HostBits>
  extends Omit<RotationOptions, "rows"> {
  /**
   * `[batch, sequence, heads, headDim]`, or ragged `[tokens, heads, headDim]`.
   */
  readonly rows: T;
  /**
   * The position of each token, sequence by sequence, on the host or on the
   * device (`u32[tokens]`); see {@linkcode queryPositions}.
   */
  readonly positions: Indices | GpuTensor;
  /**
   * `[positions, dim / 2, 2]`, f32, as `rotaryTable()` makes it; by default it is
   * made here, where the positions are on the host.
   */
  readonly table?: GpuTensor;
  /** Base of the frequencies where the table is made here; 10000 by default. */
  readonly base?: number;
  /** By which positions are divided there; 1 by default. */
  readonly factor?: number;
}

/**
 * Rotates rows by their positions (RoPE, Su et al. 2021), as a cache with `rope`
 * rotates keys: the queries of attention over it. Host arrays come back as host
 * arrays; where the rows are a GPU tensor, so is the result (the caller's to
 * destroy), and nothing waits for the device.
 *
 * @throws {TypeError} for wrong types, shapes and combinations
 * @throws {RangeError} for values out of range, and a position on the host that
 * the table does not have
 * @throws {UnsupportedError} for f16 on a device without `shader-f16`
 *
 * @example Two queries, at positions 0 and 1
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { rotate } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const { data } = await rotate(gpu, {
 *   rows: { data: Float32Array.of(1, 0, 1, 0), shape: [2, 1, 2] },
 *   pairing: "interleaved",
 *   positions: [0, 1],
 * });
 * console.log(data); // 1 0, then cos 1 and sin 1
 * ```
 *
 * @category Attention
 */
export async function rotate<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: RotateOptions<T>,
): Promise<T>;
/** The same for rows given by their bits; the result is numbers. */
export async function rotate(
  gpu: Gpu,
  options: RotateOptions<HostBits>,
): Promise<HostTensor>;
export async function rotate(
  gpu: Gpu,
  options: RotateOptions,
): Promise<GpuTensor | HostTensor> {
  checkOptions("rotate()", options, {
    known: [
      "rows",
      "layout",
      "pairing",
      "dim",
      "positions",
      "table",
      "base",
      "factor",
    ],
    hints: {
      ...ROTATION_HINTS,
      ...TABLE_HINTS,
      position: "write positions",
      positionIds: "write positions",
      cos: "write table, see rotaryTable()",
      sin: "write table, see rotaryTable()",
    },
  });
  const { rows, positions, table, base, factor, ...rest } = options;
  const problem = rotationProblem({ rows, ...rest });
  const host = checkPositions(gpu, options, problem);
  const plan = await RotationPlan.create(gpu, { rows, ...rest });
  const made: { destroy(): void }[] = [plan];
  const keep = <M extends { destroy(): void }>(one: M): M => {
    made.push(one);
    return one;
  };
  let output: GpuTensor | undefined;
  try {
    const uploaded = uploadHost(gpu, rows, {
      name: "rows",
      label: "rotation.input",
    });
    if (uploaded.made) keep(uploaded.tensor);
    output = gpu.empty(problem.dtype, rows.shape, "rotation.output");
    const { dim } = problem;
    const turns = table ?? keep(gpu.tensor(
      rotaryTable({
        positions: largest(host!) + 1,
        dim,
        ...(base !== undefined && { base }),
        ...(factor !== undefined && { factor }),
      }),
      [largest(host!) + 1, dim / 2, 2],
    ));
    const at = host === undefined
      ? positions as GpuTensor
      : keep(gpu.tensor(host, [host.length]));
    const tensors = {
      input: uploaded.tensor,
      output,
      rotation: { positions: at, table: turns },
    };
    gpu.submit("rotation", (encoder) => plan.encode(encoder, tensors));
    if (rows instanceof GpuTensor) return output;
    keep(output);
    const data = await gpu.readOne(output) as Float32Array;
    return { data, shape: rows.shape };
  } catch (error) {
    output?.destroy();
    throw error;
  } finally {
    for (const one of made) one.destroy();
  }
}

/**
 * The position of each query of a problem, sequence by sequence: where
 * `rotate()` or a {@linkcode RotationPlan} takes it to be. It is its place among
 * the keys, so what rotates keys must count from the same 0.
 *
 * @throws {RangeError} If a query stands before every key, at a position below
 * 0.
 *
 * @example Two queries after six keys
 * ```ts
 * import { attentionProblem } from "@quire/attention";
 * import { queryPositions } from "@quire/attention/ops";
 *
 * const query = { dtype: "f32", shape: [1, 2, 4, 16] } as const;
 * const key = { dtype: "f32", shape: [1, 8, 4, 16] } as const;
 * const problem = attentionProblem({ query, key, value: key });
 * console.log(queryPositions(problem)); // 6 7
 * ```
 *
 * @category Attention
 */
export function queryPositions({ sequences }: AttentionProblem): Uint32Array {
  const positions: number[] = [];
  sequences.forEach(({ queryOffset, queryCount }, i) => {
    checkRange(
      queryCount === 0 || queryOffset >= 0,
      `sequence ${i}`,
      "must have no query at a position below 0",
      queryOffset,
    );
    for (let q = 0; q < queryCount; q++) positions.push(queryOffset + q);
  });
  return Uint32Array.from(positions);
}

/** The positions on the host, checked; none where they are on the device. */
function checkPositions(
  gpu: Gpu,
  { positions, table, base, factor }: RotateOptions,
  { batch, tokens, dim }: RotationProblem,
): Uint32Array | undefined {
  for (const [name, given] of Object.entries({ base, factor })) {
    checkType(
      table === undefined || given === undefined,
      name,
      "must not be given with a table, which has it in it",
      given,
    );
  }
  if (base !== undefined) checkFinite("base", base);
  if (table !== undefined) checkTable(gpu, "table", table, dim);
  const count = batch * tokens;
  if (positions instanceof GpuTensor) {
    checkTensor(gpu, "positions", positions, { dtype: "u32", size: count });
    checkType(
      table,
      "table",
      "must be given with positions on the device, as nothing here knows the largest",
      table,
    );
    return undefined;
  }
  const host = indicesOf("positions", positions);
  checkType(
    host.length === count,
    "positions.length",
    `must be the number of tokens (${count})`,
    host.length,
  );
  const most = table === undefined ? 2 ** 24 : table.shape[0];
  host.forEach((position, i) =>
    checkInteger(`positions[${i}]`, position, 0, most - 1)
  );
  return Uint32Array.from(host);
}

function largest(numbers: Uint32Array): number {
  return numbers.reduce((most, number) => Math.max(most, number), 0);
}
