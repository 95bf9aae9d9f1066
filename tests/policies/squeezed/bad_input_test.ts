/** What Squeezed Attention refuses, before anything is dispatched. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Gpu, GpuTensor } from "../../../src/gpu/mod.ts";
import { attentionProblem } from "../../../src/ops/mod.ts";
import {
  clusterSizes,
  planSqueezedAttention,
  type SqueezedOptions,
  SqueezedPolicy,
  type SqueezedPolicyOptions,
} from "../../../src/policies/mod.ts";
import { gpuTest } from "../../support/gpu.ts";

/** Clusters of 2 heads' 12 keys, 4 of each head, in 2 levels or one. */
function clustersOf(
  gpu: Gpu,
  keep: (tensor: GpuTensor) => GpuTensor,
  { coarse = false, kvHeads = 2, headDim = 8 } = {},
) {
  const level = (clusters: number, members: number) => ({
    centroids: keep(gpu.empty("f32", [kvHeads, clusters, headDim])),
    counts: keep(gpu.empty("u32", [kvHeads, clusters])),
    labels: keep(gpu.empty("u32", [kvHeads, members])),
  });
  return { ...level(4, 12), ...(coarse && { coarse: level(2, 4) }) };
}

const ROWS = (count: number, heads: number, dim = 8) =>
  ({ dtype: "f32", shape: [1, count, heads, dim] }) as const;

gpuTest("squeezedAttention() says what it does not take", async (_, gpu) => {
  const owned: GpuTensor[] = [];
  const keep = (tensor: GpuTensor) => {
    owned.push(tensor);
    return tensor;
  };
  const clusters = clustersOf(gpu, keep);
  const two = clustersOf(gpu, keep, { coarse: true });
  const half = keep(gpu.empty("u32", [2, 4]));
  const fits: SqueezedOptions = {
    query: ROWS(3, 4),
    key: ROWS(20, 2),
    value: ROWS(20, 2),
    clusters,
    threshold: 0.1,
  };
  const cases: [Record<string, unknown>, ErrorConstructor, string][] = [
    [
      { causal: true },
      TypeError,
      "causal must not be given, as squeezedAttention() has no such option; leave it out",
    ],
    [{ alibi: true }, TypeError, "give the clusters to SqueezedPolicy"],
    [{ quantile: 0.7 }, TypeError, "write threshold"],
    [
      { query: ROWS(3, 3) },
      RangeError,
      "queryHeads must be a multiple of kvHeads (2): current value is 3",
    ],
    [
      { query: { dtype: "f32", shape: [2, 3, 4, 8] } },
      TypeError,
      "query.shape must be [1, queries, queryHeads, headDim]: the policy squeezed is for one sequence a call",
    ],
    [
      { key: ROWS(20, 4), value: ROWS(20, 4) },
      TypeError,
      "clusters.centroids must be [4, clusters, 8], as squeezed's clusters are of the keys' heads: current value is [2, 4, 8]",
    ],
    [
      { query: ROWS(3, 4, 6) },
      TypeError,
      "query.shape must have the key's headDim (8)",
    ],
    [{ value: ROWS(19, 2) }, TypeError, "value.shape must match key.shape"],
    [
      { key: { dtype: "f16", shape: [1, 20, 2, 8] } },
      TypeError,
      "key.dtype must be the query's (f32)",
    ],
    [
      { query: ROWS(0, 4) },
      RangeError,
      "queries must be an integer >= 1: current value is 0",
    ],
    [{ blockTable: [0] }, TypeError, "blockTable must be a Uint32Array"],
    [
      { blockTable: Uint32Array.of(0) },
      TypeError,
      "keyLength must be given with blockTable",
    ],
    [
      { blockTable: Uint32Array.of(1), keyLength: 20 },
      RangeError,
      "blockTable[0] must be < numBlocks (1): current value is 1",
    ],
    [
      { blockTable: new Uint32Array(0), keyLength: 0 },
      RangeError,
      "keyLength must be >= 15",
    ],
    [
      { key: { dtype: "f32", shape: [5, 4, 2, 8] } },
      TypeError,
      "key.shape must be [1, keys, kvHeads, headDim]: the policy squeezed is for one sequence a call",
    ],
    [{ threshold: undefined }, TypeError, "threshold must be a number"],
    [
      { threshold: -0.01 },
      RangeError,
      "threshold of squeezed must be in [0, 1]: it is a key's share of the attention: current value is -0.01",
    ],
    [
      { threshold: 1.01 },
      RangeError,
      "threshold of squeezed must be in [0, 1]",
    ],
    [{ threshold: NaN }, RangeError, "threshold must be finite"],
    [
      { coarseThreshold: 0.1 },
      TypeError,
      "coarseThreshold must be left out, as squeezed's clusters have one level",
    ],
    [
      { clusters: two },
      TypeError,
      "coarseThreshold must be given, as squeezed's clusters have two levels",
    ],
    [
      { clusters: two, coarseThreshold: 2 },
      RangeError,
      "coarseThreshold of squeezed must be in [0, 1]",
    ],
    [
      { keyLength: 14 },
      RangeError,
      "keyLength must be >= 15, the keys of squeezed's context and the queries' own behind it, so that no row is left empty: current value is 14",
    ],
    [{ keyLength: 21 }, RangeError, "keyLength must be an integer in 0..20"],
    [{ scale: Infinity }, RangeError, "scale must be finite"],
    [{ scale: 1e39 }, RangeError, "scale must be finite in float32"],
    [{ returnLse: 1 }, TypeError, "returnLse must be a boolean"],
    // What attention refuses, after the look-up has been made.
    [{ softcap: -1 }, RangeError, "softcap must be"],
    [
      { clusters: undefined },
      TypeError,
      "clusters must be { centroids, counts, labels }, as of a fixed context",
    ],
    [
      { clusters: { ...clusters, counts: clusters.centroids } },
      TypeError,
      'clusters.counts must be u32: current value is "f32"',
    ],
    [
      {
        clusters: {
          ...clusters,
          labels: half,
          coarse: { ...two.coarse, labels: keep(gpu.empty("u32", [2, 3])) },
        },
      },
      TypeError,
      "clusters.coarse.labels must be [2, 4], one for each cluster below: current value is [2, 3]",
    ],
    [
      { clusters: clustersOf(gpu, keep, { headDim: 257 }) },
      RangeError,
      "clusters.centroids: headDim must be an integer in 1..256: current value is 257",
    ],
    [
      { clusters: { ...clusters, counts: keep(gpu.empty("u32", [2, 3])) } },
      TypeError,
      "clusters.counts must be [2, 4], as clusters.centroids has it",
    ],
    [
      { clusters: { ...clusters, labels: keep(gpu.empty("u32", [1, 12])) } },
      TypeError,
      "clusters.labels must be [2, members], some",
    ],
  ];
  for (const [change, kind, message] of cases) {
    await assertRejects(
      () =>
        planSqueezedAttention(gpu, { ...fits, ...change } as SqueezedOptions),
      kind,
      message,
    );
  }
  assertEquals(clusterSizes(gpu, two), {
    kvHeads: 2,
    headDim: 8,
    clusters: 4,
    keys: 12,
    coarse: 2,
  });
  for (const one of owned) one.destroy();
});

