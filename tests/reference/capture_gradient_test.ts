import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  attention,
  attentionBackward,
  type BackwardProblem,
  captureGradient,
  dropoutKeep,
} from "../../reference/mod.ts";
import {
  alibi,
  bindRows,
  capture,
  relativeBias,
  scoreDerivative,
  scoreFunction,
  type ScoreMod,
  scoreMod,
  softcap,
} from "../../src/mods/mod.ts";
import { captureTerms } from "../../src/mods/derivative/capture_derivative.ts";
import { Prng } from "../../src/core/prng.ts";
import { property } from "../support/property.ts";
import { backwardOf, type Case, cases, normals } from "./cases.ts";

/** Lists of mods that read `table`, 12 floats. */
const MODS: Record<string, (table: Float32Array) => ScoreMod[]> = {
  "a relative bias": (table) => [relativeBias(table, [4, 3])],
  "slopes": (table) => [softcap(5), alibi(table, [2, 6])],
  "before a soft cap": (table) => [relativeBias(table, [4, 3]), softcap(3)],
  "a factor": (table) => {
    const own = capture(table);
    return [
      scoreMod("factor", ({ score, key }) => score.mul(own.at(key.rem(12)))),
    ];
  },
  "twice in one": (table) => {
    const own = capture(table, { shape: [3, 4] });
    return [
      scoreMod("twice", ({ score, head, query, key }) => {
        const here = own.at(head, key);
        return score.add(here.mul(own.at(query, 0)).tanh()).mul(here.exp());
      }),
      softcap(2),
    ];
  },
  "in two mods": (table) => {
    const own = capture(table);
    const bias = scoreMod(
      "bias",
      ({ score, key }) => score.add(own.at(key)),
    );
    return [bias, softcap(4), alibi(table, [12]), bias];
  },
  "by the score's sign": (table) => {
    const own = capture(table);
    return [
      scoreMod(
        "sign",
        ({ score, head }) =>
          score.add(own.at(score.gt(0.1).select(head, head.add(5)))),
      ),
    ];
  },
  "by the row": (table) => {
    const own = capture(table);
    return [scoreMod("row", ({ score, row }) => score.add(own.at(row)))];
  },
};

const small = cases({
  queryLength: fc.integer({ min: 1, max: 4 }),
  keyLength: fc.integer({ min: 1, max: 6 }),
  headDim: fc.integer({ min: 1, max: 3 }),
  valueHeadDim: fc.integer({ min: 1, max: 3 }),
  logitScale: fc.constant(1),
  score: fc.constant("none" as const),
});

function withMods(c: Case, mods: readonly ScoreMod[]): BackwardProblem {
  return {
    ...backwardOf(c),
    score: scoreFunction(mods),
    scoreDerivative: scoreDerivative(mods),
    keep: dropoutKeep({ rate: 0.2, seed: c.seed }),
  };
}

function lossOf(problem: BackwardProblem): number {
  const { output, lse } = attention(problem);
  let loss = 0;
  output.forEach((o, n) => loss += o * problem.outputGradient[n]);
  lse.forEach((l, n) => {
    if (l !== -Infinity) loss += l * problem.lseGradient![n];
  });
  return loss;
}

property(
  "captureGradient() is the slope of attention(), by finite differences",
  [small, fc.constantFrom(...Object.keys(MODS))],
  (c, name) => {
    const table = normals(new Prng(c.seed + 5), 12, 0.5);
    const offsets = new Array(c.batch).fill(c.keyLength - c.queryLength);
    const mods = bindRows(MODS[name](table), offsets);
    const problem = withMods(c, mods);
    const { gradient, visit } = captureGradient(mods, table);
    attentionBackward({ ...problem, onScoreGradient: visit });
    table.forEach((x, n) => {
      // Exact in float32.
      const h = 2 ** -9;
      const at = (step: number) => {
        table[n] = x + step;
        const moved = table[n] - x;
        const loss = lossOf(problem);
        table[n] = x;
        return [moved, loss];
      };
      const [[up, over], [down, under]] = [at(h), at(-h)];
      const slope = (over - under) / (up - down);
      const off = Math.abs(gradient[n] - slope);
      assert(
        off < 1e-3 * (1 + Math.abs(slope)),
        `${n}: ${gradient[n]}, ${slope}`,
      );
    });
  },
  { runs: 200 },
);

Deno.test("captureTerms() name each place once, with what follows it", () => {
  const table = Float32Array.of(1, 2);
  const own = capture(table);
  const mods = [
    scoreMod("add", ({ score, key }) => score.add(own.at(key))),
    scoreMod("twice", ({ score }) => score.mul(2)),
    scoreMod("slope", ({ score, head }) => score.sub(own.at(head).mul(3))),
  ];
  const terms = captureTerms(mods, own);
  const slopes = terms.map(({ slope }) =>
    slope.kind === "literal" && slope.value
  );
  assertEquals(slopes, [2, -3]);
  assertEquals(captureTerms(mods, table).length, 2);
});

Deno.test("captureTerms() leave out what does not move the score", () => {
  const own = capture(Float32Array.of(1, 2));
  const only = scoreMod(
    "condition",
    ({ score, key }) => own.at(key).gt(1).select(score, score.neg()),
  );
  assertEquals(captureTerms([only], own), []);
});

Deno.test("captureTerms() refuse what no mod captures, and integers", () => {
  const table = Float32Array.of(1, 2);
  const ints = capture(Int32Array.of(1, 2));
  const mods = [
    alibi(table),
    scoreMod("int", ({ score, key }) => score.add(ints.at(key).toFloat())),
  ];
  assertThrows(
    () => captureGradient(mods, Float32Array.of(1, 2)),
    TypeError,
    "captured must be captured by a score mod",
  );
  assertThrows(
    () => captureGradient(mods, ints),
    TypeError,
    "captured must be floats",
  );
});
