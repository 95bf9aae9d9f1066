import {
  type AttentionCase,
  dataOf,
  PLAIN,
  type SequenceData,
} from "../support/attention/cases.ts";
import { assertSameBits, replayLine } from "../support/attention/check.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";

/** Each head of `[rows, heads, dim]` `times` times in a row. */
function repeatHeads(
  data: Float32Array,
  dim: number,
  times: number,
): Float32Array {
  const out = new Float32Array(data.length * times);
  for (let at = 0; at < data.length; at += dim) {
    const head = data.subarray(at, at + dim);
    for (let n = 0; n < times; n++) out.set(head, at * times + n * dim);
  }
  return out;
}

/** With few rows or with many, so that both calls take the same kernel. */
const CASES: readonly AttentionCase[] = [
  { ...PLAIN, queryHeads: 6, kvHeads: 2, sequences: [[40, 83]], causal: true },
  { ...PLAIN, queryHeads: 4, kvHeads: 1, sequences: [[40, 83]] },
  { ...PLAIN, queryHeads: 2, kvHeads: 1, sequences: [[2, 300]], causal: true },
  { ...PLAIN, queryHeads: 6, kvHeads: 2, sequences: [[1, 300]] },
];

gpuTest(
  "attention() with shared kv heads is attention() with them repeated, bitwise",
  async (_, gpu) => {
    const repeated = CASES.map((c): AttentionCase => ({
      ...c,
      kvHeads: c.queryHeads,
    }));
    const data = CASES.map((c) =>
      dataOf(c).map(({ query, key, value }): SequenceData => ({
        query,
        key: repeatHeads(key, c.headDim, c.queryHeads / c.kvHeads),
        value: repeatHeads(value, c.valueHeadDim, c.queryHeads / c.kvHeads),
      }))
    );
    const shared = await runCases(gpu, CASES);
    const alone = await runCases(gpu, repeated, { data: (_, i) => data[i] });
    CASES.forEach((c, i) => assertSameBits(alone[i], shared[i], replayLine(c)));
  },
);