gpuTest("SqueezedPolicy says which calls it is not for", async (_, gpu) => {
  const owned: GpuTensor[] = [];
  const keep = (tensor: GpuTensor) => {
    owned.push(tensor);
    return tensor;
  };
  const options: SqueezedPolicyOptions = {
    clusters: clustersOf(gpu, keep),
    threshold: 0.1,
    dtype: "f32",
    queryHeads: 4,
    queries: 3,
    keys: 20,
  };
  const made: [Record<string, unknown>, ErrorConstructor, string][] = [
    [{ scale: 1 }, TypeError, "leave it out: it is the call's"],
    [{ dtype: "bf16" }, TypeError, "dtype must be f32 or f16"],
    [{ keys: 14 }, RangeError, "keys must be an integer in 15..2147483647"],
    [{ queries: 0 }, RangeError, "queries must be an integer in 1..1073741824"],
    [
      { queryHeads: 3 },
      RangeError,
      "queryHeads must be a multiple of kvHeads (2)",
    ],
  ];
  for (const [change, kind, message] of made) {
    await assertRejects(
      () =>
        SqueezedPolicy.create(
          gpu,
          { ...options, ...change } as SqueezedPolicyOptions,
        ),
      kind,
      message,
    );
  }
  const select = await SqueezedPolicy.create(gpu, options);
  const call = {
    query: ROWS(3, 4),
    key: ROWS(20, 2),
    value: ROWS(20, 2),
    select,
  };
  attentionProblem(call);
  const strided = {
    dtype: "f32",
    shape: [1, 3, 4, 8],
    strides: [0, 64, 8],
  } as const;
  const calls: [Record<string, unknown>, ErrorConstructor, string][] = [
    [
      { query: ROWS(3, 2) },
      TypeError,
      "queryHeads must be that of the policy squeezed (4): current value is 2",
    ],
    [
      { query: strided },
      TypeError,
      "query.strides must be left out for the policy squeezed",
    ],
    [
      {
        query: undefined,
        key: undefined,
        value: undefined,
        qkv: ROWS(20, 8),
        kvHeads: 2,
      },
      RangeError,
      "queryOffset must be >= 12",
    ],
    [
      { queryOffset: 11 },
      RangeError,
      "queryOffset must be >= 12 and each query have a key of its own, so that the policy squeezed leaves no row empty",
    ],
    [{ queryOffset: 18 }, RangeError, "queryOffset must be >= 12"],
    [{ keyLengths: [14] }, RangeError, "queryOffset must be >= 12"],
    [
      {
        query: { dtype: "f32", shape: [2, 3, 4, 8] },
        key: { dtype: "f32", shape: [2, 20, 2, 8] },
        value: { dtype: "f32", shape: [2, 20, 2, 8] },
      },
      TypeError,
      "sequences must be 1 for the policy squeezed",
    ],
  ];
  for (const [change, kind, message] of calls) {
    assertThrows(
      () => attentionProblem({ ...call, ...change } as typeof call),
      kind,
      message,
    );
  }
  select.destroy();
  for (const one of owned) one.destroy();
});
