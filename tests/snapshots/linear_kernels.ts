/**
 * Specs of linear attention whose kernels are looked at.
 *
 * @module
 */

import {
  chunkOutputKernel,
  chunkScoresKernel,
  chunkStateKernel,
  deltaRowsKernel,
  deltaScanKernel,
  deltaSolveKernel,
  foldSumsKernel,
  gateGradientKernel,
  gateSumsKernel,
  keyGradientKernel,
  queryGradientKernel,
  recurrentKernel,
  restKernel,
  rowFormat,
  scanKernel,
  stateGradientKernel,
  strengthGradientKernel,
  throughGradientKernel,
  valueGradientKernel,
} from "../../kernels/mod.ts";
import type { KernelSource } from "../../src/core/kernel.ts";

const whole = rowFormat("f32", 64);

const spec = {
  queryFormat: whole,
  keyFormat: whole,
  valueFormat: whole,
  outputFormat: whole,
  gate: "channel",
  // Small, so that the unrolled parts stay readable.
  tile: { rowLanes: 8, columnLanes: 1, columnQuads: 1 },
} as const;

const backward = { ...spec, gradientFormat: whole };

const given = { stateFormat: whole, initial: true, final: true, pool: false };

/** The kernels, and what their files are called. */
export const LINEAR_SNAPSHOTS: readonly (readonly [string, KernelSource])[] = [
  ["linear_gates_f32", gateSumsKernel({ dtype: "f32" })],
  ["linear_chunk_state_f32", chunkStateKernel(spec)],
  ["linear_scores_f32", chunkScoresKernel(spec)],
  ["linear_scores_head_f32", chunkScoresKernel({ ...spec, gate: "head" })],
  ["linear_output_f32", chunkOutputKernel(spec)],
  ["linear_backward_state_f32", stateGradientKernel(spec)],
  ["linear_backward_query_f32", queryGradientKernel(backward)],
  ["linear_backward_key_f32", keyGradientKernel(backward)],
  ["linear_backward_value_f32", valueGradientKernel(spec)],
  ["linear_backward_through_f32", throughGradientKernel("channel")],
  ["linear_backward_gates_f32", gateGradientKernel(backward)],
  ["linear_backward_fold", foldSumsKernel()],
  ["linear_backward_rest_f32", restKernel(spec)],
  ["linear_backward_rows_f32", deltaRowsKernel({ ...spec, of: "rest" })],
  [
    "linear_backward_residual_f32",
    deltaRowsKernel({ ...spec, of: "residual" }),
  ],
  [
    "linear_backward_scan_f32",
    deltaScanKernel({
      ...spec,
      ...given,
      delta: true,
      kept: true,
      reverse: true,
    }),
  ],
  ["linear_backward_strength_f32", strengthGradientKernel(spec)],
  [
    "linear_backward_recall_f32",
    queryGradientKernel({ ...backward, recall: true }),
  ],
  [
    "linear_backward_recalled_f32",
    keyGradientKernel({ ...backward, recall: true }),
  ],
  [
    "linear_scan_chunks_f32",
    scanKernel({
      ...given,
      gate: "channel",
      items: "chunks",
      reduce: false,
      kept: true,
    }),
  ],
  [
    "linear_scan_reduce_f32",
    scanKernel({
      ...given,
      initial: false,
      final: false,
      gate: "channel",
      items: "chunks",
      reduce: true,
      kept: true,
    }),
  ],
  [
    "linear_scan_blocks_f32",
    scanKernel({
      ...given,
      final: false,
      gate: "channel",
      items: "blocks",
      reduce: false,
      kept: true,
    }),
  ],
  [
    "linear_scan_reverse_f32",
    scanKernel({
      ...given,
      gate: "channel",
      items: "chunks",
      reduce: false,
      kept: true,
      reverse: true,
    }),
  ],
  [
    "linear_recurrent_f32",
    recurrentKernel({
      ...spec,
      ...given,
      pool: true,
      headDim: 64,
      decay: "f32",
      beta: "f32",
    }),
  ],
  [
    "linear_delta_solve_value_f32",
    deltaSolveKernel({ ...spec, delta: true, of: "value", beta: "f32" }),
  ],
  [
    "linear_delta_solve_key_f32",
    deltaSolveKernel({ ...spec, delta: true, of: "key", beta: "f32" }),
  ],
  [
    "linear_delta_solve_reverse_f32",
    deltaSolveKernel({
      ...spec,
      delta: true,
      of: "value",
      reverse: true,
      beta: "f32",
    }),
  ],
  [
    "linear_delta_scan_f32",
    deltaScanKernel({ ...spec, ...given, delta: true, kept: true }),
  ],
  [
    "linear_delta_output_f32",
    chunkOutputKernel({ ...spec, delta: true }),
  ],
  [
    "linear_delta_scores_f32",
    chunkScoresKernel({ ...spec, gate: "none", strict: true }),
  ],
];
