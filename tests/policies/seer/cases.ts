/**
 * Problems that a Seer gate looks at, on the host: for the device and for the
 * twin in float64.
 *
 * @module
 */

import {
  type SeerProblem,
  seerScores,
} from "../../../reference/policies/seer.ts";
import type { Rounding } from "../../../reference/layers/rounding.ts";
import type { DType } from "../../../src/core/dtype.ts";
import { Prng } from "../../../src/core/prng.ts";
import type { HostTensor } from "../../../src/gpu/mod.ts";
import type {
  AttentionPolicy,
  PolicyShape,
  SeerGateOptions,
} from "../../../src/policies/mod.ts";
import { stored } from "../../support/layer_runner.ts";

/** What a gate is of, and the lengths of its sequences. */
export interface SeerCase {
  readonly lengths: readonly (readonly [queries: number, keys: number])[];
  readonly queryHeads?: number;
  readonly kvHeads?: number;
  readonly headDim?: number;
  /** With it there is a query weight. */
  readonly gateDim?: number;
  readonly block?: number;
  readonly dtype?: DType;
  readonly causal?: boolean;
  /** Keys behind the last query of each sequence. */
  readonly before?: number;
  readonly pairing?: "interleaved" | "half-split" | "none";
  readonly seed?: number;
}

/** A case with everything said, and its numbers. */
export interface SeerData {
  /** Options of the gate but its rule. */
  readonly gate: Omit<SeerGateOptions, "threshold">;
  /** All sequences, one after the other: `[tokens, heads, headDim]`. */
  readonly query: HostTensor;
  readonly key: HostTensor;
  readonly value: HostTensor;
  readonly cuSeqlens: number[];
  readonly cuSeqlensKey: number[];
  /** Each sequence for the twin. */
  readonly problems: readonly SeerProblem[];
}

function starts(lengths: readonly number[]): number[] {
  const all = [0];
  for (const length of lengths) all.push(all.at(-1)! + length);
  return all;
}

/** A base whose pairs turn at speeds that tell them apart. */
const BASE = 100;

/** The numbers of a case. */
export function seerData(c: SeerCase): SeerData {
  const { lengths, queryHeads = 4, kvHeads = 2, headDim = 8, seed = 1 } = c;
  const { block = 8, dtype = "f32", causal = true, pairing = "half-split" } = c;
  const random = new Prng(seed);
  const make = (shape: number[], scale = 1) =>
    stored(shape, { dtype, random, scale });
  const cuSeqlens = starts(lengths.map(([queries]) => queries));
  const cuSeqlensKey = starts(lengths.map(([, keys]) => keys));
  const query = make([cuSeqlens.at(-1)!, queryHeads, headDim]);
  const key = make([cuSeqlensKey.at(-1)!, kvHeads, headDim]);
  const value = make([cuSeqlensKey.at(-1)!, kvHeads, headDim]);
  const gateDim = c.gateDim ?? headDim;
  const keyHeads = c.gateDim === undefined ? queryHeads : kvHeads;
  const weights = {
    key: make([keyHeads, 3 * headDim, gateDim], 0.5),
    ...(c.gateDim !== undefined && {
      query: make([queryHeads, headDim, gateDim], 2),
    }),
  };
  const problems = lengths.map(([queries, keys], i): SeerProblem => ({
    query: query.data.subarray(
      cuSeqlens[i] * queryHeads * headDim,
      cuSeqlens[i + 1] * queryHeads * headDim,
    ),
    key: key.data.subarray(
      cuSeqlensKey[i] * kvHeads * headDim,
      cuSeqlensKey[i + 1] * kvHeads * headDim,
    ),
    queries,
    keys,
    queryHeads,
    kvHeads,
    headDim,
    gateDim,
    weights: {
      key: weights.key.data,
      ...(weights.query && { query: weights.query.data }),
    },
    block,
    queryBlock: block,
    queryOffset: keys - queries - (c.before ?? 0),
    causal,
    ...(pairing !== "none" && { rotary: { pairing, base: BASE } }),
  }));
  return {
    gate: {
      weights,
      queryHeads,
      kvHeads,
      block,
      causal,
      rotary: pairing === "none" ? false : { pairing, base: BASE },
    },
    query,
    key,
    value,
    cuSeqlens,
    cuSeqlensKey,
    problems,
  };
}

/** What `SeerGate.select()` takes of them. */
export function given(
  { query, key, cuSeqlens, cuSeqlensKey, problems }: SeerData,
): {
  readonly query: HostTensor;
  readonly key: HostTensor;
  readonly cuSeqlens: number[];
  readonly cuSeqlensKey: number[];
  readonly queryOffset: number[];
} {
  const queryOffset = problems.map((problem) => problem.queryOffset);
  return { query, key, cuSeqlens, cuSeqlensKey, queryOffset };
}

/** What attention tells a policy of them. */
export function shapeOf({ query, gate, problems }: SeerData): PolicyShape {
  const headDim = query.shape[2];
  return {
    dtype: query.data instanceof Float32Array ? "f32" : "f16",
    queryHeads: gate.queryHeads,
    kvHeads: gate.kvHeads,
    headDim,
    valueHeadDim: headDim,
    scale: 1,
    causal: gate.causal,
    sequences: problems.map(({ queries, keys, queryOffset }) => ({
      queryCount: queries,
      keyCount: keys,
      queryOffset,
    })),
  };
}

/** Records a selection, as attention would. */
export function record(
  encoder: GPUCommandEncoder,
  select: AttentionPolicy,
  data: SeerData,
): void {
  const { blocks } = select.select(shapeOf(data));
  blocks!.encode(encoder, { query: undefined as never });
}

/** A twin's array `[heads, queryBlocks, keyBlocks]` in a larger grid. */
export function inGrid(
  array: ArrayLike<number>,
  { queries, keys, queryHeads, block, queryBlock }: SeerProblem,
  { queryBlocks, keyBlocks, rest }: {
    readonly queryBlocks: number;
    readonly keyBlocks: number;
    /** What stands where the sequence has no block. */
    readonly rest: number;
  },
): Float64Array {
  const [rows, columns] = [
    Math.ceil(queries / queryBlock),
    Math.ceil(keys / block),
  ];
  return Float64Array.from(
    { length: queryHeads * queryBlocks * keyBlocks },
    (_, at) => {
      const column = at % keyBlocks;
      const row = Math.floor(at / keyBlocks) % queryBlocks;
      const head = Math.floor(at / keyBlocks / queryBlocks);
      return row < rows && column < columns
        ? array[(head * rows + row) * columns + column]
        : rest;
    },
  );
}

/** All sequences' shares, `[sequences, heads, queryBlocks, keyBlocks]`. */
export function allScores(
  problems: readonly SeerProblem[],
  grid: { readonly queryBlocks: number; readonly keyBlocks: number },
  round: Rounding,
): Float64Array {
  return Float64Array.from(
    problems.flatMap((problem) => [
      ...inGrid(seerScores(problem, round), problem, { ...grid, rest: -1 }),
    ]),
  );
}
