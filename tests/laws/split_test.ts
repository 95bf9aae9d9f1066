import { assert, assertEquals } from "@std/assert";
import { errorBound, GATES } from "../../reference/mod.ts";
import type { AttentionPart } from "../../src/ops/mod.ts";
import { mergeAttention } from "../../src/ops/mod.ts";
import {
  type AttentionCase,
  dataOf,
  PLAIN,
  referenceProblem,
  type SequenceData,
} from "../support/attention/cases.ts";
import {
  assertClose,
  assertSameBits,
  checkCase,
} from "../support/attention/check.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";
import type { Gpu } from "../../src/gpu/mod.ts";

const SPLITS = [1, 2, 3, 5, 16, 1000, "fixed", "auto"] as const;
const WORKERS = [1, 2, 3, 4, 5, 6, 7, 8, 13, 21, 64, 1000, 65535];

const LONG: readonly AttentionCase[] = [
  { ...PLAIN, layout: "ragged", sequences: [[1, 1300], [2, 65]] },
  { ...PLAIN, layout: "ragged", sequences: [[40, 339]], causal: true },
  { ...PLAIN, layout: "ragged", sequences: [[40, 9]], causal: true },
  {
    ...PLAIN,
    layout: "ragged",
    queryHeads: 4,
    kvHeads: 2,
    sequences: [[1, 700], [2, 65], [1, 0], [0, 9], [1, 1], [40, 339]],
    causal: true,
  },
  { ...PLAIN, kvHeads: 2, sequences: [[1, 700], [1, 650], [1, 9]] },
];

gpuTest("attention() split is attention() unsplit", async (_, gpu) => {
  for (const c of LONG) {
    const cases = SPLITS.map((splits): AttentionCase => ({ ...c, splits }));
    const results = await runCases(gpu, cases);
    cases.forEach((split, i) => {
      checkCase(split, results[i]);
      assertClose(split, results[i], results[0], `${split.splits} splits`);
    });
  }
});

gpuTest(
  "attention() by stream-K is attention() unsplit, for every number of workers",
  async (_, gpu) => {
    for (const c of LONG) {
      const cases: AttentionCase[] = [
        { ...c, splits: 1 },
        ...WORKERS.map((workers): AttentionCase => ({
          ...c,
          splits: "stream-k",
          workers,
        })),
      ];
      const results = await runCases(gpu, cases);
      cases.slice(1).forEach((one, i) => {
        checkCase(one, results[i + 1]);
        assertClose(c, results[i + 1], results[0], `${one.workers} workers`);
      });
    }
  },
);

gpuTest(
  "attention() with one split is attention() with none, bitwise",
  async (_, gpu) => {
    for (const c of LONG.slice(1, 3)) {
      const cases: AttentionCase[] = [c, { ...c, splits: 1 }];
      const [none, one] = await runCases(gpu, cases);
      assertSameBits(one, none, "one split");
    }
  },
);

/** Attention over keys `from` to `end` of a sequence, as device tensors. */
async function partOf(
  gpu: Gpu,
  c: AttentionCase,
  { query, key, value }: SequenceData,
  [from, end]: readonly [number, number],
): Promise<AttentionPart> {
  const [queries] = c.sequences[0];
  const part: AttentionCase = { ...c, sequences: [[queries, end - from]] };
  const width = c.kvHeads * c.headDim;
  const valueWidth = c.kvHeads * c.valueHeadDim;
  const [result] = await runCases(gpu, [part], {
    data: () => [{
      query,
      key: key.slice(from * width, end * width),
      value: value.slice(from * valueWidth, end * valueWidth),
    }],
  });
  const rows = [queries, c.queryHeads];
  return {
    output: gpu.tensor(result.output, [...rows, c.valueHeadDim]),
    lse: gpu.tensor(result.lse, rows),
  };
}

gpuTest(
  "mergeAttention() is associative, and has an identity",
  async (_, gpu) => {
    const c: AttentionCase = { ...PLAIN, sequences: [[9, 100]] };
    const [data] = dataOf(c);
    const cuts = [[0, 31], [31, 32], [32, 100], [0, 0]] as const;
    const [x, y, z, empty] = await Promise.all(
      cuts.map((cut) => partOf(gpu, c, data, cut)),
    );
    const made: AttentionPart[] = [x, y, z, empty];
    const merge = async (...parts: AttentionPart[]) => {
      const merged = await mergeAttention(gpu, parts);
      made.push(merged);
      return merged;
    };
    const left = await merge(await merge(x, y), z);
    const right = await merge(x, await merge(y, z));
    const turned = await merge(z, y, x);
    const padded = [await merge(empty, x, empty), await merge(x)];
    const read = async ({ output, lse }: AttentionPart) => {
      const [o, l] = await gpu.read([output, lse]);
      return { output: o as Float32Array, lse: l as Float32Array };
    };
    const [whole] = await runCases(gpu, [c]);
    for (const merged of [left, right, turned]) {
      assertClose(c, await read(merged), whole, "merged");
    }
    for (const same of padded) {
      assertSameBits(await read(same), await read(x), "merged with no keys");
    }
    for (const { output, lse } of made) {
      output.destroy();
      lse.destroy();
    }
  },
);

gpuTest("attention() does not depend on the order of keys", async (_, gpu) => {
  const cases: AttentionCase[] = [
    { ...PLAIN, sequences: [[40, 200]] },
    { ...PLAIN, sequences: [[1, 200]] },
  ];
  const straight = await runCases(gpu, cases);
  const turned = await runCases(gpu, cases, {
    data: (c) =>
      dataOf(c).map(({ query, key, value }) => ({
        query,
        key: reversedRows(key, c.kvHeads * c.headDim),
        value: reversedRows(value, c.kvHeads * c.valueHeadDim),
      })),
  });
  cases.forEach((c, i) =>
    assertClose(c, turned[i], straight[i], "keys in reverse")
  );
});

function reversedRows(data: Float32Array, width: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let at = 0; at < data.length; at += width) {
    out.set(data.subarray(at, at + width), data.length - at - width);
  }
  return out;
}

gpuTest(
  "attention() over keys that are all alike is their value",
  async (_, gpu) => {
    const c: AttentionCase = {
      ...PLAIN,
      sequences: [[40, 300]],
      distribution: "equal",
    };
    const [{ output, lse }] = await runCases(gpu, [c]);
    const problem = referenceProblem(c, dataOf(c)[0], 0);
    const bound = errorBound(problem, { keys: 16, gate: GATES.wgsl });
    assert(output.every((x) => Math.abs(x - 1) <= bound.output));
    assertEquals(new Set(output).size, 1);
    // Every score is sqrt(16).
    const expected = 4 + Math.log(300);
    assert(lse.every((x) => Math.abs(x - expected) <= bound.lse));
  },
);
