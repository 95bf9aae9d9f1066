/**
 * Tests of the page that need more than one run of one case.
 *
 * @module
 */

import { attention, type Gpu, KvCache } from "../../mod.ts";
import { runProbes } from "../../src/gpu/probes/probes.ts";
import {
  type AttentionCase,
  dataOf,
  PLAIN,
  type SequenceData,
} from "../support/attention/cases.ts";
import { checkCase } from "../support/attention/check.ts";
import { type CaseResult, runCases } from "../support/attention/runner.ts";
import { appendRows } from "../support/attention/storage.ts";

/** Sequences of all kinds: short, long, without queries, without keys. */
export const RAGGED = [[5, 5], [0, 3], [1, 40], [33, 0], [19, 70]] as const;
const MIXED: AttentionCase = {
  ...PLAIN,
  layout: "ragged",
  sequences: RAGGED,
  causal: true,
};
type Bits = Pick<CaseResult, "output" | "lse">;

function checkBits(what: string, a: Bits, b: Bits): void {
  for (const name of ["output", "lse"] as const) {
    const same = a[name].length === b[name].length &&
      Array.from(a[name]).every((x, i) => Object.is(x, b[name][i]));
    if (!same) throw new Error(`${what}: ${name} differs`);
  }
}

/** The operation gives what its plan gives. */
export async function takesHostArrays(gpu: Gpu): Promise<void> {
  const [{ query, key, value }] = dataOf(PLAIN);
  const tensor = (data: Float32Array, heads: number) => ({
    data,
    shape: [1, 17, heads, 16],
  });
  const { output } = await attention(gpu, {
    query: tensor(query, 2),
    key: tensor(key, 1),
    value: tensor(value, 1),
  });
  const [{ output: expected }] = await runCases(gpu, [{
    ...PLAIN,
    tiles: "device",
  }]);
  const none = new Float32Array();
  checkBits("attention() and its plan", { output: output.data, lse: none }, {
    output: expected,
    lse: none,
  });
}

/** Twenty runs give the same bits. */
export async function repeats(gpu: Gpu): Promise<void> {
  const [first, ...others] = await runCases(gpu, Array(20).fill(MIXED));
  others.forEach((other, i) => checkBits(`repeat ${i + 1}`, other, first));
}

/** A row's bits do not depend on what else is in the batch. */
export async function ignoresBatch(gpu: Gpu): Promise<void> {
  const last = dataOf(MIXED)[RAGGED.length - 1];
  const [whole] = await runCases(gpu, [MIXED]);
  const [alone] = await runCases(
    gpu,
    [{ ...MIXED, sequences: RAGGED.slice(-1) }],
    { data: () => [last] },
  );
  checkBits("alone or in a batch", alone, {
    output: whole.output.slice(-alone.output.length),
    lse: whole.lse.slice(-alone.lse.length),
  });
}

/** Forks a sequence within a block, appends to both, and reads both. */
export async function isolatesForks(gpu: Gpu): Promise<void> {
  const shared = 21;
  const c: AttentionCase = {
    ...PLAIN,
    layout: "cache",
    sequences: [[3, shared + 9], [3, shared + 4]],
    causal: true,
  };
  const [first, other] = dataOf(c);
  const second = withPrefix(other, first, shared * c.kvHeads);
  const { kvHeads, headDim } = c;
  const cache = await KvCache.create(gpu, { numBlocks: 8, kvHeads, headDim });
  try {
    const parent = cache.createSequence();
    appendRows(cache, parent, c, first, shared);
    const child = parent.fork();
    appendRows(cache, parent, c, first, 9);
    appendRows(cache, child, c, second, 4);
    const { output, lse } = await attention(gpu, {
      cache,
      sequences: [parent, child],
      query: {
        data: Float32Array.from([...first.query, ...second.query]),
        shape: [2, 3, c.queryHeads, c.headDim],
      },
      causal: true,
      returnLse: true,
    });
    const explanation = (await runCases(gpu, [c]))[0].explanation;
    checkCase(
      c,
      {
        output: output.data,
        lse: lse!.data as Float32Array,
        explanation,
      },
      "",
      [first, second],
    );
  } finally {
    cache.destroy();
  }
}

/** A sequence's data with its first `rows` keys and values of another. */
function withPrefix(
  data: SequenceData,
  prefix: SequenceData,
  rows: number,
): SequenceData {
  const part = (role: "key" | "value") => {
    const out = data[role].slice();
    out.set(prefix[role].subarray(0, rows * PLAIN.headDim));
    return out;
  };
  return { query: data.query, key: part("key"), value: part("value") };
}

/** Faults of today's browsers and drivers that no kernel here meets. */
const KNOWN_WRONG = ["loop_var_reinit", "long_loops"];

/** Shaders compute what WGSL says, as far as kernels rely on it. */
export async function passesProbes(gpu: Gpu): Promise<void> {
  for (const { name, ok, detail } of await runProbes(gpu)) {
    if (ok === false && !KNOWN_WRONG.includes(name)) {
      throw new Error(`${name}: ${detail}`);
    }
  }
}
