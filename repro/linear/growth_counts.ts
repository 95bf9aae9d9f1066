/**
 * Counts of linear and of softmax attention by length.
 *
 * @module
 */

import {
  addCosts,
  flash2BackwardCost,
  flash2Cost,
  kvBytes,
  linearBackwardCost,
  linearCost,
  type LinearSizes,
  linearStateBytes,
  recurrentCost,
  type ScheduleCost,
  stateCrossover,
  totalFlops,
  totalTraffic,
  trafficBytes,
} from "../../src/planning/mod.ts";
import { fittedExponent } from "../fit.ts";

/** Tokens. */
export const LENGTHS: readonly number[] = [
  1024,
  2048,
  4096,
  8192,
  16384,
  32768,
];
/** From here on what is linear in softmax attention is lost beside its square. */
const LONG = 4096;
/** Elements of a value row, and of every row but BASED's queries and keys. */
export const HEAD_DIM = 64;
/** f: elements of BASED's query and key rows. */
export const BASED_DIM = 16;
/** Tokens of a chunk, and rows and keys of softmax attention's tiles. */
export const CHUNK = 64;
const SUB_CHUNK = 16;

/** What is counted, of one head. */
export type KernelName = "softmax" | "linear" | "gla" | "based";

/** All, with their names for people. */
export const KERNELS: Readonly<Record<KernelName, string>> = {
  softmax: "softmax, causal (FlashAttention-2)",
  linear: "linear",
  gla: "gated by channel (GLA)",
  based: "Taylor features of 16 (BASED)",
};

const LINEAR: Readonly<
  Record<Exclude<KernelName, "softmax">, Omit<LinearSizes, "tokens">>
> = {
  linear: { headDim: HEAD_DIM },
  gla: { headDim: HEAD_DIM, gates: "channel" },
  based: {
    headDim: BASED_DIM,
    valueHeadDim: HEAD_DIM,
    featureMap: "taylor",
    normalize: true,
  },
};

/** Operations and bytes. */
export interface Counts {
  /** Operations of all kinds. */
  readonly flops: number;
  /** Bytes between slow and fast memory, float32. */
  readonly bytes: number;
}

/** Counts of one length. */
export interface LengthRow {
  /** Tokens. */
  readonly length: number;
  /** Forward. */
  readonly forward: Readonly<Record<KernelName, Counts>>;
  /** Forward and backward, where backward is counted. */
  readonly both: Readonly<Record<Exclude<KernelName, "based">, Counts>>;
  /** One more token after so many. */
  readonly decode: Readonly<Record<KernelName, Counts>>;
  /** What a sequence keeps, in bytes. */
  readonly kept: Readonly<Record<KernelName, number>>;
}

/** Exponents of the length, from 4096 tokens on. */
export interface Exponents {
  /** Of operations. */
  readonly flops: number;
  /** Of bytes. */
  readonly bytes: number;
}

/** What is counted. */
export interface GrowthData {
  /** By length. */
  readonly rows: readonly LengthRow[];
  /** Of forward. */
  readonly forward: Readonly<Record<KernelName, Exponents>>;
  /** Of forward and backward. */
  readonly both: Readonly<Record<Exclude<KernelName, "based">, Exponents>>;
  /** The least length from which on forward has fewer operations. */
  readonly passes: Readonly<Record<Exclude<KernelName, "softmax">, number>>;
  /** The least length at which keys and values are more than the state. */
  readonly crossover: {
    /** BASED's features as the paper has them: each product twice. */
    readonly full: number;
    /** Each product once. */
    readonly packed: number;
    /** A plain state of 64 x 64. */
    readonly plain: number;
  };
}

function countsOf({ traffic, flops }: ScheduleCost): Counts {
  return {
    flops: totalFlops(flops),
    bytes: totalTraffic(trafficBytes(traffic, "f32")),
  };
}

const TILES = {
  rows: CHUNK,
  keys: CHUNK,
  visits: (row: number, key: number) => key <= row,
};

