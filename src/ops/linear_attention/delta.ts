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
} from "../../../kernels/linear/delta/scan.ts";
import {
  deltaSolveKernel,
  SOLVE_LANES,
} from "../../../kernels/linear/delta/solve.ts";
import { chunkScoresKernel } from "../../../kernels/linear/scores.ts";
import { foldGrid } from "../../gpu/program/dispatch.ts";
import {
  givenStatesSpec,
  type LinearContext,
  type LinearDispatch,
  productDispatch,
  rowUniforms,
} from "./context.ts";

/** Bytes of scratch of the delta rules. */
export function deltaScratch(
  { problem, schedule, values }: LinearContext,
): Record<string, number> {
  const rows = 16 * schedule.rows * problem.stateHeads;
  return {
    key_scores: Math.max(16, rows * values.score_vecs),
    written: Math.max(16, rows * values.value_vecs),
    erased: Math.max(16, rows * values.head_vecs),
  };
}

/** Scores of keys with the keys before them, in their chunk. */
export function keyScoresDispatch(context: LinearContext): LinearDispatch {
  const { problem, spec } = context;
  const { keyHeads, stateHeads, chunk, strides } = problem;
  return productDispatch(context, {
    source: chunkScoresKernel({
      ...spec,
      queryFormat: spec.keyFormat,
      strict: true,
    }),
    heads: stateHeads,
    rows: chunk,
    columns: chunk,
    uniforms: {
      ...rowUniforms("query", spec.keyFormat, strides.key),
      query_heads: keyHeads,
      scale: 1,
    },
    aliases: { query: "key", scores: "key_scores" },
    does: "scores of keys with those before them in their chunk",
  });
}

/** What tokens write, and the states that enter chunks. */
export function deltaDispatches(context: LinearContext): LinearDispatch[] {
  const { problem, schedule, spec, values, device } = context;
  const { stateHeads, valueHeadDim, beta } = problem;
  const column_tiles = Math.ceil(valueHeadDim / DELTA_COLUMNS);
  const solve = (of: "value" | "key"): LinearDispatch => {
    const vecs = of === "value" ? values.value_vecs : values.head_vecs;
    const lanes = schedule.chunkCount * stateHeads * vecs;
    return {
      source: deltaSolveKernel({ ...spec, of, beta: beta!.dtype }),
      uniforms: { ...values, heads: stateHeads },
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
    keyScoresDispatch(context),
    solve("value"),
    solve("key"),
    {
      source: deltaScanKernel({ ...spec, ...givenStatesSpec(problem) }),
      uniforms: { ...values, column_tiles },
      grid: foldGrid(
        values.sequence_count * stateHeads * column_tiles,
        device.limits,
      ),
      does: "states that enter chunks, and what their tokens write",
    },
  ];
}
