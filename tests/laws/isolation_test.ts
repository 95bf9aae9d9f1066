import { assert, assertEquals } from "@std/assert";
import {
  type AttentionCase,
  dataOf,
  PLAIN,
  type SequenceData,
} from "../support/attention/cases.ts";
import { assertClose, replayLine } from "../support/attention/check.ts";
import { type CaseResult, runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";

/** Forward, decode, standard and FlashAttention-1; masks whose tiles are partly visible. */
const CASES: readonly AttentionCase[] = [
  { ...PLAIN, sequences: [[40, 83]], causal: true },
  { ...PLAIN, sequences: [[2, 83]], causal: true },
  { ...PLAIN, sequences: [[2, 83]], causal: true, splits: 3 },
  { ...PLAIN, sequences: [[40, 83]], causal: true, splits: 3 },
  { ...PLAIN, sequences: [[40, 83]], causal: true, algorithm: "standard" },
  { ...PLAIN, sequences: [[40, 83]], causal: true, algorithm: "fa1" },
  {
    ...PLAIN,
    sequences: [[40, 83]],
    causal: true,
    layout: "paged",
    blockSize: 5,
  },
  {
    ...PLAIN,
    sequences: [[40, 83]],
    causal: true,
    score: { softcap: 50, alibi: true },
  },
  {
    ...PLAIN,
    sequences: [[2, 83]],
    causal: true,
    score: { softcap: 50, alibi: true },
  },
];

/** Keys that are seen by all, by some and by one of the queries. */
const KEYS = [0, 44, 60, 81, 82];

type Role = keyof SequenceData;

function poisoned(
  c: AttentionCase,
  role: Role,
  row: number,
  bad: number,
): SequenceData[] {
  const [data] = dataOf(c);
  const heads = role === "query" ? c.queryHeads : c.kvHeads;
  const width = heads * (role === "value" ? c.valueHeadDim : c.headDim);
  const copy = data[role].slice();
  copy.fill(bad, row * width, (row + 1) * width);
  return [{ ...data, [role]: copy }];
}

/** Replaces rows of a result by those of another where `keep` does not hold. */
function withRows(
  c: AttentionCase,
  result: CaseResult,
  other: CaseResult,
  keep: (query: number) => boolean,
): { output: Float32Array; lse: Float32Array } {
  const pick = (part: "output" | "lse", width: number) =>
    Float32Array.from(
      result[part],
      (x, n) => keep(Math.floor(n / width)) ? x : other[part][n],
    );
  return {
    output: pick("output", c.queryHeads * c.valueHeadDim),
    lse: pick("lse", c.queryHeads),
  };
}

for (const role of ["key", "value", "query"] as const) {
  gpuTest(
    `attention() keeps NaN and Inf in one ${role} from rows that do not see it`,
    async (_, gpu) => {
      const clean = await runCases(gpu, CASES);
      const runs = CASES.flatMap((c, i) => {
        const [queries] = c.sequences[0];
        const rows = role === "query" ? [0, queries - 1] : KEYS;
        return rows.flatMap((row) =>
          [NaN, Infinity, -Infinity].map((bad) => ({ c, i, row, bad }))
        );
      });
      const results = await runCases(gpu, runs.map(({ c }) => c), {
        data: (_, n) => poisoned(runs[n].c, role, runs[n].row, runs[n].bad),
      });
      runs.forEach(({ c, i, row, bad }, n) => {
        const [queries, keys] = c.sequences[0];
        const apart = (query: number) =>
          role === "query" ? query !== row : row > query + keys - queries;
        const others = withRows(c, results[n], clean[i], apart);
        assertClose(
          c,
          others,
          clean[i],
          `${role} ${row} is ${bad}\n${replayLine(c)}`,
        );
        // Softcap's tanh may turn NaN into a number, as WGSL allows.
        if (Number.isNaN(bad) && role !== "value" && !c.score) {
          const seen = Array.from({ length: queries }, (_, q) => q)
            .filter((query) => !apart(query));
          for (const query of seen) {
            const at = query * c.queryHeads * c.valueHeadDim;
            assert(
              Number.isNaN(results[n].output[at]),
              `row ${query} sees NaN in ${role} ${row}\n${replayLine(c)}`,
            );
          }
        }
      });
    },
  );
}

gpuTest("attention() never reads a sequence into another", async (_, gpu) => {
  const c: AttentionCase = {
    ...PLAIN,
    layout: "ragged",
    causal: true,
    sequences: [[40, 83], [2, 31], [17, 17]],
  };
  const data = dataOf(c);
  const [clean] = await runCases(gpu, [c]);
  const spoilt = data.map((it, i) =>
    i === 1
      ? {
        query: it.query.map(() => NaN),
        key: it.key.map(() => NaN),
        value: it.value.map(() => NaN),
      }
      : it
  );
  const [result] = await runCases(gpu, [c], { data: () => spoilt });
  const [from, end] = [40, 42].map((row) => row * c.queryHeads * 16);
  for (const part of [[0, from], [end, undefined]] as const) {
    assertEquals(result.output.slice(...part), clean.output.slice(...part));
  }
  assert(result.output.slice(from, end).every(Number.isNaN));
});
