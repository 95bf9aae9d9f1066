/**
 * The sampled grid of attention cases. A family fixes what a shader's source
 * depends on (dtype, head dims' class, layout, structure of the mods) and draws
 * the rest, so that many cases take few compilations.
 *
 * @module
 */

import type { DType } from "../../../src/core/dtype.ts";
import { Prng } from "../../../src/core/prng.ts";
import {
  type AttentionCase,
  DISTRIBUTIONS,
  type Lengths,
  workOf,
} from "./cases.ts";
import type { MaskSpec } from "./mods.ts";
import type { BlocksSpec } from "./block_specs.ts";

type Mods = Pick<
  AttentionCase,
  "causal" | "window" | "masks" | "score" | "blocks"
>;

/** How long sequences are: all long, all short, or both in one batch. */
type Batch = "prefill" | "decode" | "mixed";

/** One row of the grid. */
export interface Family {
  readonly name: string;
  readonly dtype: DType;
  readonly layout: AttentionCase["layout"];
  readonly segments?: number;
  /** Value head dims of one class. */
  readonly valueDims: readonly number[];
  /** Query and key head dims; the value's by default. */
  readonly dims?: readonly number[];
  readonly batch: Batch;
  /** Query and kv heads; any of {@linkcode HEADS} by default. */
  readonly heads?: typeof HEADS[number];
  readonly splits?: readonly NonNullable<AttentionCase["splits"]>[];
  /** Whether sequences inherit keys, which are then read together. */
  readonly sharing?: boolean;
  readonly algorithm?: "standard" | "fa1";
  readonly tiles?: "device" | "hardware";
  readonly mods: (random: Prng, sizes: Sizes) => Mods;
}

/** What a mask may want to know of the shapes. */
export interface Sizes {
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly batch: number;
}

const PREFILL: readonly Lengths[] = [
  [17, 17],
  [64, 128],
  [113, 203],
  [127, 513],
  [128, 217],
  [239, 1],
  [33, 799],
  [40, 16],
];
const DECODE: readonly Lengths[] = [
  [1, 1],
  [1, 129],
  [1, 339],
  [2, 799],
  [2, 65],
  [1, 1025],
  [1, 16],
];
const EMPTY: readonly Lengths[] = [[0, 5], [5, 0]];
const HEADS = [[4, 4], [4, 1], [6, 2]] as const;
const BLOCK_SIZES = [1, 5, 16, 64] as const;

const none = () => ({});
const causal = () => ({ causal: true });
const some = (random: Prng, most: number) => random.below(most + 1);
const masked = (mask: MaskSpec): Mods => ({ masks: [mask] });

const window = (random: Prng, { keys }: Sizes): Mods => ({
  window: { left: some(random, keys), right: some(random, 40) },
});
const prefixLm = (random: Prng, { keys }: Sizes): Mods =>
  masked({ kind: "prefixLm", prefix: some(random, keys) });
const documents = (random: Prng, { keys }: Sizes): Mods =>
  masked({ kind: "document", length: keys + 1, ids: 1 + random.below(6) });
const sinkWindow = (random: Prng): Mods =>
  masked({
    kind: "sinkWindow",
    sinks: some(random, 8),
    window: some(random, 70),
  });
const boolean = (random: Prng, { queries, keys, heads }: Sizes): Mods =>
  masked({
    kind: "boolean",
    shape: [random.below(2) ? heads : 1, queries + 1, keys + 1],
    density: [0.01, 0.5, 0.97][random.below(3)],
  });
const combined = (random: Prng, sizes: Sizes): Mods =>
  masked({
    kind: "or",
    of: [
      {
        kind: "and",
        of: [
          { kind: "causal" },
          { kind: "not", of: sinkWindow(random).masks![0] },
        ],
      },
      { kind: "document", length: sizes.keys + 1, ids: 9 },
    ],
  });
const bias = (_: Prng, { queries, keys, heads }: Sizes) => ({
  bias: [heads, queries, keys] as const,
});
const blocks = (
  random: Prng,
  { queries, keys, heads, kvHeads, batch }: Sizes,
): BlocksSpec => ({
  queries: Math.max(1, queries),
  keys,
  queryBlock: [1, 8, 16, 32, 50, 128][random.below(6)],
  keyBlock: [1, 5, 16, 64, 100, 256][random.below(6)],
  batch: random.below(2) ? batch : 1,
  heads: [1, kvHeads, heads][random.below(3)],
  density: [0.05, 0.5, 0.9, 1][random.below(4)],
});

/** Mods that a family may have, by name. */
export const FAMILY_MODS = {
  none,
  causal,
  window,
  prefixLm,
  documents,
  sinkWindow,
  boolean,
  combined,
  headParity: () => masked({ kind: "headParity" }),
  batchStride: () => masked({ kind: "batchStride" }),
  bias: (random: Prng, sizes: Sizes): Mods => ({ score: bias(random, sizes) }),
  blocks: (random: Prng, sizes: Sizes): Mods => ({
    blocks: blocks(random, sizes),
  }),
};

