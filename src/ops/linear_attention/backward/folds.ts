/**
 * The gradient of what is broadcast: sums along the dimensions in which one gate
 * stands for many.
 *
 * @module
 */

import {
  FOLD_LANES,
  FOLD_RUN,
  foldSumsKernel,
} from "../../../../kernels/linear/backward/fold_sums.ts";
import { foldGrid } from "../../../gpu/program/dispatch.ts";
import type { LinearDevice, LinearDispatch } from "../work/context.ts";
import type { GateShape } from "../options/gate_shape.ts";

/** What is folded, and into what. */
export interface FoldOptions {
  /** `[batch, tokens, heads, channels]` of the terms. */
  readonly shape: readonly number[];
  /** The scratch that holds them; sums on the way are named after it. */
  readonly terms: string;
  /** The resource that the sums go to. */
  readonly sums: string;
  /** What it does, for people. */
  readonly does: string;
}

/** Dispatches that fold terms, and the scratch of sums on the way. */
export interface Folds {
  readonly dispatches: readonly LinearDispatch[];
  readonly scratch: Readonly<Record<string, number>>;
  /** Where the terms are to be written: into the result, if nothing is summed. */
  readonly terms: string;
}

/** The folds of terms to the shape of gates, from the last dimension on. */
export function foldsOf(
  gate: GateShape,
  { shape, terms, sums, does }: FoldOptions,
  device: LinearDevice,
): Folds {
  const strides = [gate.batch, gate.token, gate.head, gate.channel];
  const dims = [...shape];
  const passes: Record<string, number>[] = [];
  for (let axis = 3; axis >= 0; axis--) {
    if (strides[axis] !== 0) continue;
    while (dims[axis] !== 1) {
      const runs = Math.max(1, Math.ceil(dims[axis] / FOLD_RUN));
      passes.push({
        outer: product(dims.slice(0, axis)),
        count: dims[axis],
        inner: product(dims.slice(axis + 1)),
        runs,
      });
      dims[axis] = runs;
    }
  }
  const nameOf = (pass: number) =>
    pass === passes.length ? sums : pass === 0 ? terms : `${terms}_${pass}`;
  const dispatches = passes.map((uniforms, pass): LinearDispatch => {
    const { outer, runs, inner } = uniforms;
    return {
      source: foldSumsKernel(),
      uniforms,
      grid: foldGrid(
        Math.ceil(outer * runs * inner / FOLD_LANES),
        device.limits,
      ),
      aliases: { terms: nameOf(pass), sums: nameOf(pass + 1) },
      does,
    };
  });
  const elements = [
    product(shape),
    ...passes.map(({ outer, runs, inner }) => outer * runs * inner),
  ];
  return {
    dispatches,
    scratch: Object.fromEntries(
      elements.slice(0, -1).map((
        count,
        pass,
      ) => [nameOf(pass), Math.max(16, 4 * count)]),
    ),
    terms: nameOf(0),
  };
}

function product(dims: readonly number[]): number {
  return dims.reduce((all, n) => all * n, 1);
}
