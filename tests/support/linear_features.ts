/**
 * Runs cases of linear attention with the Taylor feature map, many in one
 * submit, and holds them against the oracle.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  LINEAR_GATES,
  linearErrorBound,
  normalizedOutput,
  recurrentLinearAttention,
  taylorProblem,
} from "../../reference/mod.ts";
import { hostOf } from "./attention/storage.ts";
import type { Gpu, GpuTensor } from "../../src/gpu/mod.ts";
import {
  linearAttention,
  type LinearForm,
  type LinearPrefix,
} from "../../src/ops/mod.ts";
import {
  type LinearCase,
  type LinearData,
  linearDataOf,
  linearProblemOf,
  linearStartsOf,
} from "./linear_cases.ts";

/** One call. */
export interface FeatureCase extends LinearCase {
  /** What sums of weights get; they do not divide by default. */
  readonly eps?: number;
  /** Tokens of a chunk; the default's by default. */
  readonly chunk?: number;
  /** By chunks or token by token; each by its length by default. */
  readonly form?: LinearForm;
  /** Tokens of a sub-chunk, which divide those of a chunk. */
  readonly subChunk?: number;
}

/** What is other than the case says. */
export interface FeatureChanges {
  readonly prefix?: CasePrefix;
  readonly initialState?: Float32Array;
  /** Some of the tokens of its one sequence. */
  readonly part?: { readonly first: number; readonly end: number };
  /** Keys and values in place of its own. */
  readonly rows?: Pick<LinearData, "key" | "value">;
}

/** What a call gave. */
export interface FeatureResult {
  readonly output: ArrayLike<number>;
  readonly state: ArrayLike<number>;
}

/** Tensors that a test owns. */
export class Owned {
  readonly #all: { destroy(): void }[] = [];

  /** Takes one. */
  own<T extends { destroy(): void }>(made: T): T {
    this.#all.push(made);
    return made;
  }

  /** Frees all. */
  destroy(): void {
    for (const made of this.#all) made.destroy();
  }
}

/** A prefix on the host, and what is drawn of it. */
export interface CasePrefix {
  readonly key: Float32Array;
  readonly value: Float32Array;
  /** Rows of each sequence, and how many count. */
  readonly rows: number;
  readonly lengths: readonly number[];
}

/** Runs all, each as `changes` say; one read. */
export async function runFeatures(
  gpu: Gpu,
  cases: readonly FeatureCase[],
  changes: (c: FeatureCase, i: number) => FeatureChanges = () => ({}),
): Promise<FeatureResult[]> {
  const owned = new Owned();
  const results: GpuTensor[] = [];
  try {
    for (const [i, given] of cases.entries()) {
      const { prefix, initialState, part, rows: other } = changes(given, i);
      const { first, end } = part ?? { first: 0, end: given.sequences[0] };
      const c = part ? { ...given, sequences: [end - first] } : given;
      const whole = { ...linearDataOf(given), ...other };
      const cut = (rows: Float32Array, width: number) =>
        part ? rows.slice(first * width, end * width) : rows;
      const data = {
        query: cut(whole.query, c.queryHeads * c.headDim),
        key: cut(whole.key, c.keyHeads * c.headDim),
        value: cut(whole.value, c.valueHeads * c.valueHeadDim),
        decay: whole.decay,
      };
      const tokens = c.sequences.reduce((sum, n) => sum + n, 0);
      const shapeOf = (heads: number, dim: number) =>
        c.layout === "dense"
          ? [c.sequences.length, c.sequences[0] ?? 0, heads, dim]
          : [tokens, heads, dim];
      const upload = (values: Float32Array, shape: number[]) =>
        owned.own(gpu.tensor(hostOf(c.dtype, values), shape));
      const columns = c.valueHeadDim + (c.eps === undefined ? 0 : 1);
      const rows = 1 + c.headDim + c.headDim * (c.headDim + 1) / 2;
      const held: LinearPrefix<GpuTensor> | undefined = prefix && {
        key: upload(prefix.key, [
          c.sequences.length,
          prefix.rows,
          c.keyHeads,
          c.headDim,
        ]),
        value: upload(prefix.value, [
          c.sequences.length,
          prefix.rows,
          c.valueHeads,
          c.valueHeadDim,
        ]),
        lengths: Uint32Array.from(prefix.lengths),
      };
      const { output, state } = await linearAttention(gpu, {
        query: upload(data.query, shapeOf(c.queryHeads, c.headDim)),
        key: upload(data.key, shapeOf(c.keyHeads, c.headDim)),
        value: upload(data.value, shapeOf(c.valueHeads, c.valueHeadDim)),
        ...c.layout === "ragged" && { cuSeqlens: linearStartsOf(c) },
        ...data.decay && {
          decay: owned.own(
            // The last 1 tells it from gates of [valueHeads, headDim].
            gpu.tensor(hostOf(c.dtype, data.decay), shapeOf(c.valueHeads, 1)),
          ),
        },
        featureMap: "taylor",
        ...c.eps !== undefined && { normalize: { eps: c.eps } },
        ...c.scale !== undefined && { scale: c.scale },
        ...c.chunk !== undefined && { chunk: c.chunk },
        ...c.form !== undefined && { form: c.form },
        ...c.subChunk !== undefined && { subChunk: c.subChunk },
        ...initialState && {
          initialState: owned.own(gpu.tensor(initialState, [
            c.sequences.length,
            c.valueHeads,
            rows,
            columns,
          ])),
        },
        ...held && { prefix: held },
        returnState: true,
      });
      results.push(owned.own(output), owned.own(state!));
    }
    const arrays = await gpu.read(results);
    return cases.map((_, i) => ({
      output: Float32Array.from(arrays[2 * i] as ArrayLike<number>),
      state: arrays[2 * i + 1] as Float32Array,
    }));
  } finally {
    owned.destroy();
  }
}

/** Fails unless a result is as near to float64 as the error rule says. */
export function checkFeatures(c: FeatureCase, result: FeatureResult): void {
  const { eps, chunk = 128 } = c;
  const problem = taylorProblem(linearProblemOf(c), {
    normalize: eps !== undefined,
  });
  const exact = recurrentLinearAttention(problem);
  const bound = linearErrorBound(problem, {
    chunk,
    gate: LINEAR_GATES.wgsl,
    stored: "f32",
  });
  const line = `QUIRE_CASE='${JSON.stringify(c)}'`;
  const near = (a: ArrayLike<number>, b: ArrayLike<number>, most: number) => {
    assertEquals(a.length, b.length, line);
    for (let i = 0; i < a.length; i++) {
      const off = Math.abs(a[i] - b[i]);
      assert(off <= most, `${a[i]}, not ${b[i]} (${most}) at ${i}: ${line}`);
    }
  };
  near(result.state, exact.state, bound.state);
  const stored = c.dtype === "f16" ? 2 ** -11 : 0;
  if (eps === undefined) {
    const largest = exact.output.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
    near(result.output, exact.output, bound.output + stored * largest);
    return;
  }
  const valueHeadDim = c.valueHeadDim;
  const expected = normalizedOutput(exact.output, { valueHeadDim, eps });
  const sums = exact.output.filter((_, i) =>
    i % (valueHeadDim + 1) === valueHeadDim
  );
  const largest = expected.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  const least = sums.reduce((m, x) => Math.min(m, Math.abs(x + eps)), Infinity);
  // What both are off by, over the least sum; and what is stored.
  const most = bound.output * (1 + largest) / least + stored * largest;
  near(result.output, expected, most);
}
