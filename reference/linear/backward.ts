/**
 * The gradients of linear attention, by its recurrence run backwards. Every
 * backward kernel of linear attention is held against this file, and this file
 * against finite differences of the recurrence.
 *
 * A loss depends on the outputs and on each sequence's last state; given are its
 * derivatives with respect to both. From the last token to the first, with `dh`
 * the derivative with respect to the state after the token, and the names of
 * `recurrent.ts`:
 *
 * ```text
 * dq_t = scale h do_t                  dh += scale q_t do_t^T
 * dk_t = dh u_t                        du  = dh^T k_t
 * dv_t = du                            or, delta rules:
 *   dbeta_t = <du, r_t>                dv_t = dr = beta_t du
 *   dk_t -= h' dr                      dh -= k_t dr^T
 * dg_t = sum over columns of h' dh     dh = diag(exp g_t) dh
 * ```
 *
 * and the derivative with respect to the initial state is what is left. What
 * several heads or tokens share has the sum of their gradients.
 *
 * @module
 */

import { checkLength } from "../problem.ts";
import {
  type LinearAttentionProblem,
  type LinearGeometry,
  linearGeometryOf,
} from "./problem.ts";
import {
  type FloatArray,
  type FloatArrays,
  initialStates,
  takeToken,
  type TokenStep,
} from "./recurrent.ts";

/**
 * A problem with what the loss sends back.
 *
 * @category Linear attention
 */
export interface LinearBackwardProblem extends LinearAttentionProblem {
  /** The loss's derivative with respect to the output, as the output. */
  outputGradient: ArrayLike<number>;
  /** That with respect to the last states, as they are; default 0. */
  stateGradient?: ArrayLike<number> | undefined;
}

/**
 * Gradients, each with the shape of its tensor.
 *
 * @category Linear attention
 */
export interface LinearGradients<Floats extends Float64Array | Float32Array> {
  /** As `query`. */
  queryGradient: Floats;
  /** As `key`. */
  keyGradient: Floats;
  /** As `value`. */
  valueGradient: Floats;
  /** As `decay`, of the log gates; empty without. */
  decayGradient: Floats;
  /** As `beta`; empty without. */
  betaGradient: Floats;
  /** `[sequences, valueHeads, headDim, valueHeadDim]`. */
  initialStateGradient: Floats;
}

/**
 * Gradients of linear attention in float64.
 *
 * @param problem The problem, and the loss's derivatives with respect to its
 * results.
 * @returns The gradients, each with the shape of its tensor.
 * @throws {TypeError} if an array is not as long as its shape says, or the rule
 * is not what decay and beta say.
 * @throws {RangeError} if a size is out of range, the heads do not divide, or a
 * log gate is above 0 or not finite.
 *
 * @example The loss is the second of two outputs
 * ```ts
 * import { linearAttentionBackward } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const gradients = linearAttentionBackward({
 *   query: [1, 3],
 *   key: [2, 5],
 *   value: [8, 4],
 *   batch: 1,
 *   sequence: 2,
 *   queryHeads: 1,
 *   keyHeads: 1,
 *   valueHeads: 1,
 *   headDim: 1,
 *   outputGradient: [0, 1],
 * });
 * // The output is 3 (2 * 8 + 5 * 4), and the state is added to it, three times.
 * assertEquals([...gradients.queryGradient], [0, 36]);
 * assertEquals([...gradients.keyGradient], [24, 12]);
 * assertEquals([...gradients.valueGradient], [6, 15]);
 * assertEquals([...gradients.initialStateGradient], [3]);
 * ```
 *
 * @category Linear attention
 */
export function linearAttentionBackward(
  problem: LinearBackwardProblem,
): LinearGradients<Float64Array> {
  return runBackward(problem, linearGeometryOf(problem), Float64Array);
}

