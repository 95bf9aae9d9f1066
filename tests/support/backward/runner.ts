/**
 * Runs many attention cases forward and backward on the device: everything is
 * recorded, submitted once and read once.
 *
 * @module
 */

import { Prng } from "../../../src/core/prng.ts";
import { roundAll } from "../../../reference/naive.ts";
import type { Gpu, GpuTensor } from "../../../src/gpu/mod.ts";
import {
  AttentionBackwardPlan,
  type AttentionOptions,
  attentionProblem,
  type BackwardExplanation,
  type BackwardTileOptions,
  planAttention,
  type TensorShape,
} from "../../../src/ops/mod.ts";
import {
  gradientElements,
  gradientSpans,
} from "../../../src/ops/attention_backward/gradient_spans.ts";
import {
  type AttentionCase,
  dataOf,
  type SequenceData,
} from "../attention/cases.ts";
import {
  concat,
  modOptions,
  selectBlocks,
  TILES,
} from "../attention/runner.ts";
import {
  hostOf,
  isRectangular,
  type Storage,
  store,
} from "../attention/storage.ts";

/** A case, forward and backward. */
export interface BackwardCase extends AttentionCase {
  /** Whether a gradient flows into the log-sum-exp. */
  readonly lseGradient?: boolean;
  /** Parts of the loops of backward. */
  readonly parts?: number;
  /** Whether scores are made once, or twice; twice by default. */
  readonly scoreGradients?: "stored" | "recomputed";
  /** Tiles of backward: small ones, or the device's own. */
  readonly backwardTiles?: "small" | "device";
}

/** What a loss sends back to one sequence. */
export interface UpstreamData {
  /** `[queries, queryHeads, valueHeadDim]`. */
  readonly outputGradient: Float32Array;
  /** `[queries, queryHeads]`. */
  readonly lseGradient: Float32Array | undefined;
}

/** What a case gave, all sequences one after the other. */
export interface BackwardResults {
  readonly queryGradient: Float32Array | Float16Array;
  readonly keyGradient: Float32Array | Float16Array;
  readonly valueGradient: Float32Array | Float16Array;
  /** Where each sequence's keys have theirs, in tokens. */
  readonly spans: readonly { readonly start: number; readonly count: number }[];
  readonly explanation: BackwardExplanation;
}

/** Small enough to compile fast. */
export const SMALL_BACKWARD_TILES: BackwardTileOptions = {
  lanes: 8,
  rowsPerLane: 2,
  keys: 4,
  keysPerLane: 2,
  rows: 4,
  modStep: 4,
  storedKeys: 32,
};

/** What a loss sends back to each sequence of a case. */
export function upstreamOf(c: BackwardCase): UpstreamData[] {
  return c.sequences.map(([queries], i) => {
    const random = new Prng((c.seed ^ 0xbac4) * 0x9e3779b1 + i);
    const rows = queries * c.queryHeads;
    const normal = (length: number) =>
      Float32Array.from({ length }, () => random.normal());
    return {
      outputGradient: roundAll(c.dtype, normal(rows * c.valueHeadDim)),
      lseGradient: c.lseGradient ? normal(rows) : undefined,
    };
  });
}

/** What may differ from run to run. */
export interface BackwardRunnerOptions {
  /** What lies in bytes that no key owns; NaN by default. */
  readonly poison?: number;
  /** The inputs of a case. */
  readonly data?: (c: BackwardCase) => readonly SequenceData[];
  /** What a loss sends back. */
  readonly upstream?: (c: BackwardCase) => readonly UpstreamData[];
}

interface Recorded {
  readonly outputs: readonly GpuTensor[];
  readonly spans: BackwardResults["spans"];
  readonly explanation: BackwardExplanation;
  readonly encode: (encoder: GPUCommandEncoder) => void;
  readonly made: readonly { destroy(): void }[];
}

/** Runs cases, all of them with one submit and one read. */
export async function runBackward(
  gpu: Gpu,
  cases: readonly BackwardCase[],
  options: BackwardRunnerOptions = {},
): Promise<BackwardResults[]> {
  const recorded: Recorded[] = [];
  try {
    for (const c of cases) {
      const data = options.data?.(c) ?? dataOf(c);
      const upstream = options.upstream?.(c) ?? upstreamOf(c);
      const stored = await store(gpu, c, data, options.poison ?? NaN);
      recorded.push(await record(gpu, c, { data, upstream, stored }));
    }
    gpu.submit("cases", (encoder) => {
      for (const { encode } of recorded) encode(encoder);
    });
    const arrays = await gpu.read(recorded.flatMap(({ outputs }) => outputs));
    return recorded.map(({ spans, explanation }) => {
      const [queryGradient, keyGradient, valueGradient] = arrays
        .splice(0, 3) as Float32Array[];
      return { queryGradient, keyGradient, valueGradient, spans, explanation };
    });
  } finally {
    for (const { made } of recorded) made.forEach((it) => it.destroy());
  }
}

