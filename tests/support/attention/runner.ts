/**
 * Runs many attention cases on the device: everything is recorded, submitted
 * once and read once, since one wait costs as much as many small kernels.
 *
 * @module
 */

import type { Gpu, GpuTensor } from "../../../src/gpu/mod.ts";
import {
  HARDWARE_TILES,
  SOFTWARE_TILES,
  type TileOptions,
} from "../../../src/ops/attention/variants/tiles.ts";
import {
  type AttentionExplanation,
  type AttentionOptions,
  type AttentionPlan,
  blockMaskFromScores,
  type DeviceBlockMask,
  EMPTY_LSE,
  planAttention,
  type TensorShape,
} from "../../../src/ops/mod.ts";
import {
  type AttentionCase,
  dataOf,
  offsetsOf,
  type SequenceData,
} from "./cases.ts";
import { readBias, readMask } from "./mods.ts";
import { blockMaskOf, levelsOfSpec } from "./block_specs.ts";
import { policyMods, readPolicy } from "./policies.ts";
import { hostOf, isRectangular, type Storage, store } from "./storage.ts";

/** On any adapter, small enough to compile fast. */
const SMALL_TILES: TileOptions = {
  forward: {
    ...SOFTWARE_TILES.forward,
    rowsPerLane: 2,
    keys: 8,
    modKeys: 4,
  },
  decode: { ...SOFTWARE_TILES.decode, keysPerLane: 8 },
  partition: { ...SOFTWARE_TILES.partition, splitKeys: 256 },
};

/** Tiles by the word of a case. */
export const TILES = {
  small: SMALL_TILES,
  device: undefined,
  hardware: HARDWARE_TILES,
};

/** What a case gave. */
export interface CaseResult {
  /** `[tokens, queryHeads, valueHeadDim]`. */
  readonly output: Float32Array | Float16Array;
  /** `[tokens, queryHeads]`, -Infinity for rows without keys; maybe empty. */
  readonly lse: Float32Array;
  /** `[sequences, queryHeads, queryBlocks, keyBlocks]`, where asked for. */
  readonly blockScores?: Float32Array | undefined;
  /** What the plan said that it would run. */
  readonly explanation: AttentionExplanation;
}

/** How {@linkcode runCases} runs. */
export interface RunOptions {
  /** What lies in every byte that no written key owns. Defaults to NaN. */
  readonly poison?: number;
  /** Replaces the inputs that follow from a case; `index` is its place. */
  readonly data?: (c: AttentionCase, index: number) => readonly SequenceData[];
  /** Where keys and values lie already, instead of being stored for a case. */
  readonly stored?: (index: number) => Storage;
}

/** The options of `attention()` that follow from a case, without tensors. */
export function modOptions(
  c: AttentionCase,
): Omit<AttentionOptions<never>, "query" | "key" | "value"> {
  const { score = {} } = c;
  const chosen = c.policy && c.policyBy === "mods" ? policyMods(c) : undefined;
  const maskMods = [
    ...(c.masks ?? []).map((mask) => readMask(mask, c.seed, offsetsOf(c)).mod),
    ...(chosen?.maskMods ?? []),
  ];
  const scoreMods = [
    ...(score.bias ? [readBias(score.bias, c.seed, offsetsOf(c)).mod] : []),
    ...(chosen?.scoreMods ?? []),
  ];
  return {
    ...(c.scale !== undefined && { scale: c.scale }),
    ...(c.causal !== undefined && { causal: c.causal }),
    ...(c.window && { window: c.window }),
    ...(maskMods.length > 0 && { maskMod: maskMods }),
    ...(c.policy && !chosen && { select: readPolicy(c.policy) }),
    ...(c.blocks && !c.blocks.device &&
      { blockMask: blockMaskOf(c.blocks, c.seed) }),
    ...(score.softcap !== undefined && { softcap: score.softcap }),
    ...(score.alibi && { alibi: true }),
    ...(scoreMods.length > 0 && { scoreMod: scoreMods }),
    ...(c.queryOffset !== undefined && { queryOffset: c.queryOffset }),
    ...(c.dropout && { dropout: c.dropout }),
    returnLse: c.lse ?? true,
    ...(c.scoreBlock && { blockScores: { block: c.scoreBlock } }),
  };
}

interface Recorded {
  readonly outputs: readonly GpuTensor[];
  readonly explanation: AttentionExplanation;
  readonly encode: (encoder: GPUCommandEncoder) => void;
  readonly made: readonly { destroy(): void }[];
}

/** Runs cases, all of them with one submit and one read. */
export async function runCases(
  gpu: Gpu,
  cases: readonly AttentionCase[],
  options: RunOptions = {},
): Promise<CaseResult[]> {
  const recorded: Recorded[] = [];
  try {
    for (const [i, c] of cases.entries()) {
      const data = options.data?.(c, i) ?? dataOf(c);
      const stored = options.stored?.(i) ??
        await store(gpu, c, data, options.poison ?? NaN);
      recorded.push(await record(gpu, c, data, stored));
    }
    gpu.submit("cases", (encoder) => {
      for (const { encode } of recorded) encode(encoder);
    });
    const arrays = await gpu.read(recorded.flatMap(({ outputs }) => outputs));
    return recorded.map(({ outputs, explanation }) => {
      const [output, lse, blockScores] = arrays.splice(0, outputs.length);
      return {
        output: output as Float32Array,
        lse: hostLse(lse as Float32Array | undefined),
        blockScores: blockScores as Float32Array | undefined,
        explanation,
      };
    });
  } finally {
    for (const { made } of recorded) made.forEach((it) => it.destroy());
  }
}

