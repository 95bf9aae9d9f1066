/**
 * Reading shared blocks once changes no result.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { type AttentionCase, PLAIN } from "../support/attention/cases.ts";
import { assertClose, checkCase } from "../support/attention/check.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";

/** One prompt and many continuations, of which some share more. */
const SHARED: AttentionCase = {
  ...PLAIN,
  layout: "paged",
  queryHeads: 4,
  kvHeads: 2,
  sequences: [[1, 500], [1, 450], [1, 448], [2, 500], [1, 390], [1, 90]],
  inherits: [0, 320, 400, 320, 384, 80],
};

/** Everything that a mod may ask of a row, in one source. */
const MODS: Partial<AttentionCase> = {
  causal: true,
  score: { alibi: true, softcap: 20 },
  masks: [{ kind: "batchStride" }],
};

/** Few sources, as each has to be compiled for every partition. */
const KINDS: readonly Partial<AttentionCase>[] = [
  {},
  { causal: true },
  { ...MODS, window: { left: 300 } },
  { ...MODS, window: { left: 20 } },
  // Many rows: the forward kernel reads both the prefix and the rest.
  {
    sequences: [[40, 300], [17, 280], [1, 310], [9, 256]],
    inherits: [0, 256, 256, 256],
    causal: true,
  },
  // Nobody has keys of its own.
  { sequences: [[1, 128], [1, 128], [1, 128]], inherits: [0, 128, 128] },
  // Not one after the other in the batch.
  {
    sequences: [[1, 300], [2, 40], [1, 300], [3, 80], [2, 300]],
    inherits: [0, 0, 256, 0, 280],
    heirOf: [0, 0, 0, 0, 2],
  },
];

gpuTest(
  "attention() of shared prefixes is attention() flat",
  async (_, gpu) => {
    for (const kind of KINDS) {
      const c: AttentionCase = { ...SHARED, ...kind };
      const cases: AttentionCase[] = [
        c,
        { ...c, sharedPrefix: "always" },
        { ...c, sharedPrefix: "always", splits: 3 },
      ];
      if (!kind.causal) {
        cases.push(
          { ...c, sharedPrefix: "always", splits: "stream-k", workers: 7 },
          { ...c, sharedPrefix: "auto", splits: "auto", workers: 1 },
        );
      }
      const [flat, ...shared] = await runCases(gpu, cases);
      assertEquals(flat.explanation.sharedKeys, []);
      shared.forEach((result, i) => {
        assert(
          i === 3 || result.explanation.sharedKeys.length > 0,
          "nothing is shared",
        );
        checkCase(cases[i + 1], result);
        assertClose(c, result, flat, `${JSON.stringify(cases[i + 1])} is flat`);
      });
    }
  },
);

gpuTest(
  "attention() shares to any depth, and what is worth it",
  async (_, gpu) => {
    const [deep, one, none] = await runCases(gpu, [
      { ...SHARED, sharedPrefix: "always" },
      {
        ...SHARED,
        sequences: SHARED.sequences.map(() => [1, 4096]),
        inherits: [0, 4096, 4096, 4096, 4096, 4096],
        sharedPrefix: "auto",
        workers: 1,
      },
      { ...SHARED, sharedPrefix: "auto", workers: 65535 },
    ]);
    const keys = (of: typeof deep) =>
      of.explanation.sharedKeys.map(({ from, end }) => [from, end]);
    assertEquals(keys(deep), [[0, 64], [64, 320], [320, 384], [
      320,
      384,
    ]]);
    assertEquals(keys(one), [[0, 4096]]);
    assertEquals(keys(none), []);
  },
);
