import { assertEquals, assertThrows } from "@std/assert";
import {
  type AttentionPolicy,
  experimentalPrFlash,
  longlora,
  policyReport,
  s2,
  withFallback,
} from "../../src/policies/mod.ts";
import { maskMod, scoreMod } from "../../src/mods/mod.ts";
import {
  attention,
  attentionProblem,
  DeviceBlockMask,
  planAttention,
} from "../../src/ops/mod.ts";
import type { Gpu, HostTensor } from "../../mod.ts";
import { TILES } from "../support/attention/runner.ts";
import { random } from "../ops/attention/tensors.ts";
import { gpuTest } from "../support/gpu.ts";

const tiles = TILES.small!;
const [HEADS, DIM] = [2, 8];

/** Sequences of these tokens, the same rows wherever they stand. */
function ragged(lengths: readonly number[]) {
  const rows = (seed: number): HostTensor => {
    const parts = lengths.map((n) => random([n, HEADS, DIM], seed + n).data);
    const total = lengths.reduce((sum, n) => sum + n, 0);
    const data = new Float32Array(total * HEADS * DIM);
    let at = 0;
    for (const part of parts) {
      data.set(part as Float32Array, at);
      at += part.length;
    }
    return { data, shape: [total, HEADS, DIM] };
  };
  const cuSeqlens = [0];
  for (const n of lengths) cuSeqlens.push(cuSeqlens.at(-1)! + n);
  return { query: rows(1), key: rows(2), value: rows(3), cuSeqlens };
}

async function outputOf(
  gpu: Gpu,
  lengths: readonly number[],
  select?: AttentionPolicy,
): Promise<Float32Array[]> {
  const { output } = await attention(gpu, {
    ...ragged(lengths),
    causal: true,
    tiles,
    ...(select && { select }),
  });
  let at = 0;
  return lengths.map((n) =>
    output.data.slice(at, at += n * HEADS * DIM) as Float32Array
  );
}

/** Keeps half of the keys, and lifts a quarter of the scores. */
const halving: AttentionPolicy = {
  name: "halving",
  select: () => ({
    maskMods: [maskMod("half", ({ key }) => key.rem(2).eq(0))],
    scoreMods: [
      scoreMod(
        "lift",
        ({ score, key }) => key.rem(4).eq(0).select(score.add(1), score),
      ),
    ],
  }),
};

gpuTest(
  "withFallback() leaves short sequences as they are, each by itself",
  async (_, gpu) => {
    const policy = withFallback(halving, { fallback: "dense", below: 24 });
    const [short, edge] = await outputOf(gpu, [23, 24], policy);
    const [all] = await outputOf(gpu, [23], policy);
    const [alone] = await outputOf(gpu, [24], policy);
    assertEquals(all, short);
    assertEquals(alone, edge);
    assertEquals([edge], await outputOf(gpu, [24], halving));
    // As dense by what is added to each score: nothing.
    const nothing: AttentionPolicy = {
      name: "nothing",
      select: () => ({
        maskMods: [],
        scoreMods: [scoreMod("nothing", ({ score }) => score)],
      }),
    };
    assertEquals([short], await outputOf(gpu, [23], nothing));
  },
);

Deno.test("withFallback() visits what dense attention and the policy visit", () => {
  const near: AttentionPolicy = {
    name: "near",
    select: () => ({
      maskMods: [maskMod("near", ({ query, key }) => key.add(16).ge(query))],
    }),
  };
  const { query, key, value, cuSeqlens } = ragged([32, 64]);
  const call = { query, key, value, cuSeqlens, causal: true };
  const pairsOf = (policy: AttentionPolicy) => policyReport(policy, call).pairs;
  const long = 2 * (16 * 17 / 2 + 48 * 17);
  assertEquals(pairsOf(near), 2 * (16 * 17 / 2 + 16 * 17) + long);
  assertEquals(
    pairsOf(withFallback(near, { below: 33 })),
    2 * (32 * 33 / 2) + long,
  );
  assertEquals(pairsOf(withFallback(near, { below: 32 })), pairsOf(near));
});

Deno.test("withFallback() leaves short sequences as causal as the policy", () => {
  const { query, key, value, cuSeqlens } = ragged([32, 64]);
  const call = { query, key, value, cuSeqlens };
  const draw = { family: "geometric", gamma: 0.5, block: 8, seed: 1 } as const;
  const causal = 32 * 33 / 2 + 64 * 65 / 2;
  for (
    const [policy, pairs] of [
      [s2({ block: 8, localBlocks: 1, stride: 4 }), causal],
      [s2({ block: 8, localBlocks: 1, stride: 4, causal: false }), 5120],
      [longlora({ groupSize: 8 }), causal],
      [longlora({ groupSize: 8, variant: "wrap" }), causal],
      [experimentalPrFlash(draw), causal],
    ] as const
  ) {
    const dense = withFallback(policy, { below: 65 });
    assertEquals(policyReport(dense, call).pairs, HEADS * pairs, policy.name);
    const twice = withFallback(dense, { below: 65 });
    assertEquals(policyReport(twice, call).pairs, HEADS * pairs, policy.name);
  }
  // A table for each of two kv heads: a batch of as many.
  const rows = { dtype: "f32", shape: [2, 32, 1, DIM] } as const;
  const tables = { query: rows, key: rows, value: rows };
  for (const [isCausal, pairs] of [[true, 32 * 33], [false, 2 * 32 * 32]]) {
    const over = s2({
      block: 8,
      localBlocks: 1,
      stride: 4,
      causal: Boolean(isCausal),
    }).forHeadTables({ queryHeads: 2 });
    const dense = withFallback(over, { below: 33 });
    assertEquals(policyReport(dense, tables).pairs, pairs, `${isCausal}`);
  }
});

