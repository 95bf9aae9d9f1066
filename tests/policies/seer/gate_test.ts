/**
 * A Seer gate on the device against its twin: shares by the error rule, and of
 * the shares on the device the very blocks that the twin selects of them.
 */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { seerSelect, seerTopK } from "../../../reference/policies/seer.ts";
import {
  SeerGate,
  type SeerGateOptions,
  type SeerSelection,
} from "../../../src/policies/mod.ts";
import type { Gpu } from "../../../src/gpu/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { checkResult } from "../../support/layer_runner.ts";
import { checkProperty } from "../../support/property.ts";
import {
  allScores,
  given,
  record,
  type SeerCase,
  type SeerData,
  seerData,
} from "./cases.ts";

const CASES: readonly SeerCase[] = [
  { lengths: [[70, 70]] },
  { lengths: [[70, 70]], gateDim: 12 },
  // Ragged, with chunks that do not begin where a block does, and one key.
  { lengths: [[13, 50], [1, 1], [40, 40], [0, 9], [3, 64]] },
  { lengths: [[13, 50], [33, 33]], gateDim: 6, headDim: 5, block: 5 },
  // Rows whose last element has no other to turn with.
  { lengths: [[13, 20]], headDim: 5, block: 5 },
  { lengths: [[30, 41]], causal: false, pairing: "interleaved" },
  { lengths: [[24, 24]], pairing: "none", kvHeads: 1 },
  // More blocks than lanes, and than bits of a word.
  { lengths: [[7, 96]], block: 1, queryHeads: 4, headDim: 4 },
  // More queries than keys: the first ones see none, or end right before them.
  { lengths: [[40, 17], [40, 16]] },
  { lengths: [[20, 41], [30, 30]], before: 5 },
];

const HALF: readonly SeerCase[] = [
  { lengths: [[20, 30]], dtype: "f16", gateDim: 8 },
];

/** Sequences of any lengths and places, of few kernels. */
const ANY_CASE: fc.Arbitrary<SeerCase> = fc.record({
  lengths: fc.array(fc.tuple(fc.nat({ max: 40 }), fc.nat({ max: 60 })), {
    minLength: 1,
    maxLength: 3,
  }),
  kvHeads: fc.constantFrom(1, 2, 4),
  block: fc.constantFrom(1, 3, 8, 16),
  causal: fc.boolean(),
  before: fc.constantFrom(0, 5),
  seed: fc.nat(),
});

gpuTest(
  "shares are the twin's, and so are the blocks of them",
  async (_, gpu) => {
    const half = gpu.features.has("shader-f16") ? HALF : [];
    await checkCases(gpu, [...CASES, ...half]);
  },
);

gpuTest(
  "so they are of sequences of any lengths and places",
  async (_, gpu) => {
    await checkProperty(
      "so they are of sequences of any lengths and places",
      [fc.array(ANY_CASE, { minLength: 3, maxLength: 3 })],
      (cases) => checkCases(gpu, cases),
      { runs: 2 },
    );
  },
);

/** Runs cases in one submit, each with every rule, and holds what they give. */
async function checkCases(gpu: Gpu, cases: readonly SeerCase[]): Promise<void> {
  const owned: { destroy(): void }[] = [];
  const keep = <T extends { destroy(): void }>(one: T): T => {
    owned.push(one);
    return one;
  };
  const runs: Run[] = [];
  try {
    for (const c of cases) {
      const data = seerData(c);
      // A density is for sequences of as many blocks.
      const density = data.problems.length === 1 ? [{ density: 0.6 }] : [];
      for (const rule of [{ threshold: 0.2 }, { topK: 2 }, ...density]) {
        const gate = keep(
          await SeerGate.create(gpu, { ...data.gate, ...rule }),
        );
        const select = keep(await gate.select(given(data)));
        runs.push({ c, data, rule, select });
      }
    }
    gpu.submit("selections", (encoder) => {
      for (const { data, select } of runs) record(encoder, select, data);
    });
    const arrays = await gpu.read(
      runs.flatMap(({ select }) => [
        select.scores,
        select.counts,
        select.mask.bits,
      ]),
    );
    runs.forEach((run, i) => {
      const [scores, counts, bits] = arrays.slice(3 * i);
      checkRun(run, {
        scores: scores as Float32Array,
        counts: counts as Uint32Array,
        bits: bits as Uint32Array,
      });
    });
  } finally {
    for (const one of owned) one.destroy();
  }
}

/** A selection, and of what. */
interface Run {
  readonly c: SeerCase;
  readonly data: SeerData;
  readonly rule: Pick<SeerGateOptions, "threshold" | "topK" | "density">;
  readonly select: SeerSelection;
}

/** Holds shares against the twin's, and blocks against those of the shares. */
function checkRun(
  { c, data, rule, select }: Run,
  { scores, counts, bits }: {
    readonly scores: Float32Array;
    readonly counts: Uint32Array;
    readonly bits: Uint32Array;
  },
): void {
  const { problems } = data;
  const { grid } = select.mask;
  const { heads, queryBlocks, keyBlocks } = grid;
  const label = JSON.stringify({ ...c, ...rule });
  checkResult(label, { scores }, (round) => ({
    scores: allScores(problems, grid, round),
  }));
  const words = Math.ceil(keyBlocks / 32);
  problems.forEach((problem, i) => {
    const rows = Math.ceil(problem.queries / problem.block);
    const columns = Math.ceil(problem.keys / problem.block);
    // The row of the grid that a row of the sequence is.
    const rowAt = (row: number) =>
      (i * heads + Math.floor(row / rows)) * queryBlocks + row % rows;
    const shares = Array.from(
      { length: heads * rows * columns },
      (_, at) =>
        scores[rowAt(Math.floor(at / columns)) * keyBlocks + at % columns],
    );
    const expected = seerSelect(shares, problem, {
      ...rule,
      ...(rule.density && { topK: seerTopK(rule.density, columns) }),
      denseRows: 2,
    });
    for (let row = 0; row < heads * rows; row++) {
      const at = rowAt(row);
      const of = `${label}: sequence ${i}, row ${row}`;
      assertEquals(counts[at], expected.counts[row], of);
      const kept = Array.from(
        { length: 32 * words },
        (_, j) => (bits[at * words + (j >> 5)] >>> (j & 31)) & 1,
      );
      const wanted = expected.kept.subarray(row * columns, (row + 1) * columns);
      assertEquals(kept.slice(0, columns), [...wanted], of);
      assert(kept.slice(columns).every((bit) => bit === 0), of);
    }
    // What the grid has besides is nothing.
    for (let row = rows; row < queryBlocks; row++) {
      for (let head = 0; head < heads; head++) {
        const at = (i * heads + head) * queryBlocks + row;
        assert(
          bits.subarray(at * words, (at + 1) * words).every((x) => x === 0),
        );
        assertEquals(counts[at], 0);
      }
    }
  });
}
