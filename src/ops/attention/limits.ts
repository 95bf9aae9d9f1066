/**
 * Everything about sizes that WGSL would get wrong silently: 32-bit indices,
 * bindings, grids. Checked on the CPU before anything is compiled.
 *
 * @module
 */

import { SEGMENT_SHIFT } from "../../../kernels/fragments/rows.ts";
import { checkRange } from "../../core/check.ts";
import { bytesPerElement } from "../../core/dtype.ts";
import type { Gpu } from "../../gpu/mod.ts";
import { type AttentionProblem, bufferTokens } from "./problem.ts";
import { blockScoresElements, maximaElements, tensorElements } from "./rows.ts";

const U32 = 2 ** 32;
const I32 = 2 ** 31;

/**
 * Throws unless every index of a problem fits 32 bits and every tensor fits a
 * binding of the device.
 *
 * @throws {RangeError} naming the tensor, the limit and the size
 */
export function checkIndexing(gpu: Gpu, problem: AttentionProblem): void {
  const { kvHeads, headDim, valueHeadDim } = problem;
  const bytes = bytesPerElement(problem.dtype);
  const { keys } = problem;
  const keyTokens = bufferTokens(keys);
  const { lse: _, key, value, ...rows } = tensorElements(problem);
  const elements: Record<string, number> = keys.segments > 0
    ? { ...rows, arena: keyTokens * kvHeads * (headDim + valueHeadDim) }
    : { ...rows, key, value };
  const binding = gpu.limits.maxStorageBufferBindingSize;
  for (const [name, count] of Object.entries(elements)) {
    checkRange(count < U32, name, `must have < 2^32 elements`, count);
    checkRange(
      count * bytes <= binding,
      name,
      `must fit one binding: maxStorageBufferBindingSize is ${binding} bytes`,
      count * bytes,
    );
  }
  const most = gpu.limits.maxComputeWorkgroupsPerDimension;
  if (problem.blockScores) {
    const { queryHeads } = problem;
    checkRange(
      queryHeads <= most,
      "queryHeads",
      `must be <= maxComputeWorkgroupsPerDimension (${most}) with blockScores`,
      queryHeads,
    );
    const floats = 4 *
      Math.max(maximaElements(problem), blockScoresElements(problem));
    checkRange(
      floats <= binding,
      "blockScores",
      `must fit one binding, with a float for each row and block of keys: maxStorageBufferBindingSize is ${binding} bytes; use larger blocks`,
      floats,
    );
  }
  if (keys.segments > 1) {
    const units = headDim % 4 === 0 && valueHeadDim % 4 === 0 ? 4 : 1;
    checkRange(
      elements.arena / units < 2 ** SEGMENT_SHIFT,
      "arena",
      `must have < 2^${SEGMENT_SHIFT} storage units where there are several`,
      elements.arena / units,
    );
  }
  checkRange(
    kvHeads <= most,
    "kvHeads",
    `must be <= maxComputeWorkgroupsPerDimension (${most})`,
    kvHeads,
  );
  problem.sequences.forEach(({ queryCount, keyCount, queryOffset }, i) => {
    checkRange(
      Math.abs(queryOffset) + queryCount + keyCount < I32,
      `sequence ${i}`,
      "must have |queryOffset| + queries + keys < 2^31",
      `queryOffset ${queryOffset}, ${queryCount} queries, ${keyCount} keys`,
    );
  });
}
