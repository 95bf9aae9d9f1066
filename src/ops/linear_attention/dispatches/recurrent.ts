// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * The dispatch of sequences that go token by token.
 *
 * @module
 */

import {
  RECURRENT_COLUMNS,
  recurrentKernel,
} from "../../../../kernels/linear/recurrent.ts";
import { foldGrid } from "../../../gpu/program/dispatch.ts";
import {
  givenStatesSpec,
  type LinearContext,
  type LinearDispatch,
} from "../work/context.ts";

/** The states of sequences of few tokens, and their outputs, in one dispatch. */
export function recurrentDispatch(
  { problem, schedule, spec, values, device }: LinearContext,
): LinearDispatch {
  const { stateHeads, headDim, stateColumns, decay, beta } = problem;
  const { chunks, runs } = schedule.recurrent;
  const column_tiles = Math.ceil(stateColumns / RECURRENT_COLUMNS);
  return {
    source: recurrentKernel({
      ...spec,
      ...givenStatesSpec(problem),
      headDim,
      decay: decay?.dtype,
      beta: beta?.dtype,
    }),
    uniforms: {
      ...values,
      chunks_at: chunks.at,
      chunk_count: chunks.count,
      runs_at: runs.at,
      run_count: runs.count,
      column_tiles,
    },
    grid: foldGrid(runs.count * stateHeads * column_tiles, device.limits),
    does: "states and outputs of sequences of few tokens, token by token",
  };
}
