// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * The dispatch of sequences that go token by token.
 *
 * @module
 */

import {
  RECURRENT_COLUMNS,
  recurrentKernel,
} from "../../../kernels/linear/recurrent.ts";
import { foldGrid } from "../../gpu/program/dispatch.ts";
import {
  givenStatesSpec,
  type LinearContext,
  type LinearDispatch,
} from "./context.ts";

/** The states of sequences of few tokens, and their outputs, in one dispatch. */
export function recurrentDispatch(
  { problem, schedule, spec, values, device }: LinearContext,
): LinearDispatch {
  const { stateHeads, headDim, valueHeadDim, decay, beta } = problem;
  const { at, count } = schedule.recurrent;
  const column_tiles = Math.ceil(valueHeadDim / RECURRENT_COLUMNS);
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
      sequences_at: at,
      sequence_count: count,
      column_tiles,
    },
    grid: foldGrid(count * stateHeads * column_tiles, device.limits),
    does: "states and outputs of sequences of few tokens, token by token",
  };
}
