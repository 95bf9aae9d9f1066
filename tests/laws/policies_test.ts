/**
 * What holds of every policy that keeps keys by mods, in whatever call: it is
 * those mods, on top of all else.
 */

import { assertEquals } from "@std/assert";
import { attention } from "../../src/ops/mod.ts";
import type { HostTensor } from "../../mod.ts";
import {
  type AttentionCase,
  dataOf,
  type Lengths,
  PLAIN,
} from "../support/attention/cases.ts";
import {
  assertSameBits,
  checkCase,
  replayLine,
} from "../support/attention/check.ts";
import { type PolicySpec, readPolicy } from "../support/attention/policies.ts";
import { runCases, sliceOf, TILES } from "../support/attention/runner.ts";
import { random } from "../ops/attention/tensors.ts";
import { gpuTest } from "../support/gpu.ts";

/** A policy, and what else there is in its calls: few kernels, and each pair. */
interface Composed {
  readonly policy: PolicySpec;
  readonly more: Pick<AttentionCase, "causal" | "window" | "score">;
}

/** Every policy that keeps keys by mods; small blocks, so that they keep few. */
const POLICIES: readonly Composed[] = [
  {
    policy: {
      kind: "s2",
      options: { block: 4, localBlocks: 2, stride: 3, denseHeads: 1 },
    },
    more: { causal: true, window: { left: 40 }, score: { alibi: true } },
  },
  {
    policy: { kind: "longlora", options: { groupSize: 10 } },
    more: { window: { left: 6 }, score: { softcap: 3 } },
  },
  {
    policy: {
      kind: "prflash",
      options: { family: "geometric", gamma: 0.5, block: 4, seed: 3 },
    },
    more: { causal: true },
  },
  {
    policy: {
      kind: "prflash",
      options: {
        family: "power",
        a: 1,
        floor: 0.1,
        block: 4,
        seed: 4,
        mode: "ht",
      },
      below: 24,
    },
    more: { score: { softcap: 3, alibi: true } },
  },
];

/** Prefill and decode, with and without keys and queries. */
const SEQUENCES: readonly Lengths[] = [
  [30, 45],
  [1, 61],
  [0, 9],
  [17, 17],
  [2, 0],
];

/** Grouped heads, ragged. */
const CALL: AttentionCase = {
  ...PLAIN,
  layout: "ragged",
  sequences: SEQUENCES,
  queryHeads: 4,
  kvHeads: 2,
};

gpuTest(
  "a policy is its mods on top of all else, ragged and paged",
  async (_, gpu) => {
    for (const { policy, more } of POLICIES) {
      const flat: AttentionCase = { ...CALL, ...more, policy };
      const cases: AttentionCase[] = [
        flat,
        { ...flat, policyBy: "mods" },
        { ...flat, layout: "paged", blockSize: 5 },
      ];
      const [result, ...others] = await runCases(gpu, cases);
      checkCase(flat, result);
      others.forEach((other, i) =>
        assertSameBits(other, result, replayLine(cases[i + 1]))
      );
    }
  },
);

gpuTest("a row under a policy does not depend on its batch", async (_, gpu) => {
  const watched = SEQUENCES[0];
  const mates: (readonly Lengths[])[] = [
    [[1, 61], watched, [9, 70]],
    [[23, 23], watched],
  ];
  for (const { policy, more } of POLICIES) {
    const cases = mates.map((sequences, i): AttentionCase => ({
      ...CALL,
      ...more,
      policy,
      seed: 5 + i,
      sequences,
    }));
    const data = cases.map(dataOf);
    data[1][1] = data[0][1];
    const [one, other] = await runCases(gpu, cases, {
      data: (_, i) => data[i],
    });
    assertSameBits(
      sliceOf(cases[1], other, 1),
      sliceOf(cases[0], one, 1),
      JSON.stringify(policy),
    );
  }
});

/** `[batch, heads, sequence, headDim]` of `[batch, sequence, heads, headDim]`. */
function headsFirst({ data, shape }: HostTensor): HostTensor {
  const [batch, tokens, heads, dim] = shape;
  const turned = data.map((_, n) => {
    const row = Math.floor(n / dim);
    const token = row % tokens;
    const head = Math.floor(row / tokens) % heads;
    const b = Math.floor(row / tokens / heads);
    return data[((b * tokens + token) * heads + head) * dim + n % dim];
  });
  return { data: turned, shape: [batch, heads, tokens, dim] };
}

gpuTest(
  "a policy does not depend on the order of dimensions",
  async (_, gpu) => {
    const query = random([2, 40, 4, 16], 1);
    const key = random([2, 40, 2, 16], 2);
    const value = random([2, 40, 2, 16], 3);
    const [{ policy }] = POLICIES;
    const call = {
      select: readPolicy(policy),
      causal: true,
      tiles: TILES.small,
    };
    const { output } = await attention(gpu, { ...call, query, key, value });
    const turned = await attention(gpu, {
      ...call,
      query: headsFirst(query),
      key: headsFirst(key),
      value: headsFirst(value),
      layout: "bhsd",
    });
    assertEquals(turned.output, headsFirst(output));
  },
);
