/**
 * Holds gradients of attention cases against float64, by the error rule.
 *
 * @module
 */

import {
  attentionBackward,
  type BackwardProblem,
  compareErrors,
  compareWithBound,
  GRADIENT_GATES,
  gradientBound,
  naiveAttentionBackward,
  type ScoreFunction,
  storedOutputError,
} from "../../../reference/mod.ts";
import { mismatchTable } from "../../../reference/mismatch_table.ts";
import {
  dataOf,
  referenceProblem,
  type SequenceData,
} from "../attention/cases.ts";
import type { ScoreSpec } from "../attention/mods.ts";
import {
  type BackwardCase,
  type BackwardResults,
  sequenceGradients,
  type UpstreamData,
  upstreamOf,
} from "./runner.ts";

/** The three gradients. */
export const GRADIENT_NAMES = [
  "queryGradient",
  "keyGradient",
  "valueGradient",
] as const;

/** The derivative of a case's score mods, by their definitions. */
function scoreDerivative({ softcap }: ScoreSpec): ScoreFunction {
  return (score) =>
    softcap === undefined ? 1 : 1 - Math.tanh(score / softcap) ** 2;
}

/** One sequence of a case as the oracle takes it. */
export function backwardProblem(
  c: BackwardCase,
  { data, upstream }: {
    readonly data: SequenceData;
    readonly upstream: UpstreamData;
  },
  index: number,
): BackwardProblem {
  return {
    ...referenceProblem(c, data, index),
    ...upstream,
    ...(c.score && { scoreDerivative: scoreDerivative(c.score) }),
  };
}

/** The one command that runs a case again. */
export function backwardReplay(c: BackwardCase): string {
  return `QUIRE_CASE='${
    JSON.stringify(c)
  }' deno test -A tests/kernels/backward/backward_test.ts --filter "replay"`;
}

/** Fails unless a case's gradients keep the error rule; returns the closeness. */
export function checkBackward(
  c: BackwardCase,
  result: BackwardResults,
  data: readonly SequenceData[] = dataOf(c),
  upstream: readonly UpstreamData[] = upstreamOf(c),
): number {
  let closeness = 0;
  c.sequences.forEach((_, i) => {
    const problem = backwardProblem(
      c,
      { data: data[i], upstream: upstream[i] },
      i,
    );
    const actual = sequenceGradients(c, result, i);
    const expected = attentionBackward(problem);
    const { query, keyValue } = result.explanation.kernels;
    const bounds = gradientBound(problem, {
      rows: keyValue.tile.rows,
      keys: query.tile.keys,
      gate: GRADIENT_GATES.wgsl,
    });
    const half = c.dtype === "f16";
    const naive = half &&
      naiveAttentionBackward({ ...problem, precision: "f16" });
    const lost = half && storedOutputError(problem);
    for (const name of GRADIENT_NAMES) {
      const arrays = { actual: actual[name], expected: expected[name] };
      const compared = naive && lost
        ? compareErrors({ ...arrays, naive: naive[name], lost: lost[name] })
        : compareWithBound({ ...arrays, bound: bounds[name] });
      const bound = "maxBound" in compared ? compared.maxBound : compared.bound;
      if (bound > 0) closeness = Math.max(closeness, compared.max / bound);
      if (compared.ok) continue;
      throw new Error(`${name} of sequence ${i} against float64
${mismatchTable({ ...arrays, where: compared.where, bound })}
${JSON.stringify(compared)}
${backwardReplay(c)}`);
    }
    checkUnwritten(c, result, i);
  });
  return closeness;
}

/** Keys that are not written have gradients, and these are 0. */
function checkUnwritten(
  c: BackwardCase,
  { keyGradient, valueGradient, spans }: BackwardResults,
  index: number,
): void {
  const { start, count } = spans[index];
  const [, keys] = c.sequences[index];
  for (
    const [array, dim] of [
      [keyGradient, c.headDim],
      [valueGradient, c.valueHeadDim],
    ] as const
  ) {
    const width = c.kvHeads * dim;
    const padding = array.subarray(
      (start + keys) * width,
      (start + count) * width,
    );
    if (padding.every((x) => Object.is(x, 0))) continue;
    throw new Error(
      `gradients of keys past ${keys} of sequence ${index} are not 0\n${
        backwardReplay(c)
      }`,
    );
  }
}
