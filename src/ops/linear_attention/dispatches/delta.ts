// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * The dispatches of the delta rules by chunks: what tokens write into the state,
 * and the states that enter chunks.
 *
 * @module
 */

import {
  DELTA_COLUMNS,
  deltaScanKernel,
} from "../../../../kernels/linear/delta/scan.ts";
import {
  deltaSolveKernel,
  SOLVE_LANES,
} from "../../../../kernels/linear/delta/solve.ts";
import {
  chunkScoresKernel,
  scoresTile,
} from "../../../../kernels/linear/chunked/scores.ts";
import { foldGrid } from "../../../gpu/program/dispatch.ts";
import type { Segment } from "../work/chunks.ts";
import {
  givenStatesSpec,
  type LinearContext,
  type LinearDispatch,
  rowUniforms,
} from "../work/context.ts";
import { productDispatch, segmentUniforms } from "./product_dispatch.ts";

/** Scores of keys with the keys before them, in their chunk. */
export function keyScoresDispatch(
  context: LinearContext,
  segment: Segment,
): LinearDispatch {
  const { problem, spec } = context;
  const { keyHeads, stateHeads, chunk, strides } = problem;
  const own = { ...spec, delta: false, queryFormat: spec.keyFormat };
  return productDispatch(context, segment, {
    source: chunkScoresKernel({ ...own, strict: true }),
    tile: scoresTile(own),
    heads: stateHeads,
    rows: chunk,
    columns: chunk,
    uniforms: {
      ...rowUniforms("query", spec.keyFormat, strides.key),
      heads: stateHeads,
      query_heads: keyHeads,
      scale: 1,
    },
    aliases: { query: "key", scores: "key_scores" },
    does: "scores of keys with those before them in their chunk",
  });
}

/** What tokens write, and the states that enter chunks. */
export function deltaDispatches(
  context: LinearContext,
  segment: Segment,
): LinearDispatch[] {
  const { problem, schedule, spec, values, device } = context;
  const { stateHeads, valueHeadDim, beta } = problem;
  const column_tiles = Math.ceil(valueHeadDim / DELTA_COLUMNS);
  const solve = (of: "value" | "key"): LinearDispatch => {
    const vecs = of === "value" ? values.value_vecs : values.head_vecs;
    const lanes = segment.chunks.count * stateHeads * vecs;
    return {
      source: deltaSolveKernel({ ...spec, of, beta: beta!.dtype }),
      uniforms: {
        ...values,
        ...segmentUniforms(segment),
        heads: stateHeads,
      },
      grid: foldGrid(Math.ceil(lanes / SOLVE_LANES), device.limits),
      aliases: {
        scores: "key_scores",
        solved: of === "value" ? "written" : "erased",
      },
      does: of === "value"
        ? "what tokens write after an empty state"
        : "what tokens erase of the state that enters",
    };
  };
  return [
    keyScoresDispatch(context, segment),
    solve("value"),
    solve("key"),
    {
      source: deltaScanKernel({
        ...spec,
        ...givenStatesSpec(problem),
        kept: schedule.kept > 0,
      }),
      uniforms: {
        ...values,
        ...segmentUniforms(segment),
        runs_at: segment.runs.at,
        run_count: segment.runs.count,
        column_tiles,
      },
      grid: foldGrid(
        segment.runs.count * stateHeads * column_tiles,
        device.limits,
      ),
      does: "states that enter chunks, and what their tokens write",
    },
  ];
}
