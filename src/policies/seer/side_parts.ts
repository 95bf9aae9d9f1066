/**
 * The dispatches from rows of queries, or of keys, to their gate rows: pooled by
 * blocks, projected, rotated.
 *
 * @module
 */

import { rowFormat, rowStride } from "../../../kernels/fragments/rows.ts";
import { PRODUCT_TILE, productTiles } from "../../../kernels/product.ts";
import {
  POOL_LANES,
  poolKernel,
  poolParts,
} from "../../../kernels/selection/gate/pool.ts";
import { gateProjectionKernel } from "../../../kernels/selection/gate/project.ts";
import {
  GATE_ROTATION_LANES,
  gateRotationKernel,
} from "../../../kernels/selection/gate/rotate.ts";
import { SPAN } from "../../../kernels/selection/gate/spans.ts";
import type { DType } from "../../core/dtype.ts";
import type { Dispatch, Gpu, ProgramParts } from "../../gpu/mod.ts";
import { flatGrid, foldGrid } from "../../gpu/program/dispatch.ts";
import type { SeerShape } from "./gate_options.ts";

/** What is given of a sequence's rows. */
export interface GivenRows {
  /** Where the first of them is, in elements. */
  readonly at: number;
  /** Rows before them, pooled already. */
  readonly first: number;
  /** How many there are. */
  readonly count: number;
}

/** Queries or keys, and what becomes of them. */
export interface GateSide {
  /** Whose names resources end in. */
  readonly side: "query" | "key";
  /** Storage of the rows. */
  readonly dtype: DType;
  /** From one token, and one head, to the next, in elements. */
  readonly strides: { readonly token: number; readonly head: number };
  /** Rows of a block. */
  readonly block: number;
  /** Blocks of a sequence that there is room for. */
  readonly blocks: number;
  /** What is given of each sequence. */
  readonly given: readonly GivenRows[];
  /** The block of keys where each block stands. */
  readonly placeOf: (sequence: number, block: number) => number;
}

/** Vec4s of a row of so many elements. */
function vecs(dim: number): number {
  return Math.ceil(dim / 4);
}

/** Heads of a side before and behind its weights. */
function headsOf(shape: SeerShape, side: GateSide["side"]): {
  readonly pooled: number;
  readonly gate: number;
} {
  const { queryHeads, kvHeads, keyHeads } = shape;
  return side === "query"
    ? { pooled: queryHeads, gate: queryHeads }
    : { pooled: kvHeads, gate: keyHeads };
}

/** Bytes of what a side's kernels write and read again. */
export function sideBytes(
  shape: SeerShape,
  { side, sequences, blocks }: {
    readonly side: GateSide["side"];
    readonly sequences: number;
    readonly blocks: number;
  },
): { readonly pooled: number; readonly gate: number } {
  const heads = headsOf(shape, side);
  const parts = poolParts(side === "query" ? "mean" : "extremes");
  const rows = sequences * blocks * 16;
  return {
    pooled: rows * heads.pooled * parts * vecs(shape.headDim),
    gate: rows * heads.gate * vecs(shape.gateDim),
  };
}

/** Blocks of a sequence of which rows are given, of the one that has most. */
function givenBlocks({ given, block }: GateSide): number {
  return given.reduce((most, { first, count }) => {
    const blocks = count === 0
      ? 0
      : Math.ceil((first + count) / block) - Math.floor(first / block);
    return Math.max(most, blocks);
  }, 0);
}

/**
 * The dispatches of a side. They read `{side}`, `{side}_weight` and `turns`, go
 * on with `pooled_{side}` and write `gate_{side}`; what they need besides comes
 * with them.
 */