/** The grid. */
export const FAMILIES: readonly Family[] = [
  {
    name: "dense",
    tiles: "device",
    dtype: "f32",
    layout: "dense",
    valueDims: [40, 64],
    batch: "prefill",
    mods: none,
  },
  {
    name: "odd head dim, causal",
    tiles: "device",
    dtype: "f32",
    layout: "dense",
    valueDims: [59],
    dims: [59, 111, 3],
    batch: "prefill",
    mods: causal,
  },
  {
    name: "odd head dim, window",
    dtype: "f32",
    layout: "ragged",
    valueDims: [111],
    dims: [111, 59, 1],
    batch: "prefill",
    mods: window,
  },
  {
    name: "tiny head dim, causal, softcap, alibi",
    dtype: "f32",
    layout: "ragged",
    valueDims: [1, 3],
    batch: "mixed",
    heads: [4, 1],
    mods: () => ({ causal: true, score: { softcap: 50, alibi: true } }),
  },
  {
    name: "prefixLm",
    dtype: "f32",
    layout: "ragged",
    valueDims: [16],
    dims: [16, 32],
    batch: "prefill",
    mods: prefixLm,
  },
  {
    name: "documents",
    dtype: "f32",
    layout: "paged",
    valueDims: [32],
    batch: "mixed",
    heads: [6, 2],
    mods: documents,
  },
  {
    name: "sink and window",
    dtype: "f32",
    layout: "dense",
    valueDims: [256],
    dims: [256, 80],
    batch: "prefill",
    mods: sinkWindow,
  },
  {
    name: "boolean mask",
    dtype: "f32",
    layout: "paged",
    valueDims: [80, 96, 128],
    batch: "prefill",
    mods: boolean,
  },
  {
    name: "f16, causal, paged",
    tiles: "device",
    dtype: "f16",
    layout: "paged",
    valueDims: [40, 64],
    batch: "prefill",
    mods: causal,
  },
  {
    name: "f16, odd head dim, bias",
    dtype: "f16",
    layout: "dense",
    valueDims: [59],
    batch: "prefill",
    mods: (random, sizes) => ({ score: bias(random, sizes) }),
  },
  {
    name: "f16 decode, causal, window",
    dtype: "f16",
    layout: "ragged",
    valueDims: [128],
    batch: "decode",
    heads: [6, 2],
    splits: [1, 3, "fixed", "auto"],
    mods: (random, sizes) => ({ causal: true, ...window(random, sizes) }),
  },
  {
    name: "f16, documents, cache",
    dtype: "f16",
    layout: "cache",
    valueDims: [96],
    batch: "mixed",
    heads: [6, 2],
    mods: documents,
  },
  {
    name: "f16, ragged, wide and narrow head dims, prefixLm",
    dtype: "f16",
    layout: "ragged",
    valueDims: [256],
    dims: [128, 16],
    batch: "prefill",
    mods: prefixLm,
  },
  {
    name: "f16, odd head dim, sink and window, paged decode",
    dtype: "f16",
    layout: "paged",
    valueDims: [111],
    dims: [111, 3],
    batch: "decode",
    heads: [4, 1],
    splits: [1, 3, "fixed"],
    mods: sinkWindow,
  },
  {
    name: "decode, wide head dims, dense",
    dtype: "f32",
    layout: "dense",
    valueDims: [96, 128],
    batch: "decode",
    heads: [4, 4],
    splits: [1, 3, "fixed", "auto"],
    mods: none,
  },
  {
    name: "decode, softcap",
    dtype: "f32",
    layout: "paged",
    valueDims: [64, 40],
    batch: "decode",
    heads: [4, 4],
    splits: [1, 3, "fixed", "auto"],
    mods: () => ({ score: { softcap: 50 } }),
  },
  {
    name: "stream-K decode, paged",
    tiles: "hardware",
    dtype: "f32",
    layout: "paged",
    valueDims: [64, 40],
    batch: "decode",
    heads: [6, 2],
    splits: ["stream-k"],
    mods: causal,
  },
  {
    name: "f16, stream-K, mixed, mask by head",
    dtype: "f16",
    layout: "ragged",
    valueDims: [32],
    batch: "mixed",
    heads: [6, 2],
    splits: ["stream-k", "auto"],
    mods: () => masked({ kind: "headParity" }),
  },
  {
    name: "shared prefixes, causal, paged",
    dtype: "f32",
    layout: "paged",
    valueDims: [64, 40],
    batch: "mixed",
    heads: [4, 1],
    sharing: true,
    splits: ["fixed", 2],
    mods: causal,
  },
  {
    name: "f16, shared prefixes, window and alibi, cache",
    dtype: "f16",
    layout: "cache",
    valueDims: [32],
    batch: "mixed",
    heads: [6, 2],
    sharing: true,
    splits: ["stream-k", "auto"],
    mods: (random, sizes) => ({
      ...window(random, sizes),
      score: { alibi: true },
    }),
  },
  {
    name: "shared prefixes, documents, two arenas",
    dtype: "f32",
    layout: "cache",
    segments: 2,
    valueDims: [59],
    batch: "decode",
    heads: [4, 4],
    sharing: true,
    splits: ["fixed", "stream-k", "auto"],
    mods: documents,
  },
  {
    name: "decode, odd head dim, causal, cache",
    tiles: "device",
    dtype: "f32",
    layout: "cache",
    valueDims: [59],
    dims: [59, 80],
    batch: "decode",
    heads: [4, 1],
    splits: [1, 3, "fixed", "auto"],
    mods: causal,
  },
  {
    name: "cache of two arenas",
    dtype: "f32",
    layout: "cache",
    segments: 2,
    valueDims: [64],
    batch: "mixed",
    heads: [4, 4],
    mods: causal,
  },
  {
    name: "extents, causal, any split",
    dtype: "f32",
    layout: "contiguous",
    valueDims: [64],
    batch: "mixed",
    heads: [6, 2],
    splits: [1, 3, "fixed", "auto"],
    mods: causal,
  },
  {
    name: "f16, extents, odd head dim, window",
    dtype: "f16",
    layout: "contiguous",
    valueDims: [59],
    dims: [59, 80],
    batch: "mixed",
    heads: [4, 1],
    mods: window,
  },
  {
    name: "split prefill",
    dtype: "f32",
    layout: "dense",
    valueDims: [64],
    batch: "prefill",
    splits: [2, 3, 7, "auto"],
    mods: causal,
  },
  {
    name: "and, or, not",
    dtype: "f32",
    layout: "dense",
    valueDims: [32],
    batch: "prefill",
    mods: combined,
  },
  {
    name: "mask by head",
    dtype: "f32",
    layout: "ragged",
    valueDims: [16],
    batch: "mixed",
    heads: [6, 2],
    splits: ["fixed", 2],
    mods: () => masked({ kind: "headParity" }),
  },
  {
    name: "tiles of other adapters",
    dtype: "f32",
    layout: "paged",
    valueDims: [64, 40],
    batch: "mixed",
    heads: [6, 2],
    tiles: "hardware",
    splits: ["fixed", 3],
    mods: causal,
  },
  {
    name: "blocks",
    dtype: "f32",
    layout: "dense",
    valueDims: [32],
    batch: "prefill",
    mods: (random, sizes) => ({ blocks: blocks(random, sizes) }),
  },
  {
    name: "blocks in part, causal, paged",
    dtype: "f32",
    layout: "paged",
    valueDims: [16, 32],
    batch: "mixed",
    heads: [6, 2],
    splits: ["fixed", 2, "auto", "stream-k"],
    mods: (random, sizes) => ({
      causal: true,
      blocks: { ...blocks(random, sizes), partial: true },
    }),
  },
  {
    name: "f16, blocks, softcap, cache",
    dtype: "f16",
    layout: "cache",
    valueDims: [32],
    batch: "mixed",
    heads: [4, 1],
    sharing: true,
    mods: (random, sizes) => ({
      blocks: blocks(random, sizes),
      score: { softcap: 20 },
    }),
  },
  {
    name: "blocks selected on the device",
    dtype: "f32",
    layout: "dense",
    valueDims: [32],
    batch: "prefill",
    mods: (random, sizes) => ({
      blocks: { ...blocks(random, sizes), device: true },
    }),
  },
  {
    name: "blocks selected on the device, causal, paged, any split",
    dtype: "f32",
    layout: "paged",
    valueDims: [16, 32],
    batch: "mixed",
    heads: [6, 2],
    splits: ["fixed", 2, "auto", "stream-k"],
    mods: (random, sizes) => ({
      causal: true,
      blocks: { ...blocks(random, sizes), device: true },
    }),
  },
  {
    name: "f16, blocks selected on the device, mask by head, softcap",
    dtype: "f16",
    layout: "ragged",
    valueDims: [32],
    batch: "mixed",
    heads: [4, 1],
    mods: (random, sizes) => ({
      ...masked({ kind: "headParity" }),
      blocks: { ...blocks(random, sizes), device: true },
      score: { softcap: 20 },
    }),
  },
  {
    name: "standard, blocks selected on the device, window",
    dtype: "f32",
    layout: "dense",
    valueDims: [16],
    batch: "prefill",
    algorithm: "standard",
    mods: (random, sizes) => ({
      ...window(random, sizes),
      blocks: { ...blocks(random, sizes), device: true },
    }),
  },
  {
    name: "standard, blocks, ragged",
    dtype: "f32",
    layout: "ragged",
    valueDims: [16],
    batch: "mixed",
    heads: [4, 4],
    algorithm: "standard",
    mods: (random, sizes) => ({ blocks: blocks(random, sizes) }),
  },
  {
    name: "standard, causal",
    tiles: "device",
    dtype: "f32",
    layout: "dense",
    valueDims: [64, 40, 128],
    batch: "prefill",
    algorithm: "standard",
    mods: causal,
  },
  {
    name: "standard, odd head dim, window, paged",
    dtype: "f32",
    layout: "paged",
    valueDims: [59, 3],
    batch: "mixed",
    heads: [4, 1],
    algorithm: "standard",
    mods: window,
  },
  {
    name: "standard, f16, softcap",
    dtype: "f16",
    layout: "ragged",
    valueDims: [64],
    batch: "prefill",
    algorithm: "standard",
    mods: () => ({ score: { softcap: 30 } }),
  },
  {
    name: "FlashAttention-1, causal",
    dtype: "f32",
    layout: "dense",
    valueDims: [64, 40, 128],
    batch: "prefill",
    algorithm: "fa1",
    mods: causal,
  },
  {
    name: "FlashAttention-1, odd head dim, window, paged",
    dtype: "f32",
    layout: "paged",
    valueDims: [59, 3],
    batch: "mixed",
    heads: [4, 1],
    algorithm: "fa1",
    mods: window,
  },
];

