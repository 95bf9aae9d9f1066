/**
 * Cases of linear attention as options of `linearAttention()`.
 *
 * @module
 */

import {
  type LinearCase,
  type LinearData,
  linearDataOf,
  linearStartsOf,
} from "./linear_cases.ts";

/** A tensor on the host. */
interface Rows {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** A case's options, all on the host. */
export interface LinearCaseOptions {
  readonly query: Rows;
  readonly key: Rows;
  readonly value: Rows;
  readonly cuSeqlens?: Uint32Array;
  readonly decay?: Rows;
  readonly beta?: Rows;
  readonly initialState?: Rows;
  readonly scale?: number;
}

/** The options of a case. */
export function linearOptionsOf(
  c: LinearCase,
  data: LinearData = linearDataOf(c),
): LinearCaseOptions {
  const { queryHeads, keyHeads, valueHeads, headDim, valueHeadDim } = c;
  const { decay, beta, initialState } = data;
  const starts = linearStartsOf(c);
  const tokens = c.layout === "dense"
    ? [c.sequences.length, c.sequences[0] ?? 0]
    : [starts[starts.length - 1]];
  const gates = {
    channel: [...tokens, valueHeads, headDim],
    head: [...tokens, valueHeads],
    // deno-lint-ignore camelcase -- the names of cases
    constant_channel: [valueHeads, headDim],
    // deno-lint-ignore camelcase -- the names of cases
    constant_head: [valueHeads],
  };
  return {
    query: { data: data.query, shape: [...tokens, queryHeads, headDim] },
    key: { data: data.key, shape: [...tokens, keyHeads, headDim] },
    value: { data: data.value, shape: [...tokens, valueHeads, valueHeadDim] },
    ...c.layout === "ragged" && { cuSeqlens: starts },
    ...decay && { decay: { data: decay, shape: gates[c.decay!] } },
    ...beta && {
      beta: {
        data: beta,
        shape: [...tokens, c.beta === "one" ? 1 : valueHeads],
      },
    },
    ...initialState && {
      initialState: {
        data: initialState,
        shape: [c.sequences.length, valueHeads, headDim, valueHeadDim],
      },
    },
    ...c.scale !== undefined && { scale: c.scale },
  };
}