export function sideParts(
  { limits }: Gpu,
  shape: SeerShape,
  own: GateSide,
): ProgramParts {
  const { side, dtype, strides, block, blocks, given, placeOf } = own;
  const { headDim, gateDim } = shape;
  const { pooled: pooledHeads, gate: heads } = headsOf(shape, side);
  const most = givenBlocks(own);
  const sequences = given.length;
  if (most === 0) return { dispatches: [] };
  const parts = side === "query" ? "mean" : "extremes";
  const format = rowFormat(dtype, headDim);
  const unit = format.vector ? 4 : 1;
  const names = (more: Readonly<Record<string, string>>) => ({
    spans: `${side}_spans`,
    ...more,
  });
  const common = {
    block,
    "given_blocks": most,
    blocks,
    sequences,
    "head_dim": headDim,
    "head_vecs": vecs(headDim),
    "gate_dim": gateDim,
    "gate_vecs": vecs(gateDim),
  };
  const pooling: Dispatch = {
    source: poolKernel({ format, parts }),
    uniforms: {
      ...common,
      heads: pooledHeads,
      token_stride: strides.token / unit,
      head_stride: strides.head / unit,
    },
    grid: flatGrid(
      sequences * pooledHeads * most * vecs(headDim),
      POOL_LANES,
      limits,
    ),
    aliases: names({ rows: side, pooled: `pooled_${side}` }),
  };
  const weight = shape.weights[side];
  const projected = `projected_${side}`;
  const projecting = weight && projection(limits, {
    weight,
    parts,
    gateDim,
    uniforms: { ...common, heads, pooled_heads: pooledHeads },
    aliases: names({
      pooled: `pooled_${side}`,
      weight: `${side}_weight`,
      projected,
    }),
  });
  const rotating: Dispatch = {
    source: gateRotationKernel({
      pairing: shape.rotary?.pairing ?? "half-split",
    }),
    uniforms: {
      ...common,
      heads,
      rotary_pairs: shape.rotary === undefined ? 0 : Math.floor(gateDim / 2),
    },
    grid: flatGrid(
      sequences * heads * most * vecs(gateDim),
      GATE_ROTATION_LANES,
      limits,
    ),
    aliases: names({
      // A mean without weights is a gate row as it is.
      projected: weight ? projected : `pooled_${side}`,
      positions: `${side}_places`,
      rotary: "turns",
      gate: `gate_${side}`,
    }),
  };
  return {
    dispatches: [pooling, ...(projecting ? [projecting] : []), rotating],
    words: {
      [`${side}_spans`]: Uint32Array.from(
        given.flatMap(({ at, first, count }) =>
          SPAN.pack({ at: at / unit, first, count })
        ),
      ),
      [`${side}_places`]: Uint32Array.from(
        given.flatMap(({ first }, sequence) =>
          Array.from(
            { length: most },
            (_, i) => placeOf(sequence, Math.floor(first / block) + i),
          )
        ),
      ),
    },
    scratch: projecting && {
      [projected]: sequences * heads * most * vecs(gateDim) * 16,
    },
  };
}

function projection(
  limits: Gpu["limits"],
  { weight, parts, gateDim, uniforms, aliases }: {
    readonly weight: DType;
    readonly parts: "mean" | "extremes";
    readonly gateDim: number;
    readonly uniforms: {
      readonly heads: number;
      readonly pooled_heads: number;
      readonly sequences: number;
      readonly given_blocks: number;
    };
    readonly aliases: Readonly<Record<string, string>>;
  },
): Dispatch {
  const format = rowFormat(weight, gateDim);
  const { heads, sequences } = uniforms;
  const tiles = productTiles(PRODUCT_TILE, {
    rows: uniforms.given_blocks,
    columns: gateDim,
  });
  return {
    source: gateProjectionKernel({ weight: format, parts }),
    uniforms: {
      ...uniforms,
      ...tiles,
      head_group: heads / uniforms.pooled_heads,
      weight_stride: rowStride(format, gateDim),
    },
    grid: foldGrid(
      sequences * heads * tiles.row_tiles * tiles.column_tiles,
      limits,
    ),
    aliases,
  };
}
