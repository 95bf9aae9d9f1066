/**
 * A few specs whose kernels are looked at: they are reviewed as files, and
 * faults are made in them.
 *
 * @module
 */

import {
  appendKernel,
  blockRunsKernel,
  copyBlocksKernel,
  decodeKernel,
  flash1Kernel,
  forwardKernel,
  mergeKernel,
  mergeStatesKernel,
  rotateKernel,
  rowFormat,
  selectBlocksKernel,
  standardKernels,
  takeRowsKernel,
  topBlocksKernel,
} from "../../kernels/mod.ts";
import { blockScoresKernel } from "../../kernels/attention/block_scores.ts";
import { clearKernel } from "../../kernels/clear.ts";
import { chunkStateKernel } from "../../kernels/linear/chunked/chunk_state.ts";
import { chunkOutputKernel } from "../../kernels/linear/chunked/output.ts";
import { recurrentKernel } from "../../kernels/linear/recurrent.ts";
import { scanKernel } from "../../kernels/linear/chunked/scan.ts";
import { chunkScoresKernel } from "../../kernels/linear/chunked/scores.ts";
import { PRODUCT_TILE } from "../../kernels/product.ts";
import { deltaKernel } from "../../kernels/attention/backward/delta.ts";
import { keyValueGradientKernel } from "../../kernels/attention/backward/key_value_gradient.ts";
import {
  queryGradientKernel,
  queryGradientRows,
} from "../../kernels/attention/backward/query_gradient.ts";
import {
  keyProductKernel,
  queryProductKernel,
} from "../../kernels/attention/backward/score_product.ts";
import { sumKernel } from "../../kernels/attention/backward/sum.ts";
import type { KernelSource } from "../../src/core/kernel.ts";
import {
  captureGradientKernel,
  clearTablesKernel,
  sumTablesKernel,
} from "../../kernels/attention/backward/capture_gradient.ts";
import { GATE_SNAPSHOTS } from "./gate_kernels.ts";
import { KMEANS_SNAPSHOTS } from "./kmeans_kernels.ts";
import { SQUEEZED_SNAPSHOTS } from "./squeezed_kernels.ts";
import { LAYER_SNAPSHOTS } from "./layer_kernels.ts";
import { LINEAR_SNAPSHOTS } from "./linear_kernels.ts";
import { causal, emitMods, relativeBias, softcap } from "../../src/mods/mod.ts";

const whole = rowFormat("f32", 64);
const half = rowFormat("f16", 64);
const tail = rowFormat("f32", 7);

/** BASED's layer: features, and outputs divided by the sum of weights. */
const taylor = {
  queryFormat: rowFormat("f32", 16),
  keyFormat: rowFormat("f32", 16),
  valueFormat: whole,
  outputFormat: whole,
  gate: "none",
  featureMap: "taylor",
  normalize: true,
  tile: PRODUCT_TILE,
} as const;

function formats(format: typeof whole) {
  return {
    queryFormat: format,
    keyFormat: format,
    valueFormat: format,
    outputFormat: format,
  };
}

const contiguous = {
  layout: "contiguous",
  segments: 0,
  shift: false,
  quads: true,
  mods: undefined,
  lse: true,
  partial: false,
  queries: "consecutive",
  persistent: false,
} as const;
const paged = { ...contiguous, layout: "paged", shift: true } as const;
const mask = emitMods({ scoreMods: [], maskMods: [causal()] });
const capped = emitMods({ scoreMods: [softcap(50)], maskMods: [causal()] });
/** Small, so that the unrolled parts stay readable. */
const rowTile = {
  lanes: 8,
  rowsPerLane: 2,
  keysPerStep: 2,
  accumulatorVecs: 16,
};
const decodeTile = {
  lanes: 8,
  rows: 2,
  keysPerLane: 4,
  columnLanes: 4,
  columnsPerLane: 4,
};
const standard = standardKernels({
  ...contiguous,
  ...formats(whole),
  mods: mask,
  tile: rowTile,
});
const standardDropout = standardKernels({
  ...contiguous,
  ...formats(whole),
  dropout: true,
  tile: rowTile,
});
const table = Float32Array.of(-1, 0, 1);
const captured = captureGradientKernel({
  ...contiguous,
  ...formats(whole),
  mods: emitMods({
    scoreMods: [relativeBias(table, [1, 3]), softcap(50)],
    maskMods: [causal()],
    derivative: true,
    captureGradients: [table],
  }),
  dropout: true,
  capture: 0,
  terms: 1,
  tile: { ...rowTile, lanes: 4 },
});