async function record(
  gpu: Gpu,
  c: BackwardCase,
  { data, upstream, stored }: {
    readonly data: readonly SequenceData[];
    readonly upstream: readonly UpstreamData[];
    readonly stored: Storage;
  },
): Promise<Recorded> {
  const queries = concat(data.map(({ query }) => query));
  const tokens = queries.length / c.queryHeads / c.headDim;
  const rows = isRectangular(c)
    ? [c.sequences.length, c.sequences[0][0]]
    : [tokens];
  const made: { destroy(): void }[] = [...stored.made];
  const keep = <T extends { destroy(): void }>(it: T): T => (made.push(it), it);
  const tensor = (
    array: Float32Array,
    dim: readonly number[],
    dtype: "f32" | "f16" = c.dtype,
  ) =>
    keep(gpu.tensor(
      hostOf(dtype, array),
      [...rows, c.queryHeads, ...dim],
      "case",
    ));
  try {
    const query = tensor(queries, [c.headDim]);
    const options = {
      ...stored.options,
      ...modOptions(c),
      ...(c.blocks?.device &&
        { blockMask: keep(await selectBlocks(gpu, c)) }),
      query,
      returnLse: true,
    } as AttentionOptions<GpuTensor | TensorShape>;
    const forward = keep(
      await planAttention(gpu, {
        ...options,
        algorithm: c.algorithm,
        splits: c.splits,
        tiles: TILES[c.tiles ?? "small"],
      }),
    );
    const problem = attentionProblem(options);
    const backward = keep(
      await AttentionBackwardPlan.create(gpu, problem, {
        lseGradient: c.lseGradient ?? false,
        splits: c.parts,
        // A device's own tiles do not fit the rounds of every head dim.
        scoreGradients: c.backwardTiles === "device" &&
            c.scoreGradients === "stored"
          ? "auto"
          : c.scoreGradients ?? "recomputed",
        ...(c.backwardTiles !== "device" && { tiles: SMALL_BACKWARD_TILES }),
      }),
    );
    const unwritten = (size: number) =>
      keep(gpu.tensor(
        hostOf(c.dtype, new Float32Array(size).fill(NaN)),
        [size],
        "case.gradient",
      ));
    const size = tokens * c.queryHeads;
    const output = tensor(new Float32Array(size * c.valueHeadDim), [
      c.valueHeadDim,
    ]);
    const lse = tensor(new Float32Array(size), [], "f32");
    const outputGradient = tensor(
      concat(upstream.map((one) => one.outputGradient)),
      [c.valueHeadDim],
    );
    const lseGradient = c.lseGradient
      ? tensor(concat(upstream.map((one) => one.lseGradient!)), [], "f32")
      : undefined;
    const elements = gradientElements(problem);
    const outputs = [elements.query, elements.key, elements.value]
      .map(unwritten);
    const [queryGradient, keyGradient, valueGradient] = outputs;
    const inputs = { ...stored.tensors, query, output, lse };
    return {
      outputs,
      spans: gradientSpans(problem).spans,
      explanation: backward.explain(),
      encode: (encoder) => {
        forward.encode(encoder, inputs);
        backward.encode(encoder, {
          ...inputs,
          outputGradient,
          lseGradient,
          queryGradient,
          keyGradient,
          valueGradient,
        });
      },
      made,
    };
  } catch (error) {
    made.forEach((it) => it.destroy());
    throw error;
  }
}

/** One sequence's gradients: of its queries and of its written keys. */
export function sequenceGradients(
  c: BackwardCase,
  result: BackwardResults,
  index: number,
): {
  queryGradient: Float32Array;
  keyGradient: Float32Array;
  valueGradient: Float32Array;
} {
  const [queries, keys] = c.sequences[index];
  const before = c.sequences.slice(0, index)
    .reduce((sum, [count]) => sum + count, 0);
  const cut = (
    array: Float32Array | Float16Array,
    [from, count]: readonly [number, number],
    width: number,
  ) => Float32Array.from(array.subarray(from * width, (from + count) * width));
  const own = [result.spans[index].start, keys] as const;
  return {
    queryGradient: cut(
      result.queryGradient,
      [before, queries],
      c.queryHeads * c.headDim,
    ),
    keyGradient: cut(result.keyGradient, own, c.kvHeads * c.headDim),
    valueGradient: cut(result.valueGradient, own, c.kvHeads * c.valueHeadDim),
  };
}