/** Draws a case of a family. */
export function drawCase(family: Family, random: Prng): AttentionCase {
  const pick = <T>(items: readonly T[]): T => items[random.below(items.length)];
  const [queryHeads, kvHeads] = family.heads ?? pick(HEADS);
  const sequences = drawBatch(family, random);
  const sizes = {
    queries: Math.max(...sequences.map(([queries]) => queries)),
    keys: Math.max(1, ...sequences.map(([, keys]) => keys)),
    heads: queryHeads,
    kvHeads,
    batch: sequences.length,
  };
  const valueHeadDim = pick(family.valueDims);
  const contiguous = family.layout === "dense" || family.layout === "ragged";
  return {
    seed: random.below(2 ** 31),
    dtype: family.dtype,
    layout: family.layout,
    ...(!contiguous && { blockSize: pick(BLOCK_SIZES) }),
    ...(family.segments !== undefined && { segments: family.segments }),
    sequences,
    ...(contiguous && random.below(2) === 1 && { padding: some(random, 30) }),
    queryHeads,
    kvHeads,
    headDim: family.dims ? pick(family.dims) : valueHeadDim,
    valueHeadDim,
    distribution: random.below(2) === 1 ? "normal" : pick(DISTRIBUTIONS),
    ...(random.below(4) === 0 && { scale: random.uniform() }),
    ...family.mods(random, sizes),
    ...(random.below(4) === 0 &&
      { queryOffset: random.below(2 * sizes.keys) - sizes.queries }),
    ...(family.splits && { splits: pick(family.splits) }),
    ...(random.below(2) === 1 && { workers: 1 + random.below(40) }),
    ...(family.sharing && {
      sharedPrefix: random.below(4) === 0 ? "auto" : "always",
      inherits: sequences.map(() => random.below(800)),
      heirOf: sequences.map(() => random.below(sequences.length)),
    }),
    ...(family.algorithm && { algorithm: family.algorithm }),
    ...(family.tiles && { tiles: family.tiles }),
  };
}

function drawBatch(family: Family, random: Prng): Lengths[] {
  const pick = <T>(items: readonly T[]): T => items[random.below(items.length)];
  const draw = {
    prefill: () => pick(PREFILL),
    decode: () => pick(DECODE),
    mixed: () => pick(random.below(2) ? PREFILL : DECODE),
  };
  const one = draw[family.batch];
  const sequences = Array.from({ length: 1 + random.below(3) }, one);
  if (family.layout === "dense") {
    const [[queries]] = sequences;
    return sequences.map(([, keys]) => [queries, keys]);
  }
  if (random.below(3) === 0) sequences.push(pick(EMPTY));
  return random.shuffle(sequences);
}

/**
 * `count` cases, in turn of all families. Those that multiply more than `work`
 * are drawn again.
 */
export function drawCases(
  seed: number,
  count: number,
  work: number,
): { readonly family: Family; readonly c: AttentionCase }[] {
  const random = new Prng(seed);
  return Array.from({ length: count }, (_, n) => {
    const family = FAMILIES[n % FAMILIES.length];
    let c = drawCase(family, random);
    while (workOf(c) > work) c = drawCase(family, random);
    return { family, c };
  });
}
