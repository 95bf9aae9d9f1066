/**
 * What a plan's `encode` is given, held against its problem.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { bytesPerElement } from "../../core/dtype.ts";
import { type Gpu, type GpuBuffer, GpuTensor } from "../../gpu/mod.ts";
import type { BlockGrid, TensorBinding } from "../../mods/mod.ts";
import { checkTensor, type NamedBuffers } from "../plan/tensors.ts";
import type { DeviceBlockMask } from "../block_mask/device_block_mask.ts";
import { type AttentionProblem, bufferTokens } from "./problem.ts";
import { blockScoresElements, tensorElements } from "./rows.ts";

/**
 * What a plan's `encode` reads and writes.
 *
 * @category Attention
 */
export interface AttentionTensors {
  /**
   * As in the options; where they have `qkv`, that, which is then also the key
   * and the value.
   */
  readonly query: GpuTensor;
  /**
   * Keys; where the options give strides, what holds them, of any shape; that is
   * so of the query, the value and the output, too. Not where they are in arenas.
   */
  readonly key?: GpuTensor;
  /** Values; not where they are in arenas. */
  readonly value?: GpuTensor;
  /** Arenas, each with keys first. */
  readonly arenas?: readonly GpuBuffer[];
  /** Like the query, with the value's head dim. */
  readonly output: GpuTensor;
  /** Like the output without its last dimension, f32; where asked for. */
  readonly lse?: GpuTensor | undefined;
  /**
   * `[batch, queryHeads, queryBlocks, keyBlocks]`, f32; where the options have
   * `blockScores`.
   */
  readonly blockScores?: GpuTensor | undefined;
  /**
   * Where the options have a block mask on the device: another one of the same
   * geometry, as each layer may have its own. In the place of what a policy
   * selects: nothing is selected then.
   */
  readonly blockMask?: DeviceBlockMask | undefined;
  /**
   * Where the options have a block table on the device: another one of the same
   * shape, as each layer may have its own.
   */
  readonly blockTable?: GpuTensor | undefined;
  /**
   * Where the options have `attnMask` on the device: another one of the same
   * dtype and shape, as each layer may have its own.
   */
  readonly attnMask?: GpuTensor | undefined;
}

/**
 * Throws unless tensors are there, of the plan's device, dtypes and sizes.
 *
 * @throws {TypeError} naming the tensor
 */
export function checkTensors(
  gpu: Gpu,
  problem: AttentionProblem,
  tensors: AttentionTensors,
): void {
  const { dtype, keys } = problem;
  const elements = tensorElements(problem);
  const rows = (name: "query" | "key" | "value" | "output") =>
    checkTensor(gpu, name, tensors[name], {
      type: dtype,
      size: elements[name],
      least: problem.strides?.[name] !== undefined,
    });
  rows("query");
  rows("output");
  if (problem.lse) {
    checkTensor(gpu, "lse", tensors.lse, { type: "f32", size: elements.lse });
  }
  if (problem.blockScores) {
    checkTensor(gpu, "blockScores", tensors.blockScores, {
      type: "f32",
      size: blockScoresElements(problem),
    });
  }
  checkBlockMask(gpu, problem, tensors.blockMask);
  checkBlockTable(gpu, problem, tensors.blockTable);
  if (keys.segments > 0) {
    checkArenas(tensors.arenas, problem);
    return;
  }
  rows("key");
  rows("value");
}

/**
 * Captured tensors by the names of resources, with another mask in the place of
 * `attnMask`, if there is one.
 *
 * @throws {TypeError} if it is of another device, dtype or shape, or the options
 * have none to be replaced
 */