/** One query block a sequence, of which every second key block is selected. */
async function selecting(gpu: Gpu, batch: number) {
  const mask = await DeviceBlockMask.create(gpu, {
    queries: 64,
    keys: 64,
    queryBlock: 32,
    keyBlock: 8,
    batch,
  }, { threshold: 0.5 });
  const scores = gpu.tensor(
    Float32Array.from({ length: batch * 16 }, (_, i) => 1 - i % 2),
    [batch, 1, 2, 8],
  );
  let encoded = 0;
  const policy: AttentionPolicy = {
    name: "blocks",
    select: () => ({
      blocks: {
        mask,
        encode(encoder) {
          encoded++;
          mask.encode(encoder, scores);
        },
      },
    }),
  };
  return {
    policy,
    mask,
    encoded: () => encoded,
    [Symbol.dispose]() {
      mask.destroy();
      scores.destroy();
    },
  };
}

gpuTest(
  "withFallback() selects all blocks of short sequences",
  async (_, gpu) => {
    using two = await selecting(gpu, 2);
    using one = await selecting(gpu, 1);
    const policy = withFallback(two.policy, { below: 40 });
    const [short, long] = await outputOf(gpu, [30, 50], policy);
    const bits = await two.mask.read();
    assertEquals(bits.draw({ batch: 0 }).text, "████████\n████████\n");
    assertEquals(bits.draw({ batch: 1 }).text, "█·█·█·█·\n█·█·█·█·\n");
    assertEquals([[short], [long]], [
      await outputOf(gpu, [30]),
      await outputOf(gpu, [50], one.policy),
    ]);
    // Where all are short, nothing is selected, and one mask is for all of them.
    const before = [two.encoded(), one.encoded()];
    const shared = withFallback(one.policy, { below: 40 });
    assertEquals(
      await outputOf(gpu, [30, 20], policy),
      await outputOf(gpu, [30, 20], shared),
    );
    assertEquals([two.encoded(), one.encoded()], before);
    assertEquals(
      await outputOf(gpu, [40, 50], shared),
      await outputOf(gpu, [40, 50], one.policy),
    );
    assertThrows(
      () => attentionProblem({ ...ragged([30, 50]), select: shared }),
      TypeError,
      "below must leave no sequence, or all, to blocks, whose blocks are the same for all sequences: keys: current value is [30, 50]",
    );
  },
);

gpuTest(
  "withFallback() of all blocks is explained as the policy",
  async (_, gpu) => {
    using one = await selecting(gpu, 1);
    using plan = await planAttention(gpu, {
      ...ragged([30]),
      select: withFallback(one.policy, { below: 40 }),
    });
    assertEquals(plan.explain().policy, { name: "blocks", by: ["blocks"] });
  },
);

gpuTest(
  "DeviceBlockMask.encodeAll() is of one of its sequences",
  async (_, gpu) => {
    using two = await selecting(gpu, 2);
    gpu.submit("all", (encoder) => two.mask.encodeAll(encoder, 1));
    const bits = await two.mask.read();
    assertEquals(bits.draw({ batch: 0 }).text, "········\n········\n");
    assertEquals(bits.draw({ batch: 1 }).text, "████████\n████████\n");
    for (const batch of [-1, 2, 0.5]) {
      assertThrows(
        () =>
          gpu.submit("all", (encoder) => two.mask.encodeAll(encoder, batch)),
        RangeError,
        "batch must be an integer in 0..1",
      );
    }
  },
);

Deno.test("withFallback() is checked", () => {
  for (
    const [fault, type, message] of [
      [
        () => withFallback({} as never, { below: 1 }),
        TypeError,
        "policy must be",
      ],
      [
        () => withFallback(halving, { below: 1.5 }),
        RangeError,
        "below must be an integer",
      ],
      [() => withFallback(halving, { below: -1 }), RangeError, "below must be"],
      [
        () => withFallback(halving, { length: 2 } as never),
        TypeError,
        "write below",
      ],
      [
        () => withFallback(halving, { below: 1, fallback: "none" } as never),
        TypeError,
        "fallback must be",
      ],
    ] as const
  ) {
    assertThrows(fault, type, message);
  }
});
