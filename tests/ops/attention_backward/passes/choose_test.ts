/**
 * When gradients of scores are stored, and what is said where they are not.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { attentionProblem } from "../../../../src/ops/mod.ts";
import type { BackwardChoices } from "../../../../src/ops/mod.ts";
import { backwardParts } from "../../../../src/ops/attention_backward/parts.ts";
import type { PlanDevice } from "../../../../src/ops/attention/variants/variant.ts";

const DEVICE: PlanDevice = {
  software: true,
  maxLoopIterations: 65535,
  features: new Set(),
  limits: {
    maxComputeWorkgroupStorageSize: 16384,
    maxComputeWorkgroupsPerDimension: 65535,
  },
};

interface Chosen extends BackwardChoices {
  readonly tokens?: number;
  readonly queries?: number;
  readonly heads?: number;
}

function chosen(
  { tokens = 512, queries = tokens, heads = 1, ...choices }: Chosen = {},
  device: PlanDevice = DEVICE,
) {
  const of = (length: number) =>
    ({ dtype: "f32", shape: [1, length, heads, 64] }) as const;
  return backwardParts(
    {
      problem: attentionProblem({
        query: of(queries),
        key: of(tokens),
        value: of(tokens),
        returnLse: true,
      }),
      lseGradient: false,
    },
    device,
    choices,
  ).explanation;
}

Deno.test("gradients of scores are stored on software adapters", () => {
  const { scoreGradients, passedOver, rounds, dispatches } = chosen();
  assertEquals([scoreGradients, passedOver, rounds], ["stored", undefined, 2]);
  assertEquals(dispatches.map(({ kernel }) => kernel.split("/")[0]), [
    "attention.backward.delta",
    "attention.backward.value",
    "attention.backward.product.key",
    "attention.backward.product.query",
    "attention.backward.value",
    "attention.backward.product.key",
    "attention.backward.product.query",
  ]);
});

Deno.test("explain() says why gradients of scores are not stored", () => {
  const why = (choices: Chosen, device?: PlanDevice) => {
    const { scoreGradients, passedOver } = chosen(choices, device);
    assertEquals(scoreGradients, "recomputed");
    assertEquals(passedOver?.variant, "stored");
    return passedOver!.why;
  };
  assertEquals(
    why({}, { ...DEVICE, software: false }),
    "not measured on this kind of device",
  );
  assertEquals(why({ scoreGradients: "recomputed" }), "it was not asked for");
  assertEquals(why({ splits: 2 }), "its loops are not split");
  assertEquals(why({ queries: 31 }), "fewer than 32 packed query rows");
  assertEquals(
    why({ tiles: { rows: 6 } }),
    "a step's rows are no whole fours",
  );
  assertEquals(
    why({ tiles: { rows: 12 } }),
    "a row tile is no whole number of steps",
  );
  assertEquals(
    why({ tiles: { keys: 3 } }),
    "a key tile is no whole number of steps",
  );
  assertEquals(
    why({}, { ...DEVICE, maxLoopIterations: 1000 }),
    "its loops would be cut",
  );
  assertEquals(
    why({ tokens: 8192, heads: 64, tiles: { storedKeys: 16 } }),
    "gradients of the scores of 64 keys take more than 33554432 bytes",
  );
  assertEquals(
    why({ tokens: 129 * 64, tiles: { storedKeys: 64 } }),
    "a sequence's keys take more than 128 rounds",
  );
  // Of halves, these are twice as large as the queries.
  const sums = 512 * 64 * 4;
  const bound = (maxStorageBufferBindingSize: number): PlanDevice => ({
    ...DEVICE,
    limits: { ...DEVICE.limits, maxStorageBufferBindingSize },
  });
  assertEquals(
    why({}, bound(sums - 1)),
    `sums between rounds take more than ${sums - 1} bytes`,
  );
  assertEquals(chosen({}, bound(sums)).scoreGradients, "stored");
});

Deno.test("storing gradients of scores is refused where it cannot be", () => {
  assertEquals(
    chosen(
      { scoreGradients: "stored", queries: 5 },
      { ...DEVICE, software: false },
    ).scoreGradients,
    "stored",
  );
  assertThrows(
    () => chosen({ scoreGradients: "stored", splits: 3 }),
    RangeError,
    'scoreGradients must be "auto" or "recomputed" here: its loops are not split',
  );
  assertThrows(
    () => chosen({ scoreGradients: "twice" as "auto" }),
    TypeError,
    'scoreGradients must be "auto" or "stored" or "recomputed"',
  );
});

Deno.test("what is stored grows with tokens, up to a bound", () => {
  const bytes = [1024, 2048, 4096].map((tokens) =>
    chosen({ tokens }).scratchBytes
  );
  // Statistics; 256 keys of each row; and sums of 64 elements.
  assertEquals(
    bytes,
    [1024, 2048, 4096].map((tokens) => tokens * (8 + 4 * 256 + 4 * 64)),
  );
  const wide = chosen({ tokens: 8192, heads: 12 });
  assert(wide.scratchBytes <= 2 ** 25 + 8192 * 12 * (8 + 4 * 64));
  assertEquals([wide.scoreGradients, wide.rounds], ["stored", 128]);
});
