/**
 * Everything about mods that needs no device: the tiles, the pairs, the scores,
 * the WGSL.
 *
 * @module
 */

import {
  drawMask,
  emitMods,
  maskFunction,
  type MaskMod,
  scoreFunction,
  type ScoreMod,
  type TileKind,
} from "../../src/mods/mod.ts";
import { checkChoices } from "../../src/ops/attention/options/choices.ts";
import { attentionParts } from "../../src/ops/attention/parts.ts";
import { fusedAlgorithm } from "../../src/ops/attention/variants/fused.ts";
import { type AttentionProblem, attentionProblem } from "../../src/ops/mod.ts";
import type { Mods } from "./evaluation.ts";
import { checkSettings, SCORE_IN, type Settings } from "./settings.ts";

/** The least that any WebGPU device is, for the kernel that it would run. */
const ANY_DEVICE = {
  software: false,
  maxLoopIterations: Infinity,
  features: new Set<string>(),
  limits: {
    maxComputeWorkgroupStorageSize: 16384,
    maxComputeWorkgroupsPerDimension: 65535,
  },
};

/** The source of what runs. */
export interface Sources {
  /** The mods as two functions. */
  readonly mods: string;
  /** The whole kernel, and what it is called. */
  readonly kernel: { readonly label: string; readonly code: string };
  /** 32-bit words of literals and captured buffers that the mods read. */
  readonly words: number;
}

/** What is shown of mods, as plain data. */
export interface Analysis {
  /** Bound to the sizes. */
  readonly maskMods: readonly MaskMod[];
  /** Bound to the sizes. */
  readonly scoreMods: readonly ScoreMod[];
  /** What it was made for. */
  readonly settings: Settings;
  /** The kind of each tile, row by row. */
  readonly tiles: readonly (readonly TileKind[])[];
  /** How many there are of each. */
  readonly counts: Readonly<Record<TileKind, number>>;
  /** 1 for each pair that is seen, row by row. */
  readonly seen: Uint8Array;
  /** How many are seen. */
  readonly seenPairs: number;
  /** What becomes of {@linkcode SCORE_IN} at each pair, if there are score mods. */
  readonly scores?: Float32Array;
  /** The source. */
  readonly sources: Sources;
}

const KINDS: Readonly<Record<string, TileKind>> = {
  "·": "empty",
  "▒": "mixed",
  "█": "full",
};

/** The problem of mods on some sizes: one sequence, f32. */
export function problemOf(
  { maskMods, scoreMods }: Mods,
  { queries, keys, heads, headDim }: Settings,
): AttentionProblem {
  const rows = (tokens: number) => ({
    dtype: "f32" as const,
    shape: [1, tokens, heads, headDim],
  });
  return attentionProblem({
    query: rows(queries),
    key: rows(keys),
    value: rows(keys),
    maskMod: maskMods,
    scoreMod: scoreMods,
  });
}

/**
 * Looks at mods.
 *
 * @throws {TypeError} If a setting is no number, or the mods do not fit the
 * sizes.
 * @throws {RangeError} If a setting is out of its range.
 */
export function analyse(mods: Mods, settings: Settings): Analysis {
  checkSettings(settings);
  const problem = problemOf(mods, settings);
  const { maskMods, scoreMods } = problem;
  const { head, tile } = settings;
  const picture = drawMask(problem, {
    head,
    tileQueries: tile,
    tileKeys: tile,
  });
  const seen = seenPairsOf(maskMods, settings);
  return {
    maskMods,
    scoreMods,
    settings,
    tiles: picture.text.trimEnd().split("\n").map((line) =>
      [...line].map((character) => KINDS[character])
    ),
    counts: picture.tiles,
    seen,
    seenPairs: seen.reduce((sum, one) => sum + one, 0),
    ...(scoreMods.length > 0 && { scores: scoresOf(scoreMods, settings) }),
    sources: sourcesOf(problem),
  };
}

/** Calls back with the position of each pair. */
function eachPair(
  { queries, keys }: Settings,
  visit: (index: number, query: number, key: number) => void,
): void {
  let index = 0;
  for (let i = 0; i < queries; i++) {
    for (let key = 0; key < keys; key++) {
      visit(index++, i + keys - queries, key);
    }
  }
}

function seenPairsOf(
  mods: readonly MaskMod[],
  settings: Settings,
): Uint8Array {
  const sees = maskFunction(mods);
  const seen = new Uint8Array(settings.queries * settings.keys);
  eachPair(settings, (index, query, key) => {
    seen[index] = sees(0, settings.head, query, key) ? 1 : 0;
  });
  return seen;
}

function scoresOf(
  mods: readonly ScoreMod[],
  settings: Settings,
): Float32Array {
  const modify = scoreFunction(mods);
  const scores = new Float32Array(settings.queries * settings.keys);
  eachPair(settings, (index, query, key) => {
    scores[index] = modify(SCORE_IN, 0, settings.head, query, key);
  });
  return scores;
}

function sourcesOf(problem: AttentionProblem): Sources {
  const { maskMods, scoreMods } = problem;
  const { code, data } = emitMods({ maskMods, scoreMods });
  const [{ source }] = attentionParts(problem, ANY_DEVICE, {
    choices: checkChoices({}, ANY_DEVICE),
    algorithm: fusedAlgorithm,
  }).parts.dispatches;
  return {
    mods: code,
    kernel: { label: source.label, code: source.code },
    words: data.length,
  };
}