function softmaxOf(length: number) {
  const sizes = { queries: length, keys: length, headDim: HEAD_DIM };
  const forward = flash2Cost(sizes, TILES);
  return { forward, both: addCosts(forward, flash2BackwardCost(sizes, TILES)) };
}

function linearOf(name: Exclude<KernelName, "softmax">, tokens: number) {
  return linearCost({ ...LINEAR[name], tokens }, {
    chunk: CHUNK,
    subChunk: SUB_CHUNK,
  });
}

function bothOf(name: "linear" | "gla", tokens: number): ScheduleCost {
  const chunks = { chunk: CHUNK, subChunk: SUB_CHUNK };
  return addCosts(
    linearOf(name, tokens),
    linearBackwardCost({ ...LINEAR[name], tokens }, chunks),
  );
}

function decodeOf(name: Exclude<KernelName, "softmax">): Counts {
  return countsOf(recurrentCost({
    ...LINEAR[name],
    tokens: 1,
    initialState: true,
    returnState: true,
  }));
}

function stateOf(name: Exclude<KernelName, "softmax">): number {
  const { headDim, valueHeadDim, featureMap, normalize } = LINEAR[name];
  return linearStateBytes({
    headDim,
    ...(valueHeadDim && { valueHeadDim }),
    ...(featureMap && { featureMap }),
    ...(normalize && { normalize }),
  });
}

function rowOf(length: number): LengthRow {
  const softmax = softmaxOf(length);
  const byName = <T>(of: (name: Exclude<KernelName, "softmax">) => T) => ({
    linear: of("linear"),
    gla: of("gla"),
    based: of("based"),
  });
  return {
    length,
    forward: {
      softmax: countsOf(softmax.forward),
      ...byName((name) => countsOf(linearOf(name, length))),
    },
    both: {
      softmax: countsOf(softmax.both),
      linear: countsOf(bothOf("linear", length)),
      gla: countsOf(bothOf("gla", length)),
    },
    decode: {
      softmax: countsOf(
        flash2Cost({ queries: 1, keys: length, headDim: HEAD_DIM }, {
          rows: 1,
          keys: CHUNK,
        }),
      ),
      ...byName(decodeOf),
    },
    kept: {
      softmax: kvBytes(length, { headDim: HEAD_DIM }),
      ...byName(stateOf),
    },
  };
}

/** The least multiple of a chunk from which on there are fewer operations. */
function passing(name: Exclude<KernelName, "softmax">): number {
  let length = CHUNK;
  const dearer = () =>
    totalFlops(linearOf(name, length).flops) >=
      totalFlops(softmaxOf(length).forward.flops);
  while (dearer()) length += CHUNK;
  return length;
}

/** Counts. */
export function countGrowth(
  lengths: readonly number[] = LENGTHS,
): GrowthData {
  const rows = lengths.map(rowOf);
  const exponents = (of: (row: LengthRow) => Counts): Exponents => {
    const fit = (kind: keyof Counts) =>
      fittedExponent(
        rows.filter(({ length }) => length >= LONG)
          .map((row) => [row.length, of(row)[kind]]),
      );
    return { flops: fit("flops"), bytes: fit("bytes") };
  };
  const state = {
    headDim: BASED_DIM,
    valueHeadDim: HEAD_DIM,
    normalize: true,
  };
  const kv = { headDim: HEAD_DIM };
  return {
    rows,
    forward: {
      softmax: exponents(({ forward }) => forward.softmax),
      linear: exponents(({ forward }) => forward.linear),
      gla: exponents(({ forward }) => forward.gla),
      based: exponents(({ forward }) => forward.based),
    },
    both: {
      softmax: exponents(({ both }) => both.softmax),
      linear: exponents(({ both }) => both.linear),
      gla: exponents(({ both }) => both.gla),
    },
    passes: {
      linear: passing("linear"),
      gla: passing("gla"),
      based: passing("based"),
    },
    crossover: {
      full: stateCrossover(
        { ...state, features: 1 + BASED_DIM + BASED_DIM ** 2 },
        kv,
      ),
      packed: stateCrossover({ ...state, featureMap: "taylor" }, kv),
      plain: stateCrossover({ headDim: HEAD_DIM }, kv),
    },
  };
}
