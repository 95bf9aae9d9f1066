/**
 * Linear attention token by token, counted.
 *
 * @module
 */

import {
  addProduct,
  addTransposed,
} from "../../../reference/schedules/products.ts";
import type { LinearSizes } from "../../../src/planning/mod.ts";
import { type CountedLinear, LinearRun } from "./linear_run.ts";

/** Token by token. */
export function countedRecurrent(
  sizes: LinearSizes,
  seed: number,
): CountedLinear {
  const run = new LinearRun(sizes, seed);
  const { memory, flops } = run;
  const { tokens, group, features, columns, delta, gates } = run.sizes;
  const { valueHeadDim: e, initialState, returnState } = run.sizes;
  return run.each((rows) => {
    const output = memory.matrix("output", tokens * group, e);
    const held = { row: 0, rows: features };
    const state = initialState
      ? memory.load(rows.state, held)
      : memory.hold(features, columns);
    for (let t = 0; t < tokens; t++) {
      const at = { row: t, rows: 1 };
      const gate = memory.load(rows.decay, at);
      const key = run.featureRows(memory.load(rows.key, at));
      const value = run.valueColumns(memory.load(rows.value, at));
      if (gates > 0) {
        const factor = run.exps(gate.data);
        state.data.forEach((x, i) =>
          state.data[i] = run.times(x, factor(Math.floor(i / columns)))
        );
      }
      if (delta) {
        const beta = memory.load(rows.beta, at);
        const answer = memory.hold(1, columns);
        flops.matmul += addProduct(answer, key, state);
        answer.data.forEach((x, i) =>
          value.data[i] = run.times(beta.data[0], value.data[i] - x)
        );
        memory.drop(answer, beta);
      }
      flops.matmul += addTransposed(state, key, value);
      const query = run.featureRows(
        run.scaledRows(
          memory.load(rows.query, { row: t * group, rows: group }),
        ),
      );
      const answer = memory.hold(group, columns);
      flops.matmul += addProduct(answer, query, state);
      const found = run.normalized(answer);
      memory.store(output, { row: t * group }, found);
      memory.drop(gate, key, value, query, found);
    }
    const last = memory.matrix("state", features, columns);
    if (returnState) memory.store(last, { row: 0 }, state);
    else last.data.set(state.data);
    return { output, state: last };
  });
}
