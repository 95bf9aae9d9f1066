/**
 * The dispatches from gate rows to the blocks that are kept.
 *
 * @module
 */

import { bitWords } from "../../../kernels/fragments/selection.ts";
import { PRODUCT_TILE, productTiles } from "../../../kernels/product.ts";
import {
  KEEP_LANES,
  keepBlocksKernel,
} from "../../../kernels/selection/gate/keep.ts";
import { gateLogitsKernel } from "../../../kernels/selection/gate/logits.ts";
import {
  gateSoftmaxKernel,
  gateSoftmaxLoops,
} from "../../../kernels/selection/gate/softmax.ts";
import { GATE_ROW } from "../../../kernels/selection/gate/spans.ts";
import { UnsupportedError } from "../../core/errors.ts";
import type { Gpu, ProgramParts } from "../../gpu/mod.ts";
import { flatGrid, foldGrid } from "../../gpu/program/dispatch.ts";
import type { BlockGrid } from "../../mods/mod.ts";
import { selectionDispatch } from "../../ops/block_mask/selection_dispatch.ts";
import type { SeerShape } from "./gate_options.ts";
import {
  gateRow,
  keptOf,
  type QueryBlocks,
  type SeerSequence,
} from "./gate_rows.ts";

/** What is scored. */
export interface ScoredBlocks extends QueryBlocks {
  /** Blocks of queries and of keys; one batch entry a sequence. */
  readonly grid: BlockGrid;
  readonly sequences: readonly SeerSequence[];
}

/**
 * The dispatches; they read `gate_query` and `gate_key`, and write `scores`,
 * `blocks` and `counts`.
 *
 * @throws {UnsupportedError} if rows are longer than the adapter's loops may be
 */
export function scoreParts(
  gpu: Gpu,
  shape: SeerShape,
  { grid, sequences, queryBlock, denseRows }: ScoredBlocks,
): ProgramParts {
  const { limits } = gpu;
  const { queryHeads: heads, keyHeads, gateDim, rule } = shape;
  const { queryBlocks, keyBlocks } = grid;
  const words = bitWords(keyBlocks);
  const loops = Math.max(gateSoftmaxLoops(keyBlocks), words);
  if (loops > gpu.maxLoopIterations) {
    throw new UnsupportedError(
      `score ${keyBlocks} blocks of keys by a Seer gate`,
      `its loops take up to ${loops} iterations, and this adapter ends them after ${gpu.maxLoopIterations}; use larger blocks`,
    );
  }
  const rows = sequences.length * heads * queryBlocks;
  const tiles = productTiles(PRODUCT_TILE, {
    rows: queryBlocks,
    columns: keyBlocks,
  });
  const uniforms = {
    sequences: sequences.length,
    heads,
    rows,
    "query_blocks": queryBlocks,
    "key_blocks": keyBlocks,
    "row_words": words,
  };
  // All sequences have as many blocks where their number matters.
  const keys = sequences[0]?.keyCount ?? 0;
  return {
    dispatches: [
      {
        source: gateLogitsKernel(),
        uniforms: {
          ...uniforms,
          ...tiles,
          key_heads: keyHeads,
          head_group: heads / keyHeads,
          gate_vecs: Math.ceil(gateDim / 4),
          scale: 1 / Math.sqrt(gateDim),
        },
        grid: foldGrid(
          sequences.length * heads * tiles.row_tiles * tiles.column_tiles,
          limits,
        ),
      },
      {
        source: gateSoftmaxKernel(),
        uniforms,
        grid: foldGrid(rows, limits),
      },
      selectionDispatch(gpu, grid, {
        threshold: rule.threshold ?? 0,
        topK: keptOf(rule, Math.ceil(keys / shape.block)),
        dtype: "f32",
      }),
      {
        source: keepBlocksKernel(),
        uniforms,
        grid: flatGrid(rows, KEEP_LANES, limits),
      },
    ],
    words: {
      gate_rows: Uint32Array.from(
        sequences.flatMap((sequence) =>
          Array.from({ length: queryBlocks }, (_, row) =>
            GATE_ROW.pack(
              gateRow(sequence, row, { ...shape, queryBlock, denseRows }),
            )).flat()
        ),
      ),
    },
  };
}