const backward = {
  layout: "contiguous",
  segments: 0,
  shift: false,
  quads: true,
  queryFormat: whole,
  keyFormat: whole,
  valueFormat: whole,
  outputFormat: whole,
  mods: mask,
  queryGradientFormat: whole,
  partial: false,
} as const;

const backwardKeys = {
  keyGradientFormat: whole,
  valueGradientFormat: whole,
  tile: {
    lanes: 8,
    keysPerLane: 2,
    rowsPerStep: 2,
    headVecs: 16,
    valueVecs: 16,
  },
};
const productKeys = {
  queryGradientFormat: whole,
  keyGradientFormat: whole,
  valueGradientFormat: whole,
  tileKeys: 16,
  tile: { lanes: 8, ownRows: 2, step: 4, headVecs: 16 },
};
const slopes = emitMods({
  scoreMods: [softcap(50)],
  maskMods: [causal()],
  derivative: true,
});

/** Kernels by the names of their files. */
export const SNAPSHOTS: readonly (readonly [string, KernelSource])[] = [
  [
    "forward_causal_f32",
    forwardKernel({
      ...contiguous,
      ...formats(whole),
      mods: mask,
      tile: rowTile,
    }),
  ],
  [
    "forward_softcap_tail_f32",
    forwardKernel({
      ...contiguous,
      ...formats(tail),
      mods: capped,
      tile: rowTile,
    }),
  ],
  [
    "forward_strided_f32",
    forwardKernel({
      ...contiguous,
      ...formats(whole),
      stridedQueries: true,
      stridedKeys: true,
      tile: rowTile,
    }),
  ],
  [
    "forward_paged_f16",
    forwardKernel({
      ...paged,
      ...formats(half),
      tile: rowTile,
    }),
  ],
  [
    "forward_block_maxima_f32",
    forwardKernel({
      ...contiguous,
      ...formats(whole),
      mods: mask,
      blockMaxima: true,
      tile: rowTile,
    }),
  ],
  ["block_scores", blockScoresKernel({})],
  [
    "block_maxima_clear",
    clearKernel({
      label: "attention.block_maxima.clear/u32",
      binding: "block_maxima",
    }),
  ],
  [
    "forward_dropout_f32",
    forwardKernel({
      ...contiguous,
      ...formats(whole),
      dropout: true,
      tile: rowTile,
    }),
  ],
  [
    "decode_dropout_f32",
    decodeKernel({
      ...contiguous,
      ...formats(whole),
      dropout: true,
      tile: decodeTile,
    }),
  ],
  [
    "decode_paged_arenas_f32",
    decodeKernel({
      ...paged,
      ...formats(whole),
      segments: 2,
      partial: true,
      tile: decodeTile,
    }),
  ],
  [
    "decode_paged_strided_f32",
    decodeKernel({
      ...paged,
      ...formats(whole),
      stridedKeys: true,
      partial: true,
      tile: decodeTile,
    }),
  ],
  [
    "decode_causal_f16",
    decodeKernel({
      ...contiguous,
      ...formats(half),
      mods: mask,
      tile: decodeTile,
    }),
  ],
  [
    "decode_persistent_listed_f32",
    decodeKernel({
      ...paged,
      ...formats(whole),
      mods: mask,
      partial: true,
      queries: "listed",
      persistent: true,
      tile: decodeTile,
    }),
  ],
  [
    "merge_f32",
    mergeKernel({
      outputFormat: whole,
      lse: true,
      lanes: 8,
    }),
  ],
  ["capture_gradient_f32", captured],
  ["capture_tables_clear", clearTablesKernel()],
  ["capture_tables_sum", sumTablesKernel()],
  [
    "merge_strided_f32",
    mergeKernel({
      outputFormat: whole,
      lse: true,
      lanes: 8,
      stridedQueries: true,
    }),
  ],
  ["merge_states_f32", mergeStatesKernel(whole)],
  [
    "fa1_causal_tail_f32",
    flash1Kernel({
      ...contiguous,
      ...formats(tail),
      mods: mask,
      tile: { ...rowTile, keyVecs: 2, valueVecs: 2 },
    }),
  ],
  ["standard_scores_f32", standard.scores],
  ["standard_softmax_f32", standard.softmax],
  ["standard_softmax_dropout_f32", standardDropout.softmax],
  ["standard_values_f32", standard.values],
  [
    "append_f32",
    appendKernel({
      keyFormat: tail,
      valueFormat: whole,
      arenaFormat: tail,
    }),
  ],
  [
    "append_rope_f32",
    appendKernel({
      keyFormat: whole,
      valueFormat: whole,
      arenaFormat: whole,
      rope: "half-split",
    }),
  ],
  ["rotate_f16", rotateKernel({ format: half, pairing: "interleaved" })],
  [
    "forward_selected_f32",
    forwardKernel({
      ...contiguous,
      ...formats(whole),
      mods: mask,
      selected: true,
      tile: rowTile,
    }),
  ],
  ["block_runs", blockRunsKernel({ along: "key" })],
  ["block_runs_rows", blockRunsKernel({ along: "row" })],
  ["select_blocks_f32", selectBlocksKernel({ dtype: "f32" })],
  ["select_blocks_u32", selectBlocksKernel({ dtype: "u32" })],
  ["top_blocks_f32", topBlocksKernel({ dtype: "f32" })],
  ["copy_blocks", copyBlocksKernel({ unit: 16, crossing: true })],
  ["copy_blocks_halves", copyBlocksKernel({ unit: 2, crossing: false })],
  ["linear_chunk_state_taylor_f32", chunkStateKernel(taylor)],
  ["linear_scores_taylor_f32", chunkScoresKernel(taylor)],
  ["linear_output_taylor_f32", chunkOutputKernel(taylor)],
  [
    "linear_recurrent_taylor_f32",
    recurrentKernel({
      ...taylor,
      headDim: 16,
      stateFormat: rowFormat("f32", 65),
      initial: true,
      final: true,
      pool: false,
    }),
  ],
  [
    "linear_scan_taylor",
    scanKernel({
      gate: "none",
      featureMap: "taylor",
      stateFormat: rowFormat("f32", 65),
      items: "chunks",
      reduce: false,
      initial: true,
      final: true,
      pool: false,
      kept: false,
    }),
  ],
  ["take_rows", takeRowsKernel({ unit: 16 })],
  ["take_rows_halves", takeRowsKernel({ unit: 2 })],
  [
    "backward_delta_f32",
    deltaKernel({ outputFormat: whole, lseGradient: true, strided: false }),
  ],
  [
    "backward_delta_strided_f32",
    deltaKernel({ outputFormat: whole, lseGradient: false, strided: true }),
  ],
  [
    "backward_key_value_strided_f32",
    keyValueGradientKernel({
      ...backward,
      ...backwardKeys,
      mods: undefined,
      stridedQueries: true,
      stridedKeys: true,
    }),
  ],
  [
    "backward_query_strided_f32",
    queryGradientKernel({
      ...backward,
      mods: undefined,
      stridedQueries: true,
      tile: rowTile,
    }),
  ],
  [
    "backward_value_f32",
    keyValueGradientKernel({
      ...backward,
      ...backwardKeys,
      storesScores: true,
      tile: { ...backwardKeys.tile, rowsPerStep: 4, headVecs: 0 },
    }),
  ],
  [
    "backward_product_key_f32",
    keyProductKernel({ ...backward, ...productKeys }),
  ],
  [
    "backward_product_query_f32",
    queryProductKernel({
      ...backward,
      ...productKeys,
      resumes: false,
      partial: false,
      tile: { ...productKeys.tile, ownRows: 4, step: 2 },
    }),
  ],
  [
    "backward_product_query_resumed_paged_f32",
    queryProductKernel({
      ...backward,
      ...productKeys,
      layout: "paged",
      shift: true,
      resumes: true,
      partial: true,
      tile: { ...productKeys.tile, ownRows: 4, step: 2 },
    }),
  ],
  [
    "backward_query_f32",
    queryGradientKernel({ ...backward, tile: rowTile }),
  ],
  [
    "backward_query_softcap_dropout_f32",
    queryGradientKernel({
      ...backward,
      mods: slopes,
      dropout: true,
      tile: rowTile,
    }),
  ],
  [
    "backward_key_value_f32",
    keyValueGradientKernel({ ...backward, ...backwardKeys }),
  ],
  [
    "backward_query_selected_f32",
    queryGradientKernel({ ...backward, selected: true, tile: rowTile }),
  ],
  [
    "backward_key_value_selected_f32",
    keyValueGradientKernel({
      ...backward,
      ...backwardKeys,
      mods: mask,
      partial: true,
      selected: true,
    }),
  ],
  [
    "backward_key_value_dropout_f32",
    keyValueGradientKernel({ ...backward, ...backwardKeys, dropout: true }),
  ],
  [
    "backward_sum_f32",
    sumKernel({
      gradients: [queryGradientRows(backward)],
      rows: "query",
      lanes: 8,
    }),
  ],
  ...GATE_SNAPSHOTS,
  ...LAYER_SNAPSHOTS,
  ...LINEAR_SNAPSHOTS,
  ...KMEANS_SNAPSHOTS,
  ...SQUEEZED_SNAPSHOTS,
];