/** The recurrence backwards, in the precision of `Floats`. */
export function runBackward<Floats extends FloatArray>(
  problem: LinearBackwardProblem,
  geometry: LinearGeometry,
  Floats: FloatArrays<Floats>,
): LinearGradients<Floats> {
  checkUpstream(problem, geometry);
  const { query, key, value, decay, beta, stateGradient } = problem;
  const { sequences, stateSize } = geometry;
  const gradients: LinearGradients<Floats> = {
    queryGradient: new Floats(query.length),
    keyGradient: new Floats(key.length),
    valueGradient: new Floats(value.length),
    decayGradient: new Floats(decay?.length ?? 0),
    betaGradient: new Floats(beta?.length ?? 0),
    initialStateGradient: initialStates(
      { ...problem, initialState: stateGradient },
      geometry,
      Floats,
    ),
  };
  const states = initialStates(problem, geometry, Floats);

  sequences.forEach(({ first, end }, sequence) => {
    for (let s = 0; s < problem.valueHeads; s++) {
      const stateAt = geometry.stateAt(sequence, s);
      const state = states.subarray(stateAt, stateAt + stateSize);
      // The states before each token and after the last, and what each did.
      const history: Floats[] = [state.slice() as Floats];
      const steps: TokenStep<Floats>[] = [];
      for (let token = first; token < end; token++) {
        const at = { token, s, Floats };
        steps.push(takeToken(problem, geometry, at, state));
        history.push(state.slice() as Floats);
      }
      const dh = gradients.initialStateGradient.subarray(
        stateAt,
        stateAt + stateSize,
      );
      for (let token = end - 1; token >= first; token--) {
        const n = token - first;
        const [before, after] = [history[n], history[n + 1]];
        const then = { before, step: steps[n], after };
        const at = { token, s, then, Floats };
        giveBack(problem, geometry, at, { ...gradients, dh });
      }
    }
  });
  return gradients;
}

/** What a token did, and the state on both sides of it. */
interface TokenState<Floats extends FloatArray> {
  readonly before: Floats;
  readonly step: TokenStep<Floats>;
  readonly after: Floats;
}

/** Adds the gradients of one token and value head, and takes `dh` before it. */
function giveBack<Floats extends FloatArray>(
  problem: LinearBackwardProblem,
  geometry: LinearGeometry,
  { token, s, then: { before, step, after }, Floats }: {
    token: number;
    s: number;
    then: TokenState<Floats>;
    Floats: FloatArrays<Floats>;
  },
  { dh, ...gradients }: LinearGradients<Floats> & { dh: FloatArray },
): void {
  const { query, key, headDim, outputGradient } = problem;
  const { queryGradient, keyGradient, valueGradient } = gradients;
  const { valueHeadDim, stateSize } = geometry;
  const keyAt = geometry.keyAt(token, s);
  const valueAt = geometry.valueAt(token, s);
  const { decays, residual, written, update } = step;
  const [scale] = new Floats(1).fill(geometry.scale);
  const forEachElement = (
    visit: (t: number, c: number, at: number) => void,
  ) => {
    for (let t = 0; t < headDim; t++) {
      for (let c = 0; c < valueHeadDim; c++) visit(t, c, t * valueHeadDim + c);
    }
  };

  for (const h of geometry.readersOf(s)) {
    const queryAt = geometry.queryAt(token, h);
    const outputAt = geometry.outputAt(token, h);
    const recalled = new Floats(headDim);
    const scaled = new Floats(headDim);
    for (let t = 0; t < headDim; t++) scaled[t] = scale * query[queryAt + t];
    forEachElement((t, c, at) => {
      recalled[t] += after[at] * outputGradient[outputAt + c];
      dh[at] += scaled[t] * outputGradient[outputAt + c];
    });
    for (let t = 0; t < headDim; t++) {
      queryGradient[queryAt + t] += scale * recalled[t];
    }
  }

  const du = new Floats(valueHeadDim);
  forEachElement((t, c, at) => {
    keyGradient[keyAt + t] += dh[at] * update[c];
    du[c] += dh[at] * key[keyAt + t];
  });
  const decayed = new Floats(stateSize);
  forEachElement((t, _, at) => decayed[at] = decays[t] * before[at]);
  if (geometry.delta) {
    const dr = new Floats(valueHeadDim);
    for (let c = 0; c < valueHeadDim; c++) {
      gradients.betaGradient[geometry.betaAt(token, s)] += du[c] * residual[c];
      dr[c] = written * du[c];
      valueGradient[valueAt + c] += dr[c];
    }
    forEachElement((t, c, at) => {
      keyGradient[keyAt + t] -= decayed[at] * dr[c];
      dh[at] -= key[keyAt + t] * dr[c];
    });
  } else {
    for (let c = 0; c < valueHeadDim; c++) valueGradient[valueAt + c] += du[c];
  }
  if (geometry.gated) {
    forEachElement((t, _, at) => {
      const gateAt = geometry.gateAt(token, s, t);
      gradients.decayGradient[gateAt] += decayed[at] * dh[at];
      dh[at] *= decays[t];
    });
  }
}

/** Checks what the loss sends back. */
export function checkUpstream(
  { outputGradient, stateGradient, valueHeads, headDim }: LinearBackwardProblem,
  { tokens, outputHeads, valueHeadDim, sequences }: LinearGeometry,
): void {
  const shape = [tokens, outputHeads, valueHeadDim];
  checkLength("outputGradient", outputGradient, shape);
  if (stateGradient === undefined) return;
  const states = [sequences.length, valueHeads, headDim, valueHeadDim];
  checkLength("stateGradient", stateGradient, states);
}
