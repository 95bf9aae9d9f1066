// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * Everything that a plan of linear attention will put on the device, worked out
 * on the CPU from a problem and what the device is. Pure, no GPU objects.
 *
 * The pieces are exported one by one, for what is made of them besides: the
 * delta rules, features, and backward, which computes states and scores anew.
 *
 * @module
 */

import { chunkStateKernel } from "../../../kernels/linear/chunk_state.ts";
import { GATE_LANES, gateSumsKernel } from "../../../kernels/linear/gates.ts";
import { chunkOutputKernel } from "../../../kernels/linear/output.ts";
import { PRODUCT_TILE } from "../../../kernels/product.ts";
import { SCAN_LANES, scanKernel } from "../../../kernels/linear/scan.ts";
import { chunkScoresKernel } from "../../../kernels/linear/scores.ts";
import { UnsupportedError } from "../../core/errors.ts";
import type { KernelSource } from "../../core/kernel.ts";
import { foldGrid } from "../../gpu/program/dispatch.ts";
import type { Dispatch, ProgramParts } from "../../gpu/mod.ts";
import {
  givenStatesSpec,
  type LinearContext,
  linearContext,
  type LinearDevice,
  type LinearDispatch,
} from "./context.ts";
import type { LinearExplanation } from "./explanation.ts";
import { checkSupported, type LinearProblem } from "./problem.ts";
import { recurrentDispatch } from "./recurrent.ts";

/** A problem's program, and what to say of it. */
export interface LinearParts {
  /** What the program is made of. */
  readonly parts: ProgramParts;
  /** For people. */
  readonly explanation: LinearExplanation;
}

/** Works out the program of a problem. */
export function linearParts(
  problem: LinearProblem,
  device: LinearDevice,
): LinearParts {
  checkSupported(problem);
  const context = linearContext(problem, device);
  if (problem.beta && context.schedule.chunked.count > 0) {
    throw new UnsupportedError(
      `compute linear attention by chunks by the rule ${problem.rule}`,
      'there is no kernel for it in this version; write form: "recurrent"',
    );
  }
  const all = [
    ...gateDispatches(context),
    ...stateDispatches(context),
    scoresDispatch(context),
    outputDispatch(context),
    recurrentDispatch(context),
  ].filter(({ grid }) => grid.every((count) => count > 0));
  const scratch = linearScratch(context);
  return {
    parts: {
      dispatches: all.map(({ does: _, ...dispatch }) => dispatch),
      words: { schedule: context.schedule.words },
      scratch,
    },
    explanation: {
      dispatches: all.map(({ source, grid, does }) => ({
        kernel: source.label,
        grid,
        does,
      })),
      tile: { rows: PRODUCT_TILE, columns: PRODUCT_TILE },
      chunks: { count: context.schedule.chunkCount, tokens: problem.chunk },
      scratchBytes: Object.values(scratch).reduce((sum, n) => sum + n, 0),
    },
  };
}

/** Bytes of scratch. */
export function linearScratch(
  { problem, schedule, values }: LinearContext,
): Record<string, number> {
  const { stateHeads, outputHeads, decay } = problem;
  const { gate_width, score_vecs, state_rows, value_vecs } = values;
  return {
    ...decay &&
      { gates: Math.max(16, 4 * schedule.rows * stateHeads * gate_width) },
    states: Math.max(
      16,
      16 * schedule.chunkCount * stateHeads * state_rows * value_vecs,
    ),
    scores: Math.max(16, 16 * schedule.rows * outputHeads * score_vecs),
  };
}

/** Sums of gates inside chunks, where there are gates. */
export function gateDispatches(context: LinearContext): LinearDispatch[] {
  const { problem: { decay, stateHeads }, schedule, values } = context;
  if (!decay) return [];
  const lanes = schedule.chunkCount * stateHeads * values.gate_width;
  return [{
    source: gateSumsKernel({ dtype: decay.dtype }),
    uniforms: values,
    grid: foldGrid(Math.ceil(lanes / GATE_LANES), context.device.limits),
    does: "sums log gates inside chunks",
  }];
}

/** What chunks add to states, and from that the states that enter them. */
export function stateDispatches(context: LinearContext): LinearDispatch[] {
  const { problem, spec, values, device } = context;
  const { stateHeads, valueHeadDim } = problem;
  const { state_rows, value_vecs, sequence_count } = values;
  const lanes = sequence_count * stateHeads * state_rows * value_vecs;
  return [
    productDispatch(context, {
      source: chunkStateKernel(spec),
      heads: stateHeads,
      rows: state_rows,
      columns: valueHeadDim,
      does: "what each chunk adds to the state",
    }),
    {
      source: scanKernel({ gate: spec.gate, ...givenStatesSpec(problem) }),
      uniforms: values,
      grid: foldGrid(Math.ceil(lanes / SCAN_LANES), device.limits),
      does: "the states that enter chunks, one after the other",
    },
  ];
}

/** Scores inside chunks. */
export function scoresDispatch(context: LinearContext): LinearDispatch {
  const { problem, spec } = context;
  return productDispatch(context, {
    source: chunkScoresKernel(spec),
    heads: problem.outputHeads,
    rows: problem.chunk,
    columns: problem.chunk,
    does: "scores of queries with the keys of their chunk",
  });
}

/** Outputs of states and scores. */
export function outputDispatch(context: LinearContext): LinearDispatch {
  const { problem, spec } = context;
  return productDispatch(context, {
    source: chunkOutputKernel(spec),
    heads: problem.outputHeads,
    rows: problem.chunk,
    columns: problem.valueHeadDim,
    does: "outputs of the states that enter, and of scores",
  });
}

/** A dispatch of a product for each chunk and head. */
export function productDispatch(
  { schedule, values, device }: LinearContext,
  { source, heads, rows, columns, uniforms, aliases, does }: {
    readonly source: KernelSource;
    /** Heads that it is for. */
    readonly heads: number;
    /** Rows at most. */
    readonly rows: number;
    /** Columns at most. */
    readonly columns: number;
    /** Values that are its own. */
    readonly uniforms?: Readonly<Record<string, number>>;
    readonly aliases?: Dispatch["aliases"];
    readonly does: string;
  },
): LinearDispatch {
  const row_tiles = Math.ceil(rows / PRODUCT_TILE);
  const column_tiles = Math.ceil(columns / PRODUCT_TILE);
  const groups = schedule.chunkCount * heads * row_tiles * column_tiles;
  return {
    source,
    uniforms: {
      ...values,
      grid_heads: heads,
      row_tiles,
      column_tiles,
      ...uniforms,
    },
    grid: foldGrid(groups, device.limits),
    aliases,
    does,
  };
}
