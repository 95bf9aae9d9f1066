/**
 * Sizes that 32-bit indices or a device cannot hold are refused on the CPU:
 * shapes alone are given, and the device is only its limits.
 *
 * @module
 */

import { assertThrows } from "@std/assert";
import { attentionProblem, type Gpu, type TensorShape } from "../../../mod.ts";
import { checkIndexing } from "../../../src/ops/attention/limits.ts";
import type { AttentionProblem } from "../../../src/ops/attention/problem.ts";

const f32 = (...shape: number[]): TensorShape => ({ dtype: "f32", shape });

/** A device with bindings of any size, so that only the indices limit. */
const gpu = {
  limits: {
    maxStorageBufferBindingSize: Number.MAX_SAFE_INTEGER,
    maxComputeWorkgroupsPerDimension: 65535,
  },
} as Gpu;

function dense(
  queries: number,
  keys: number,
  [heads, headDim, valueHeadDim = headDim]: number[],
  queryOffset?: number,
): AttentionProblem {
  return attentionProblem({
    query: f32(1, queries, heads, headDim),
    key: f32(1, keys, heads, headDim),
    value: f32(1, keys, heads, valueHeadDim),
    ...(queryOffset === undefined ? {} : { queryOffset }),
  });
}

Deno.test("checkIndexing() refuses an output of 2^32 elements", () => {
  checkIndexing(gpu, dense(2 ** 24 - 1, 1, [1, 1, 256]));
  assertThrows(
    () => checkIndexing(gpu, dense(2 ** 24, 1, [1, 1, 256])),
    RangeError,
    "output must have < 2^32 elements: current value is 4294967296",
  );
});

Deno.test("checkIndexing() refuses positions past i32", () => {
  const edge = 2 ** 31 - 2;
  checkIndexing(gpu, dense(1, 0, [1, 1], edge));
  for (const offset of [edge + 1, -(2 ** 31)]) {
    assertThrows(
      () => checkIndexing(gpu, dense(1, 0, [1, 1], offset)),
      RangeError,
      "sequence 0 must have |queryOffset| + queries + keys < 2^31",
    );
  }
  checkIndexing(gpu, dense(1, edge, [1, 1], 0));
  assertThrows(
    () => checkIndexing(gpu, dense(1, edge + 1, [1, 1], 0)),
    RangeError,
    "sequence 0",
  );
});

Deno.test("checkIndexing() refuses what exceeds one binding", () => {
  const small = {
    limits: { ...gpu.limits, maxStorageBufferBindingSize: 4096 },
  } as Gpu;
  checkIndexing(small, dense(1, 256, [1, 4]));
  for (
    const [problem, name] of [
      [dense(257, 1, [1, 4, 1]), "query"],
      [dense(257, 1, [1, 1, 4]), "output"],
      [dense(1, 257, [1, 4, 1]), "key"],
      [dense(1, 257, [1, 1, 4]), "value"],
    ] as const
  ) {
    assertThrows(
      () => checkIndexing(small, problem),
      RangeError,
      `${name} must fit one binding: maxStorageBufferBindingSize is 4096`,
    );
  }
});

Deno.test("checkIndexing() refuses an arena of extents past one binding", () => {
  const small = {
    limits: { ...gpu.limits, maxStorageBufferBindingSize: 4096 },
  } as Gpu;
  const extents = (keyTokens: number): AttentionProblem => ({
    ...dense(1, 1, [1, 6, 2]),
    keys: { kind: "contiguous", keyTokens, segments: 1 },
  });
  checkIndexing(small, extents(128));
  assertThrows(
    () => checkIndexing(small, extents(129)),
    RangeError,
    "arena must fit one binding: maxStorageBufferBindingSize is 4096",
  );
});

Deno.test("checkIndexing() refuses more kv heads than the grid has rows", () => {
  assertThrows(
    () => checkIndexing(gpu, dense(1, 1, [65536, 1])),
    RangeError,
    "kvHeads must be <= maxComputeWorkgroupsPerDimension (65535)",
  );
});

Deno.test("checkIndexing() refuses several arenas past 2^28 units each", () => {
  const paged = (segmentBlocks: number, headDim: number): AttentionProblem => ({
    ...dense(1, 1, [1, headDim]),
    keys: {
      kind: "paged",
      blockSize: 16,
      numBlocks: 2 * segmentBlocks,
      segments: 2,
      segmentBlocks,
      blockTable: Uint32Array.of(1),
      tableWidth: 1,
    },
  });
  // A block is 16 x 2 x 64 elements, in units of one vec4 or of one element.
  checkIndexing(gpu, paged(2 ** 19 - 1, 64));
  assertThrows(
    () => checkIndexing(gpu, paged(2 ** 19, 64)),
    RangeError,
    "arena must have < 2^28 storage units",
  );
  checkIndexing(gpu, paged(2 ** 18, 31));
  assertThrows(
    () => checkIndexing(gpu, paged(2 ** 19, 31)),
    RangeError,
    "arena must have < 2^28 storage units",
  );
});
