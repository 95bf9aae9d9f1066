/** What a policy learned of one layer is refused for the keys of another. */

import { assert, assertThrows } from "@std/assert";
import { KvCache } from "../../src/kv/mod.ts";
import { attentionProblem } from "../../src/ops/mod.ts";
import { SeerGate, SqueezedPolicy } from "../../src/policies/mod.ts";
import { gpuTest } from "../support/gpu.ts";

gpuTest("a policy of another layer of the cache is refused", async (_, gpu) => {
  const [dim, tokens] = [4, 9];
  using cache = await KvCache.create(gpu, {
    numBlocks: 4,
    blockSize: 4,
    layers: 3,
    kvHeads: 1,
    headDim: dim,
  });
  const sequence = cache.createSequence();
  sequence.reserve(tokens);
  sequence.commit();
  using query = gpu.empty("f32", [1, 1, 1, dim]);
  using gateKey = gpu.tensor(new Float32Array(12 * dim), [1, 12, dim]);
  using gate = await SeerGate.create(gpu, {
    weights: { key: gateKey },
    queryHeads: 1,
    kvHeads: 1,
    block: 4,
    topK: 1,
    layer: 2,
  });
  using keys = await gate.keys({ sequences: 1, capacity: 16 });
  using prompt = gpu.empty("f32", [1, tokens, 1, dim]);
  gpu.submit("keys", (encoder) => keys.append(encoder, prompt));
  using seer = await keys.select({ query, layer: 2 });
  using centroids = gpu.empty("f32", [1, 2, dim]);
  using counts = gpu.empty("u32", [1, 2]);
  using labels = gpu.empty("u32", [1, 8]);
  using squeezed = await SqueezedPolicy.create(gpu, {
    dtype: "f32",
    queryHeads: 1,
    queries: 1,
    keys: tokens,
    clusters: { centroids, counts, labels, layer: 2 },
    threshold: 0.1,
  });
  for (const select of [seer, squeezed]) {
    const problemOf = (layer?: number) =>
      attentionProblem({
        query: { dtype: "f32", shape: [1, 1, 1, dim] },
        cache,
        sequences: [sequence],
        causal: true,
        ...(layer !== undefined && { layer }),
        select,
      });
    assert(problemOf(2).policy?.name === select.name);
    for (const layer of [0, undefined]) {
      assertThrows(
        () => problemOf(layer),
        RangeError,
        `select (${select.name}) layer must be that of the call's keys (0)`,
      );
    }
  }
  sequence.free();
});
