/** A context that has grown is looked up by what is made for it anew. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { attention } from "../../../src/ops/mod.ts";
import {
  calibrateSqueezed,
  planSqueezedAttention,
  squeezedAttention,
  SqueezedContext,
  SqueezedPolicy,
} from "../../../src/policies/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { plantedKeys } from "../../support/squeezed.ts";
import { TILES } from "../../support/attention/runner.ts";

const CHOICES = { tiles: TILES.small };

const HEADS = 2;
const DIM = 8;
const KEYS = 70;

function rows(data: Float32Array, heads = HEADS) {
  return { data, shape: [1, data.length / heads / DIM, heads, DIM] };
}

const DATA = plantedKeys({
  keys: KEYS,
  heads: HEADS,
  headDim: DIM,
  directions: 6,
  spread: 0.3,
  seed: 21,
});
const KEY = rows(DATA);

gpuTest(
  "what was made before a context grew is refused, and made anew it is right",
  async (_, gpu) => {
    using context = await SqueezedContext.create(gpu, {
      key: rows(DATA.slice(0, 50 * HEADS * DIM)),
      clusters: 6,
      observationWindow: 4,
    });
    const query = rows(DATA.slice(-3 * HEADS * DIM));
    const problem = { query, key: KEY, value: KEY, clusters: context };
    const options = { ...problem, threshold: 0.01, choices: CHOICES };
    using plan = await planSqueezedAttention(gpu, options);
    using policy = await SqueezedPolicy.create(gpu, {
      clusters: context,
      threshold: 0.01,
      dtype: "f32",
      queryHeads: HEADS,
      queries: 3,
      keys: KEYS,
    });
    using output = gpu.empty("f32", [1, 3, HEADS, DIM]);
    using key = gpu.tensor(DATA, KEY.shape);
    using last = gpu.tensor(query.data, query.shape);
    const tensors = { query: last, key, value: key, output };
    const encode = () =>
      gpu.submit("test", (encoder) => plan.encode(encoder, tensors));
    const call = { ...problem, clusters: undefined, causal: true };
    const byPolicy = async () => {
      const { query, key, value, causal } = call;
      const found = await attention(gpu, {
        query,
        key,
        value,
        causal,
        select: policy,
        ...CHOICES,
      });
      return [...found.output.data];
    };
    encode();
    const before = [...await gpu.readOne(output)];
    const selected = await byPolicy();
    before.forEach((x, i) => assert(Math.abs(x - selected[i]) < 1e-4));

    await context.update({ key: KEY });
    const grown = "clusters' keys must be those that it was made for (46)";
    assertThrows(encode, TypeError, grown);
    // A plan that takes another length does not take other clusters with it.
    await assertRejects(
      () => plan.update({ keyLength: KEYS }),
      TypeError,
      grown,
    );
    assertEquals(plan.contextKeys, 46 * HEADS);
    assertThrows(encode, TypeError, grown);
    await assertRejects(byPolicy, TypeError, grown);

    const anew = await squeezedAttention(gpu, options);
    using again = await planSqueezedAttention(gpu, options);
    gpu.submit("test", (encoder) => again.encode(encoder, tensors));
    assertEquals([...await gpu.readOne(output)], [...anew.output.data]);
  },
);

gpuTest(
  "queries that calibrate a threshold keep by it what was said",
  async (_, gpu) => {
    for (const levels of [1, 2] as const) {
      using context = await SqueezedContext.create(gpu, {
        key: KEY,
        clusters: 12,
        levels,
        ...(levels === 2 && { coarseClusters: 4 }),
        observationWindow: 6,
      });
      const query = rows(DATA.slice(-6 * HEADS * DIM));
      const { dropped, ...thresholds } = await calibrateSqueezed(gpu, {
        contexts: [{ clusters: context, query }],
        sparsity: 0.6,
      });
      using plan = await planSqueezedAttention(gpu, {
        query,
        key: KEY,
        value: KEY,
        clusters: context,
        ...thresholds,
      });
      using output = gpu.empty("f32", query.shape);
      using key = gpu.tensor(DATA, KEY.shape);
      using last = gpu.tensor(query.data, query.shape);
      gpu.submit(
        "test",
        (encoder) =>
          plan.encode(encoder, { query: last, key, value: key, output }),
      );
      const { density } = await plan.kept();
      assert(
        Math.abs(density - (1 - dropped)) < 1e-12,
        `${density}, ${dropped}`,
      );
      assert(dropped >= 0.6 && dropped < 1);
    }
  },
);
