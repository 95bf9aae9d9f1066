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
  type DeltaScanSpec,
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

/** Half of the solution of chunks' systems: of what is written, or is erased. */
export function deltaSolveDispatch(
  { problem, spec, values, device }: LinearContext,
  segment: Segment,
  { of, reverse = false, solved, does }: {
    readonly of: "value" | "key";
    readonly reverse?: boolean;
    /** Where it goes. */
    readonly solved: string;
    readonly does: string;
  },
): LinearDispatch {
  const { stateHeads, beta } = problem;
  const vecs = of === "value" ? values.value_vecs : values.head_vecs;
  const lanes = segment.chunks.count * stateHeads * vecs;
  return {
    source: deltaSolveKernel({ ...spec, of, beta: beta!.dtype, reverse }),
    uniforms: { ...values, ...segmentUniforms(segment), heads: stateHeads },
    grid: foldGrid(Math.ceil(lanes / SOLVE_LANES), device.limits),
    aliases: { scores: "key_scores", solved },
    does,
  };
}

/** The scan over a segment's chunks. */
export function deltaScanDispatch(
  { problem, schedule, spec, values, device }: LinearContext,
  segment: Segment,
  { aliases, does, ...own }:
    & Partial<Pick<DeltaScanSpec, "initial" | "final" | "reverse">>
    & Pick<LinearDispatch, "aliases" | "does">,
): LinearDispatch {
  const { stateHeads, valueHeadDim } = problem;
  const column_tiles = Math.ceil(valueHeadDim / DELTA_COLUMNS);
  const { at, count } = segment.runs;
  return {
    source: deltaScanKernel({
      ...spec,
      ...givenStatesSpec(problem),
      kept: schedule.kept > 0,
      ...own,
    }),
    uniforms: {
      ...values,
      ...segmentUniforms(segment),
      runs_at: at,
      run_count: count,
      column_tiles,
    },
    grid: foldGrid(count * stateHeads * column_tiles, device.limits),
    aliases,
    does,
  };
}

/** What tokens write, and the states that enter chunks. */
export function deltaDispatches(
  context: LinearContext,
  segment: Segment,
): LinearDispatch[] {
  return [
    keyScoresDispatch(context, segment),
    deltaSolveDispatch(context, segment, {
      of: "value",
      solved: "written",
      does: "what tokens write after an empty state",
    }),
    deltaSolveDispatch(context, segment, {
      of: "key",
      solved: "erased",
      does: "what tokens erase of the state that enters",
    }),
    deltaScanDispatch(context, segment, {
      does: "states that enter chunks, and what their tokens write",
    }),
  ];
}
