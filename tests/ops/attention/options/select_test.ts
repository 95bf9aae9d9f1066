/** Policies that are none, or give what is none of the call's. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  attention,
  attentionProblem,
  DeviceBlockMask,
  planAttention,
} from "../../../../src/ops/mod.ts";
import { UnsupportedError } from "../../../../mod.ts";
import {
  type BlockGeometry,
  blockMask,
  causal,
  softcap,
} from "../../../../src/mods/mod.ts";
import type {
  AttentionPolicy,
  PolicyShape,
} from "../../../../src/policies/mod.ts";
import { gpuTest, ownGpu } from "../../../support/gpu.ts";

const OPTIONS = {
  query: { dtype: "f32", shape: [2, 32, 4, 8] },
  key: { dtype: "f32", shape: [2, 48, 2, 8] },
  value: { dtype: "f32", shape: [2, 48, 2, 8] },
} as const;
const FITTING = { queries: 32, keys: 48, queryBlock: 16 };

/** A policy that gives this. */
const giving = (given: unknown): AttentionPolicy =>
  ({ name: "test", select: () => given }) as AttentionPolicy;

Deno.test("a policy is told of the call", () => {
  const told: PolicyShape[] = [];
  const select: AttentionPolicy = {
    name: "test",
    select: (shape) => (told.push(shape), {}),
  };
  attentionProblem({
    ...OPTIONS,
    keyLengths: [48, 40],
    scale: 2,
    causal: true,
    window: { left: 9 },
    select,
  });
  const [{ sequences, ...rest }] = told;
  assertEquals(rest, {
    dtype: "f32",
    queryHeads: 4,
    kvHeads: 2,
    headDim: 8,
    valueHeadDim: 8,
    scale: 2,
    layout: "bshd",
    qkv: false,
    causal: true,
    window: { left: 9 },
  });
  assertEquals(
    sequences.map(({ queryCount, keyCount, queryOffset }) => ({
      queryCount,
      keyCount,
      queryOffset,
    })),
    [
      { queryCount: 32, keyCount: 48, queryOffset: 16 },
      { queryCount: 32, keyCount: 40, queryOffset: 8 },
    ],
  );
});

gpuTest("select is checked, by the policy's name", async (_, gpu) => {
  const maskOf = (changes: Partial<BlockGeometry>) =>
    DeviceBlockMask.create(gpu, { ...FITTING, ...changes }, { threshold: 0 });
  using fitting = await maskOf({});
  using queries = await maskOf({ queries: 33 });
  using keys = await maskOf({ keys: 49 });
  using heads = await maskOf({ heads: 3 });
  using batch = await maskOf({ batch: 3 });
  using positions = await maskOf({ queryOffset: 0 });
  const encode = () => {};
  const blocks = (mask: unknown) => giving({ blocks: { mask, encode } });
  for (
    const [select, message, more = {}] of [
      [null, "select must be a policy"],
      [causal(), "select must be a policy"],
      [{ name: "test" }, "select must be a policy"],
      [{ select: () => ({}) }, "select must be a policy"],
      [
        giving(undefined),
        "select (test) must give { maskMods, scoreMods, blocks, causal }",
      ],
      [
        giving(Promise.resolve({})),
        "select (test) must give { maskMods, scoreMods, blocks, causal }, those that it has, at once",
      ],
      [giving({ maskMod: causal() }), "what select (test) gives"],
      [giving({ maskMods: causal() }), "select (test) maskMods must be a list"],
      [
        giving({ maskMods: [softcap(4)] }),
        "select (test) maskMods must be a list of what maskMod() makes",
      ],
      [
        giving({ scoreMods: [causal()] }),
        "select (test) scoreMods must be a list of what scoreMod() makes",
      ],
      [blocks({}), "select (test) blocks must be { mask, encode }"],
      [
        giving({ blocks: { mask: fitting } }),
        "select (test) blocks must be { mask, encode }",
      ],
      [
        giving({ blocks: null }),
        "select (test) blocks must be { mask, encode }",
      ],
      [
        blocks(queries),
        "select (test) queries must be those of attention() (32): current value is 33",
      ],
      [
        blocks(keys),
        "select (test) keys must be those of attention() (48): current value is 49",
      ],
      [
        blocks(heads),
        "select (test) heads must be 1, or a divisor of the query heads (4)",
      ],
      [
        blocks(batch),
        "select (test) batch must be 1, or the number of sequences (2)",
      ],
      [
        blocks(fitting),
        "blockMask must not be on the device beside select (test)",
        { blockMask: fitting },
      ],
    ] as const
  ) {
    assertThrows(
      () =>
        attentionProblem({
          ...OPTIONS,
          ...more,
          select: select as AttentionPolicy,
        }),
      TypeError,
      message,
    );
  }
  assertThrows(
    () => attentionProblem({ ...OPTIONS, select: blocks(positions) }),
    RangeError,
    "select (test) with queryOffset 0 must have a row",
  );
  await assertRejects(
    () =>
      planAttention(gpu, {
        ...OPTIONS,
        select: blocks(fitting),
        algorithm: "fa1",
      }),
    UnsupportedError,
    "Cannot run FlashAttention-1 with what select (test) selects on the device",
  );
  // A block mask of the host goes with blocks of the device.
  const both = attentionProblem({
    ...OPTIONS,
    blockMask: blockMask(causal(), FITTING),
    select: blocks(fitting),
  });
  assertEquals(both.selection, fitting);
  const elsewhere = await ownGpu();
  try {
    await assertRejects(
      () => planAttention(elsewhere, { ...OPTIONS, select: blocks(fitting) }),
      TypeError,
      "select (test) blocks must be of the plan's Gpu",
    );
  } finally {
    elsewhere.destroy();
  }
});

gpuTest("a call with a bad policy leaves nothing behind", async (_, gpu) => {
  const host = ([...shape]: readonly number[]) => ({
    data: new Float32Array(shape.reduce((size, n) => size * n)),
    shape,
  });
  const options = {
    query: host(OPTIONS.query.shape),
    key: host(OPTIONS.key.shape),
    value: host(OPTIONS.value.shape),
  };
  const select: AttentionPolicy = {
    name: "test",
    select: () => {
      throw new RangeError("test must keep a key for each row: row 3");
    },
  };
  await assertRejects(
    () => attention(gpu, { ...options, select }),
    RangeError,
    "test must keep a key for each row: row 3",
  );
  using mask = await DeviceBlockMask.create(gpu, FITTING, { threshold: 0 });
  const failing = giving({
    blocks: {
      mask,
      encode: () => {
        throw new TypeError("test must have the gate's weights");
      },
    },
  });
  await assertRejects(
    () => attention(gpu, { ...options, select: failing }),
    TypeError,
    "test must have the gate's weights",
  );
});

gpuTest("explain() says which policy chose, and by what", async (_, gpu) => {
  using mask = await DeviceBlockMask.create(gpu, FITTING, { threshold: 0 });
  const blocks = { mask, encode: () => {} };
  for (
    const [given, by] of [
      [{}, []],
      [{ maskMods: [causal()] }, ["masks"]],
      [{ scoreMods: [softcap(4)], blocks }, ["scores", "blocks"]],
    ] as const
  ) {
    using plan = await planAttention(gpu, {
      ...OPTIONS,
      select: giving(given),
    });
    assertEquals(plan.explain().policy, { name: "test", by });
  }
  using plan = await planAttention(gpu, OPTIONS);
  assertEquals(plan.explain().policy, undefined);
});