function hostLse(lse: Float32Array | undefined): Float32Array {
  return (lse ?? new Float32Array(0))
    .map((x) => x === EMPTY_LSE ? -Infinity : x);
}

async function record(
  gpu: Gpu,
  c: AttentionCase,
  data: readonly SequenceData[],
  stored: Storage,
): Promise<Recorded> {
  const queries = concat(data.map(({ query }) => query));
  const tokens = queries.length / c.queryHeads / c.headDim;
  const rows = isRectangular(c)
    ? [c.sequences.length, c.sequences[0][0]]
    : [tokens];
  const made: { destroy(): void }[] = [...stored.made];
  const keep = <T extends { destroy(): void }>(it: T): T => (made.push(it), it);
  try {
    const query = keep(gpu.tensor(
      hostOf(c.dtype, queries),
      [...rows, c.queryHeads, c.headDim],
      "case.query",
    ));
    const plan: AttentionPlan = keep(
      await planAttention(gpu, {
        ...stored.options,
        ...modOptions(c),
        ...(c.blocks?.device &&
          { blockMask: keep(await selectBlocks(gpu, c)) }),
        query,
        algorithm: c.algorithm,
        splits: c.splits,
        workers: c.workers,
        sharedPrefix: c.sharedPrefix,
        tiles: TILES[c.tiles ?? "small"],
      } as AttentionOptions<GpuTensor | TensorShape>),
    );
    const unwritten = (dim: number, dtype = c.dtype) =>
      keep(gpu.tensor(
        hostOf(dtype, new Float32Array(tokens * c.queryHeads * dim).fill(NaN)),
        [...rows, c.queryHeads, dim],
        "case.output",
      ));
    const output = unwritten(c.valueHeadDim);
    const lse = c.lse === false ? undefined : unwritten(1, "f32");
    const scores = scoresShape(plan.problem);
    const blockScores = scores && keep(gpu.tensor(
      new Float32Array(scores.reduce((product, size) => product * size, 1))
        .fill(NaN),
      scores,
      "case.blockScores",
    ));
    const tensors = { ...stored.tensors, query, output, lse, blockScores };
    return {
      outputs: [output, lse, blockScores].filter((it) => it !== undefined),
      explanation: plan.explain(),
      encode: (encoder) => plan.encode(encoder, tensors),
      made,
    };
  } catch (error) {
    made.forEach((it) => it.destroy());
    throw error;
  }
}

function scoresShape(
  { blockScores, sequences, queryHeads }: AttentionPlan["problem"],
): number[] | undefined {
  if (!blockScores) return undefined;
  const { queryBlocks, keyBlocks } = blockScores;
  return [sequences.length, queryHeads, queryBlocks, keyBlocks];
}

/** A case's blocks, selected on the device. */
export async function selectBlocks(
  gpu: Gpu,
  { blocks, seed }: AttentionCase,
): Promise<DeviceBlockMask> {
  const levels = levelsOfSpec(blocks!, seed);
  const scores = gpu.tensor(Uint32Array.from(levels), [levels.length]);
  const { queries, keys, queryBlock, keyBlock, batch, heads } = blocks!;
  try {
    return await blockMaskFromScores(gpu, scores, {
      queries,
      keys,
      queryBlock,
      keyBlock,
      batch,
      heads,
    });
  } finally {
    scores.destroy();
  }
}

/** Arrays one after the other. */
export function concat(arrays: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(
    arrays.reduce((sum, { length }) => sum + length, 0),
  );
  let at = 0;
  for (const array of arrays) {
    out.set(array, at);
    at += array.length;
  }
  return out;
}

/** One sequence's part of scores of blocks, without blocks that it has not. */
export function scoresOf(
  c: AttentionCase,
  scores: ArrayLike<number>,
  index: number,
): Float32Array {
  const block = c.scoreBlock!;
  const blocks = (side: 0 | 1) => (lengths: readonly number[]) =>
    Math.ceil(lengths[side] / block);
  const most = (side: 0 | 1) => Math.max(...c.sequences.map(blocks(side)));
  const [rows, columns] = [most(0), most(1)];
  const own = [blocks(0)(c.sequences[index]), blocks(1)(c.sequences[index])];
  return Float32Array.from(
    { length: c.queryHeads * own[0] * own[1] },
    (_, n) => {
      const column = n % own[1];
      const row = Math.floor(n / own[1]) % own[0];
      const head = Math.floor(n / own[1] / own[0]);
      return scores[
        ((index * c.queryHeads + head) * rows + row) * columns + column
      ];
    },
  );
}

/** One sequence's part of a result. */
export function sliceOf(
  c: AttentionCase,
  result: { output: ArrayLike<number>; lse: ArrayLike<number> },
  index: number,
): { output: Float32Array; lse: Float32Array } {
  const before = c.sequences.slice(0, index)
    .reduce((sum, [queries]) => sum + queries, 0) * c.queryHeads;
  const rows = c.sequences[index][0] * c.queryHeads;
  const cut = (array: ArrayLike<number>, width: number) =>
    Float32Array.from(
      { length: array.length === 0 ? 0 : rows * width },
      (_, n) => array[before * width + n],
    );
  return {
    output: cut(result.output, c.valueHeadDim),
    lse: cut(result.lse, 1),
  };
}
