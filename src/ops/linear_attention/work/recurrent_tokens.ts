/**
 * Which sequences go token by token. Its own length decides, so that a
 * sequence's bits do not depend on what else is in the batch.
 *
 * @module
 */

import { featureRows } from "../../../../kernels/linear/operands/features.ts";
import { UnsupportedError } from "../../../core/errors.ts";
import type { LinearProblem } from "../options/problem.ts";

/**
 * Tokens of a sequence that goes token by token where nothing else is said:
 * below, a chunk's products are for rows that are mostly not there.
 */
export const RECURRENT_TOKENS = 16;

/** Rows of a state at most: those of the largest head dim. */
const RECURRENT_ROWS = 256;

/** Not even sequences without tokens, whose states are handed on. */
const NONE = -1;

/**
 * The length up to which sequences of a problem go token by token.
 *
 * @throws {UnsupportedError} if that is wanted of all, and does not fit
 */
export function recurrentTokens(
  problem: Pick<
    LinearProblem,
    "form" | "decay" | "beta" | "states" | "featureMap" | "headDim"
  >,
  { limits }: {
    readonly limits: { readonly maxStorageBuffersPerShaderStage: number };
  },
): number {
  const { form, decay, beta, states: { initial, final, slots } } = problem;
  if (form === "chunked") return NONE;
  const rows = problem.featureMap === "taylor"
    ? featureRows(problem.headDim)
    : problem.headDim;
  if (rows > RECURRENT_ROWS) {
    if (form === "auto") return NONE;
    throw new UnsupportedError(
      "compute linear attention of features token by token",
      `lanes have registers for ${RECURRENT_ROWS} rows of a state, and it has ${rows}; write form: "chunked", which takes single tokens too`,
    );
  }
  const states = slots === undefined
    ? Number(initial) + Number(final)
    : Number(initial || final);
  const needed = 5 + Number(decay !== undefined) +
    Number(beta !== undefined) + states;
  const most = limits.maxStorageBuffersPerShaderStage;
  if (needed <= most) return form === "auto" ? RECURRENT_TOKENS : Infinity;
  if (form === "auto") return NONE;
  throw new UnsupportedError(
    "compute linear attention token by token",
    `it binds ${needed} buffers, and maxStorageBuffersPerShaderStage is ${most}; give states, a pool, in place of initialState and returnState`,
  );
}