export function capturedTensors(
  gpu: Gpu,
  captures: Readonly<Record<string, TensorBinding>>,
  mask: GpuTensor | undefined,
): [resource: string, tensor: GpuTensor][] {
  const all = Object.entries(captures).map(
    ([resource, { tensor }]): [string, GpuTensor] => [
      resource,
      tensor as GpuTensor,
    ],
  );
  if (mask === undefined) return all;
  const own = Object.values(captures).findIndex(({ names }) =>
    names.includes("attnMask")
  );
  checkType(
    own >= 0 && Object.values(captures)[own].names.length === 1,
    "attnMask",
    "must not be given to a plan whose options have none on the device, or capture it as something else too",
    mask,
  );
  const [, { dtype, shape }] = all[own];
  checkType(
    mask instanceof GpuTensor && mask.gpu === gpu,
    "attnMask",
    "must be a GpuTensor of the plan's Gpu",
    mask,
  );
  checkType(
    mask.dtype === dtype,
    "attnMask.dtype",
    `must be that of the plan's (${dtype})`,
    mask.dtype,
  );
  checkType(
    mask.shape.join() === shape.join(),
    "attnMask.shape",
    `must be that of the plan's ([${shape.join(", ")}])`,
    mask.shape,
  );
  all[own][1] = mask;
  return all;
}

/**
 * Throws unless a block mask can stand for a problem's, if one is given.
 *
 * @throws {TypeError} if it is of another device or geometry
 */
export function checkBlockMask(
  gpu: Gpu,
  problem: AttentionProblem,
  mask: DeviceBlockMask | undefined,
): void {
  const { selection } = problem;
  if (mask === undefined) return checkSelection(gpu, problem);
  checkType(
    selection !== undefined,
    "blockMask",
    "must not be given to a plan whose options have none on the device",
    mask,
  );
  checkMaskGpu(gpu, mask, "blockMask");
  for (const [name, value] of Object.entries(selection.grid)) {
    const own = mask.grid[name as keyof BlockGrid];
    checkType(
      own === value,
      `blockMask ${name}`,
      `must be that of the plan's (${value})`,
      own,
    );
  }
}

/** The block table that a plan reads, where it is on the device. */
export function deviceTable(
  { keys }: AttentionProblem,
  table: GpuTensor | undefined,
): GpuTensor | undefined {
  const own = keys.kind === "paged" ? keys.blockTable : undefined;
  return own instanceof GpuTensor ? table ?? own : undefined;
}

/**
 * Throws unless a block table can stand for a problem's, if one is given, or that
 * one is of the plan's device.
 *
 * @throws {TypeError} if it is of another device, dtype or shape, or destroyed
 */
export function checkBlockTable(
  gpu: Gpu,
  problem: AttentionProblem,
  table: GpuTensor | undefined,
): void {
  const own = deviceTable(problem, undefined);
  checkType(
    table === undefined || own !== undefined,
    "blockTable",
    "must not be given to a plan whose options have none on the device",
    table,
  );
  if (own === undefined) return;
  const read = table ?? own;
  checkTensor(gpu, "blockTable", read, { type: "u32", size: own.size });
  checkType(
    read.shape.join() === own.shape.join(),
    "blockTable.shape",
    `must be that of the plan's ([${own.shape.join(", ")}])`,
    read.shape,
  );
}

/** Throws unless a problem's block mask on the device is of that `Gpu`. */
export function checkSelection(
  gpu: Gpu,
  { selection, policy }: AttentionProblem,
): void {
  if (selection === undefined) return;
  const name = policy?.blocks ? `select (${policy.name}) blocks` : "blockMask";
  checkMaskGpu(gpu, selection, name);
}

function checkMaskGpu(gpu: Gpu, mask: DeviceBlockMask, name: string): void {
  checkType(mask.gpu === gpu, name, "must be of the plan's Gpu", mask);
  void mask.bits.buffer;
}

/**
 * Throws unless the arenas are those that a problem reads.
 *
 * @throws {TypeError} if they are not as many, or one is too small
 */
export function checkArenas(
  arenas: readonly GpuBuffer[] | undefined,
  { dtype, kvHeads, keys, headDim, valueHeadDim }: AttentionProblem,
): void {
  const bytes = bufferTokens(keys) * kvHeads * (headDim + valueHeadDim) *
    bytesPerElement(dtype);
  checkType(
    arenas?.length === keys.segments,
    "arenas",
    `must be ${keys.segments} buffers`,
    arenas,
  );
  arenas.forEach((arena, i) =>
    checkType(
      arena.size >= bytes,
      `arenas[${i}].size`,
      `must be >= ${bytes} bytes`,
      arena.size,
    )
  );
}

/** The buffers of arenas. */
export function arenaBuffers(arenas: readonly GpuBuffer[] = []): NamedBuffers {
  return arenas.map(({ buffer }, i) => [`arenas[${i}]`, buffer]);
}
