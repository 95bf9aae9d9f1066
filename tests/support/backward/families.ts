/**
 * The sampled grid of backward cases: forward's, with what only backward has,
 * and flash-attn's head dims, lengths, causal, local, GQA, dropout, softcap and
 * ALiBi.
 *
 * @module
 */

import { Prng } from "../../../src/core/prng.ts";
import { workOf } from "../attention/cases.ts";
import { drawCase, type Family, FAMILY_MODS } from "../attention/families.ts";
import type { BackwardCase } from "./runner.ts";

/** One row of the grid. */
export interface BackwardFamily extends Family {
  /** Parts of the loops; one by default. */
  readonly parts?: readonly number[];
  /** The device's own tiles for backward, or small ones. */
  readonly backwardTiles?: "device";
  /** Whether weights are dropped. */
  readonly dropout?: boolean;
}

const { causal, window, documents, headParity } = FAMILY_MODS;
const shape = { dtype: "f32", layout: "dense", batch: "prefill" } as const;
const half = { ...shape, dtype: "f16" } as const;
const ragged = { ...shape, layout: "ragged", batch: "mixed" } as const;
const paged = { ...shape, layout: "paged", batch: "mixed" } as const;

/** Blocks that the device selects. */
const selected: Family["mods"] = (random, sizes) => {
  const { blocks } = FAMILY_MODS.blocks(random, sizes);
  return { blocks: { ...blocks!, device: true } };
};

/** The grid. */
export const BACKWARD_FAMILIES: readonly BackwardFamily[] = [
  { ...shape, name: "dense", valueDims: [32, 40], mods: FAMILY_MODS.none },
  {
    ...shape,
    name: "device tiles, causal",
    valueDims: [64],
    backwardTiles: "device",
    mods: causal,
  },
  {
    ...ragged,
    name: "odd head dims, causal, in parts",
    valueDims: [59],
    dims: [59, 3, 111],
    parts: [2, 3, 5],
    mods: causal,
  },
  {
    ...ragged,
    name: "wide values, window",
    valueDims: [96],
    dims: [16, 1],
    heads: [6, 2],
    mods: window,
  },
  {
    ...shape,
    name: "wide head dims, sink and window",
    valueDims: [256],
    dims: [256, 80],
    mods: FAMILY_MODS.sinkWindow,
  },
  {
    ...ragged,
    name: "tiny head dim, softcap, alibi, causal",
    valueDims: [1, 3],
    heads: [4, 1],
    mods: () => ({ causal: true, score: { softcap: 5, alibi: true } }),
  },
  {
    ...shape,
    layout: "ragged",
    name: "bias, boolean mask",
    valueDims: [32],
    mods: (random, sizes) => ({
      ...FAMILY_MODS.boolean(random, sizes),
      ...FAMILY_MODS.bias(random, sizes),
    }),
  },
  {
    ...paged,
    name: "paged, documents",
    valueDims: [32],
    heads: [6, 2],
    mods: documents,
  },
  {
    ...paged,
    name: "mask by head, parts",
    valueDims: [16],
    heads: [6, 2],
    parts: [1, 3],
    mods: headParity,
  },
  {
    ...ragged,
    name: "mask by sequence",
    valueDims: [16],
    mods: FAMILY_MODS.batchStride,
  },
  {
    ...shape,
    name: "and, or, not",
    valueDims: [32],
    mods: FAMILY_MODS.combined,
  },
  {
    ...shape,
    name: "blocks",
    valueDims: [32],
    mods: FAMILY_MODS.blocks,
  },
  {
    ...ragged,
    name: "blocks selected on the device, causal, parts",
    valueDims: [16],
    heads: [6, 2],
    parts: [1, 2],
    mods: (random, sizes) => ({
      causal: true,
      ...selected(random, sizes),
    }),
  },
  {
    ...half,
    name: "f16, blocks selected on the device, dropout, softcap",
    valueDims: [40],
    heads: [4, 1],
    dropout: true,
    mods: (random, sizes) => ({
      ...selected(random, sizes),
      score: { softcap: 20 },
    }),
  },
  {
    ...paged,
    name: "cache of two arenas, causal",
    layout: "cache",
    segments: 2,
    valueDims: [59],
    heads: [4, 4],
    mods: causal,
  },
  {
    ...paged,
    name: "extents, window",
    layout: "contiguous",
    valueDims: [64],
    heads: [6, 2],
    mods: window,
  },
  {
    ...shape,
    name: "dropout, causal",
    valueDims: [32],
    dropout: true,
    mods: causal,
  },
  {
    ...ragged,
    name: "dropout, softcap, parts",
    valueDims: [16],
    heads: [6, 2],
    dropout: true,
    parts: [1, 2],
    mods: () => ({ score: { softcap: 20 } }),
  },
  { ...half, name: "f16, causal", valueDims: [64, 40], mods: causal },
  {
    ...half,
    name: "f16, odd head dim, window, alibi, in parts",
    layout: "ragged",
    batch: "mixed",
    valueDims: [59],
    heads: [6, 2],
    parts: [1, 4],
    mods: (random, sizes) => ({
      ...window(random, sizes),
      score: { alibi: true },
    }),
  },
  {
    ...half,
    name: "f16, paged, dropout",
    layout: "paged",
    batch: "mixed",
    valueDims: [96],
    dropout: true,
    mods: causal,
  },
];

/** Draws a case of a family. */
export function drawBackward(
  family: BackwardFamily,
  random: Prng,
): BackwardCase {
  const c = drawCase(family, random);
  const { parts, backwardTiles, dropout } = family;
  return {
    ...c,
    ...(random.below(2) === 1 && { lseGradient: true }),
    ...(parts && { parts: parts[random.below(parts.length)] }),
    ...(backwardTiles && { backwardTiles }),
    ...(!parts && !c.blocks?.device && random.below(2) === 1 &&
      { scoreGradients: "stored" }),
    ...(dropout && {
      dropout: { rate: random.below(9) / 10, seed: random.below(2 ** 31) },
    }),
  };
}

/**
 * `count` cases, in turn of all families. Those that multiply more than `work`
 * are drawn again.
 */
export function drawBackwardCases(
  seed: number,
  count: number,
  work: number,
): { readonly family: BackwardFamily; readonly c: BackwardCase }[] {
  const random = new Prng(seed);
  return Array.from({ length: count }, (_, n) => {
    const family = BACKWARD_FAMILIES[n % BACKWARD_FAMILIES.length];
    let c = drawBackward(family, random);
    while (workOf(c) > work) c = drawBackward(family, random);
    return { family, c };
  });
}
