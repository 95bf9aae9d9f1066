/** Squeezed Attention from keys to outputs, and from token to token. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  attention,
  compareWithBound,
  errorBound,
  GATES,
  squeezedLookup,
} from "../../../reference/mod.ts";
import type { GpuTensor } from "../../../src/gpu/mod.ts";
import {
  planSqueezedAttention,
  squeezedAttention,
  SqueezedContext,
} from "../../../src/policies/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { TILES } from "../../support/attention/runner.ts";
import { clustersOn, contextOf, lookupOf, PLAIN } from "./contexts.ts";

const CHOICES = { tiles: TILES.small };

gpuTest(
  "squeezedAttention() of a context that was fitted is exact for the keys it keeps",
  async (_, gpu) => {
    const c = { ...PLAIN, seed: 21, context: 120, rest: 23, clusters: 6 };
    const { query, key, value } = contextOf(c);
    const { queries, queryHeads, kvHeads, headDim } = c;
    const keys = c.context + c.rest;
    const observationWindow = c.rest - queries;
    const context = await SqueezedContext.create(gpu, {
      key: {
        data: key.slice(0, (keys - queries) * kvHeads * headDim),
        shape: [keys - queries, kvHeads, headDim],
      },
      clusters: c.clusters,
      observationWindow,
    });
    try {
      const host = (data: Float32Array, count: number, heads: number) => ({
        data,
        shape: [1, count, heads, headDim],
      });
      const { output, lse, kept } = await squeezedAttention(gpu, {
        query: host(query, queries, queryHeads),
        key: host(key, keys, kvHeads),
        value: host(value, keys, kvHeads),
        clusters: context,
        threshold: 1 / c.context,
        returnLse: true,
        choices: CHOICES,
      });
      const group = queryHeads / kvHeads;
      assert(kept!.density > 0 && kept!.density < 1, `${kept!.density}`);
      assertEquals(
        kept!.density * kvHeads * c.context,
        kept!.keys[0].length + kept!.keys[1].length,
      );
      const problem = {
        query,
        key,
        value,
        batch: 1,
        queryLength: queries,
        keyLength: keys,
        queryHeads,
        kvHeads,
        headDim,
        mask: (_: number, head: number, q: number, k: number) =>
          k <= q && (k >= c.context ||
            kept!.keys[Math.floor(head / group)].includes(k)),
      };
      const expected = attention(problem);
      const bound = errorBound(problem, { keys: 8, gate: GATES.wgsl });
      for (
        const [actual, name] of [[output, "output"], [lse!, "lse"]] as const
      ) {
        const { ok } = compareWithBound({
          actual: actual.data,
          expected: expected[name],
          bound: bound[name],
        });
        assert(ok, name);
      }
      assertEquals(output.shape, [1, queries, queryHeads, headDim]);
      assertEquals(lse!.shape, [1, queries, queryHeads]);
    } finally {
      context.destroy();
    }
  },
);

gpuTest(
  "SqueezedPlan takes tokens one by one, and layers each their clusters",
  async (_, gpu) => {
    const c = { ...PLAIN, seed: 22, queries: 1, rest: 5, coarse: 3 };
    const owned: { destroy(): void }[] = [];
    const keep = <T extends { destroy(): void }>(one: T): T => {
      owned.push(one);
      return one;
    };
    try {
      const layers = [c, { ...c, seed: 23 }].map((own) => {
        const context = contextOf(own);
        const lookup = lookupOf(own, context, 0.5);
        const room = c.context + c.rest;
        const rows = (data: Float32Array, count: number, heads: number) =>
          keep(gpu.tensor(data, [1, count, heads, c.headDim]));
        return {
          lookup,
          clusters: clustersOn(gpu, own, context, keep),
          query: rows(context.query, 1, c.queryHeads),
          key: rows(context.key, room, c.kvHeads),
          value: rows(context.value, room, c.kvHeads),
        };
      });
      const [{ lookup: { threshold, coarse } }] = layers;
      const options = (layer: typeof layers[number], keyLength: number) => ({
        query: layer.query,
        key: layer.key,
        value: layer.value,
        clusters: layer.clusters,
        threshold,
        coarseThreshold: coarse!.threshold,
        keyLength,
        choices: CHOICES,
      });
      const lengths = [2, 3, 5].map((more) => c.context + more);
      const plan = keep(
        await planSqueezedAttention(gpu, options(layers[0], lengths[0])),
      );
      const output = () =>
        keep(gpu.empty("f32", [1, 1, c.queryHeads, c.headDim]));
      // Three tokens of two layers, all in one submit.
      const results: GpuTensor[] = [];
      const fresh: GpuTensor[] = [];
      const encoder = gpu.device.createCommandEncoder();
      for (const keyLength of lengths) {
        await plan.update({ keyLength });
        for (const layer of layers) {
          results.push(output());
          const { query, key, value, clusters } = layer;
          plan.encode(encoder, {
            query,
            key,
            value,
            clusters,
            output: results.at(-1)!,
          });
          const own = keep(
            await planSqueezedAttention(gpu, options(layer, keyLength)),
          );
          fresh.push(output());
          own.encode(encoder, { query, key, value, output: fresh.at(-1)! });
        }
      }
      await assertRejects(
        () => plan.update({ keyLength: c.context }),
        RangeError,
        "keyLength must be >= 76",
      );
      await assertRejects(
        () => plan.update({ keyLength: 81 }),
        RangeError,
        "keyLength must be an integer in 0..80",
      );
      gpu.submit(encoder);
      const arrays = await gpu.read([...results, ...fresh]);
      for (let i = 0; i < results.length; i++) {
        assertEquals(arrays[i], arrays[results.length + i], `${i}`);
      }
      assert(arrays[0].some((x, i) => x !== arrays[2][i]), "tokens differ");
      assert(arrays[0].some((x, i) => x !== arrays[1][i]), "layers differ");

      const [{ query, key, value, clusters }] = layers;
      const into = output();
      const bad: [object, string][] = [
        [{ output: query }, "output must not share a buffer with query"],
        [{ output: clusters.centroids }, "output must have 64 elements"],
        [{ query: undefined }, "query must be given"],
        [{ key: query }, "key must have"],
        [
          { clusters: { ...clusters, coarse: undefined } },
          "clusters' coarse must be those that it was made for (3)",
        ],
      ];
      const unused = gpu.device.createCommandEncoder();
      for (const [change, message] of bad) {
        assertThrows(
          () =>
            plan.encode(
              unused,
              { query, key, value, output: into, ...change } as never,
            ),
          TypeError,
          message,
        );
      }
      await assertRejects(
        () => plan.update({} as never),
        TypeError,
        "keyLength must be an integer: current value is undefined",
      );
      await assertRejects(
        () => plan.update({ keyLength: 78, blockTable: Uint32Array.of(0) }),
        TypeError,
        "blockTable must be left out, as the plan's keys are not in blocks",
      );
      // The same keys as blocks of one; the table that counts is the last one's.
      const room = c.context + c.rest;
      const turned = Uint32Array.from({ length: room }, (_, i) => room - 1 - i);
      const blocks = {
        dtype: "f32",
        shape: [room, 1, c.kvHeads, c.headDim],
      } as const;
      const paged = keep(
        await planSqueezedAttention(gpu, {
          ...options(layers[0], lengths[0]),
          key: blocks,
          value: blocks,
          blockTable: turned,
        }),
      );
      const reversed = turned.toReversed();
      await paged.update({ keyLength: lengths[1], blockTable: reversed });
      reversed.fill(0);
      await paged.update({ keyLength: lengths[2] });
      const same = output();
      gpu.submit(
        "paged",
        (encoder) => paged.encode(encoder, { query, key, value, output: same }),
      );
      assertEquals(await gpu.readOne(same), arrays[4]);
      // What was kept was found by the table of then.
      await paged.update({ keyLength: lengths[2], blockTable: turned });
      const { kept } = squeezedLookup(layers[0].lookup);
      assertEquals(
        (await paged.kept()).keys.flatMap((keys, head) =>
          Array.from(keys, (key) => head * c.context + key)
        ),
        [...kept.keys()].filter((at) => kept[at] === 1),
      );
      plan.destroy();
      assertThrows(
        () => plan.encode(unused, { query, key, value, output: into }),
        TypeError,
        "plan must not be destroyed",
      );
    } finally {
      for (const one of owned) one.destroy();
    }
  },
);
