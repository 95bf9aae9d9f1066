import { assertEquals } from "@std/assert";
import { blockMask } from "../../reference/mod.ts";
import {
  type AttentionCase,
  offsetOf,
  PLAIN,
  referenceProblem,
} from "../support/attention/cases.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";

/** One head a kv head, so that a row of a tile is a query. */
const BASE: AttentionCase = {
  ...PLAIN,
  queryHeads: 1,
  kvHeads: 1,
  sequences: [[200, 300]],
};

/** Masks that intervals decide exactly: those without random content. */
const CASES: readonly AttentionCase[] = [
  BASE,
  { ...BASE, causal: true },
  { ...BASE, causal: true, queryOffset: 0 },
  { ...BASE, causal: true, queryOffset: -100 },
  { ...BASE, window: { left: 40, right: 3 } },
  { ...BASE, causal: true, window: { left: 33 } },
  { ...BASE, masks: [{ kind: "prefixLm", prefix: 70 }] },
  { ...BASE, masks: [{ kind: "document", length: 300, ids: 5 }] },
  { ...BASE, sequences: [[200, 0]], causal: true },
  { ...BASE, sequences: [[2, 3000]], causal: true, window: { left: 100 } },
];

gpuTest(
  "a plan visits the tiles that brute force finds, and no more",
  async (_, gpu) => {
    const results = await runCases(gpu, CASES);
    CASES.forEach((c, i) => {
      const { tileCounts, kernels } = results[i].explanation;
      const [{ tile: { rows, keys } }] = Object.values(kernels);
      const [queryLength, keyLength] = c.sequences[0];
      const problem = referenceProblem(c, {
        query: new Float32Array(0),
        key: new Float32Array(0),
        value: new Float32Array(0),
      }, 0);
      const kinds = blockMask({
        mask: problem.mask ?? (() => true),
        queryLength,
        keyLength,
        queryOffset: offsetOf(c, c.sequences[0]),
        rows,
        keys,
      });
      const tail = keyLength % keys === 0 ? 0 : 1;
      const flat = kinds.flat();
      // The last, shorter tile of keys checks the length, so it is not full.
      const full = kinds.map((row) =>
        row.slice(0, row.length - tail).filter((kind) => kind === "all").length
      );
      assertEquals(tileCounts, {
        total: flat.length,
        visited: flat.filter((kind) => kind !== "none").length,
        full: full.reduce((sum, count) => sum + count, 0),
      }, JSON.stringify(c));
    });
  },
);
