/**
 * The kernel suite that a browser runs: few cases, one of each kind, against
 * the float64 reference. Nothing here needs Deno.
 *
 * @module
 */

import type { Gpu } from "../../mod.ts";
import { type AttentionCase, PLAIN } from "../support/attention/cases.ts";
import { checkCase } from "../support/attention/check.ts";
import { runCases } from "../support/attention/runner.ts";
import { EXAMPLE_CHECKS } from "./example_checks.ts";
import {
  ignoresBatch,
  isolatesForks,
  passesProbes,
  RAGGED,
  repeats,
  takesHostArrays,
} from "./browser_laws.ts";

/** One test of the page. */
export interface PageTest {
  /** What it says. */
  readonly name: string;
  /** Features without which it is skipped. */
  readonly features?: readonly string[];
  /** Throws where it fails. */
  readonly run: (gpu: Gpu) => Promise<void>;
}

function against(
  name: string,
  change: Partial<AttentionCase>,
): PageTest {
  const c: AttentionCase = { ...PLAIN, ...change };
  return {
    name: `attention() ${name}`,
    ...(c.dtype === "f16" && { features: ["shader-f16"] }),
    run: async (gpu) => {
      const [result] = await runCases(gpu, [c]);
      checkCase(c, result);
    },
  };
}

const DECODE = [[1, 700], [1, 1], [1, 333]] as const;

/** All tests of the page. */
export const PAGE_TESTS: readonly PageTest[] = [
  against("is right: dense", {}),
  against("is right: causal", { causal: true, sequences: [[45, 45]] }),
  against("is right: a batch with more keys than queries", {
    causal: true,
    sequences: [[9, 70], [9, 70]],
  }),
  against("is right: more queries than keys, empty rows", {
    causal: true,
    sequences: [[40, 9]],
  }),
  against("is right: grouped queries", {
    causal: true,
    queryHeads: 6,
    kvHeads: 2,
  }),
  against("is right: odd head dims", { headDim: 13, valueHeadDim: 7 }),
  against("is right: head dim 80, value head dim 128", {
    headDim: 80,
    valueHeadDim: 128,
    sequences: [[20, 50]],
  }),
  against("is right: ragged", { layout: "ragged", sequences: RAGGED }),
  against("is right: ragged and causal, with padding", {
    layout: "ragged",
    sequences: RAGGED,
    causal: true,
    padding: 3,
  }),
  against("is right: paged, blocks of 16", {
    layout: "paged",
    sequences: RAGGED,
    causal: true,
  }),
  against("is right: paged, blocks of 5", {
    layout: "paged",
    sequences: RAGGED,
    blockSize: 5,
  }),
  against("is right: a cache", {
    layout: "cache",
    sequences: RAGGED,
    causal: true,
  }),
  against("is right: a cache of two arenas", {
    layout: "cache",
    sequences: RAGGED,
    causal: true,
    segments: 2,
  }),
  against("is right: a contiguous cache", {
    layout: "contiguous",
    sequences: RAGGED,
    causal: true,
  }),
  against("is right: decode from a cache", {
    layout: "cache",
    sequences: DECODE,
    queryHeads: 4,
    kvHeads: 2,
  }),
  against("is right: decode with three splits", {
    layout: "cache",
    sequences: DECODE,
    splits: 3,
  }),
  against("is right: decode by stream-K", {
    layout: "cache",
    sequences: DECODE,
    splits: "stream-k",
    workers: 3,
  }),
  against("is right: a shared prefix, causal, ALiBi", {
    layout: "paged",
    sequences: [[1, 300], [3, 280]],
    inherits: [0, 260],
    sharedPrefix: "always",
    causal: true,
    score: { alibi: true },
  }),
  against("is right: a window of keys", {
    window: { left: 4, right: 2 },
    sequences: [[30, 60]],
  }),
  against("is right: prefix-LM and documents", {
    masks: [{ kind: "prefixLm", prefix: 7 }, {
      kind: "document",
      length: 40,
      ids: 3,
    }],
    sequences: [[40, 40]],
  }),
  against("is right: a boolean mask and a bias", {
    masks: [{ kind: "boolean", shape: [2, 20, 33], density: 0.5 }],
    score: { bias: [2, 20, 33] },
    sequences: [[20, 33]],
  }),
  against("is right: softcap and ALiBi", {
    causal: true,
    score: { softcap: 3, alibi: true },
  }),
  against("is right: large scores", { distribution: "large" }),
  against("is right: one huge element", { distribution: "outlier" }),
  against("is right: the standard baseline", {
    algorithm: "standard",
    causal: true,
  }),
  against("is right: f16", { dtype: "f16", causal: true }),
  against("is right: f16, paged, odd head dim", {
    dtype: "f16",
    layout: "paged",
    sequences: RAGGED,
    headDim: 15,
    valueHeadDim: 9,
  }),
  { name: "attention() takes host arrays", run: takesHostArrays },
  { name: "attention() repeats bit by bit", run: repeats },
  { name: "attention() of a row ignores its batch", run: ignoresBatch },
  { name: "KvCache isolates forks", run: isolatesForks },
  { name: "runProbes() finds what is relied on right", run: passesProbes },
  ...EXAMPLE_CHECKS,
];
