/**
 * What every sequence of a service has written, kept on the host by sequence,
 * with no blocks: what its attention is held against in float64.
 *
 * @module
 */

import { assert } from "@std/assert";
import type { LayerAttention } from "../../examples/run_step.ts";
import type { DecoderSizes } from "../../examples/tiny_decoder.ts";
import {
  attention,
  compareWithBound,
  errorBound,
  GATES,
} from "../../reference/mod.ts";
import type { SequenceWork } from "../../src/engine/mod.ts";

/** A token, and for each layer its key and value, `[kvHeads, headDim]`. */
interface WrittenToken {
  readonly token: number;
  readonly keys: Float32Array[];
  readonly values: Float32Array[];
}

/** The rows of `width` from row `from` to `end`. */
function rows(all: Float32Array, from: number, end: number, width: number) {
  return all.subarray(from * width, end * width);
}

/** Joins what was written into one array. */
function joined(parts: readonly Float32Array[]): Float32Array {
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

/** The history of every sequence, by request and branch. */
export class AttentionHistory {
  readonly #sizes: DecoderSizes;
  /** Who wrote last comes last. */
  readonly #written: Map<string, WrittenToken[]> = new Map();

  /** Begins with nothing written. */
  constructor(sizes: DecoderSizes) {
    this.#sizes = sizes;
  }

  /** Adds what a step writes, and fails unless it sees all that was written. */
  check({ step, layer, query, key, value, output }: LayerAttention): void {
    const { queryHeads, kvHeads, headDim } = this.#sizes;
    const kvWidth = kvHeads * headDim;
    const width = queryHeads * headDim;
    let from = 0;
    for (const work of step.work) {
      const end = from + work.tokens.length;
      const history = layer === 0 ? this.#extend(work) : this.#of(work);
      work.tokens.forEach((_, i) => {
        const at = from + i;
        const { keys, values } = history[work.start + i];
        keys[layer] = rows(key, at, at + 1, kvWidth);
        values[layer] = rows(value, at, at + 1, kvWidth);
      });
      this.#hold(work, layer, {
        query: rows(query, from, end, width),
        actual: rows(output, from, end, width),
      });
      from = end;
    }
  }

  #of({ request, branch }: SequenceWork): WrittenToken[] {
    return this.#written.get(`${request} ${branch}`) ?? [];
  }

  /** Makes room for the new tokens behind those that are there already. */
  #extend(work: SequenceWork): WrittenToken[] {
    const { request, branch, start, tokens } = work;
    const own = this.#of(work);
    const before = own.length === start ? own : this.#found(work);
    const added = tokens.map((token) => ({ token, keys: [], values: [] }));
    const history = [...before, ...added];
    this.#written.delete(`${request} ${branch}`);
    this.#written.set(`${request} ${branch}`, history);
    return history;
  }

  /**
   * What a sequence begins with that did not write it itself just now: it was
   * forked, found in the prefix index, or both after it was preempted.
   */
  #found({ request, branch, start, sequence }: SequenceWork): WrittenToken[] {
    const begin = sequence.tokens.slice(0, start);
    const from = [...this.#written.values()].findLast((written) =>
      begin.every((token, i) => token === written[i]?.token)
    );
    assert(
      start === 0 || from !== undefined,
      `no one wrote the first ${start} tokens of ${request}, branch ${branch}`,
    );
    return from?.slice(0, start) ?? [];
  }

  #hold(
    work: SequenceWork,
    layer: number,
    { query, actual }: { query: Float32Array; actual: Float32Array },
  ): void {
    const { request, branch, start, tokens } = work;
    const history = this.#of(work);
    const problem = {
      query,
      key: joined(history.map(({ keys }) => keys[layer])),
      value: joined(history.map(({ values }) => values[layer])),
      batch: 1,
      queryLength: tokens.length,
      keyLength: history.length,
      ...this.#sizes,
      scale: Math.fround(1 / Math.sqrt(this.#sizes.headDim)),
      queryOffset: start,
      mask: (_batch: number, _head: number, q: number, k: number) => k <= q,
    };
    const expected = attention(problem).output;
    const bound = errorBound(problem, { keys: 16, gate: GATES.wgsl }).output;
    const { ok, max } = compareWithBound({ actual, expected, bound });
    assert(
      ok,
      `${request}, branch ${branch}, layer ${layer}: ${tokens.length} queries ` +
        `from ${start} are off by ${max}, bound ${bound}`,
    );
  }
}
