/**
 * Linear attention by chunks, counted.
 *
 * @module
 */

import type { FastTile } from "../../../reference/schedules/slow_memory.ts";
import {
  addProduct,
  addTransposed,
} from "../../../reference/schedules/products.ts";
import { stretches } from "../../../reference/schedules/run.ts";
import type { LinearChunks, LinearSizes } from "../../../src/planning/mod.ts";
import { type CountedLinear, LinearRun } from "./linear_run.ts";

/** A chunk's rows, each read in the dispatch that needs them. */
interface Chunk {
  readonly index: number;
  readonly first: number;
  readonly count: number;
}

/** By chunks. */
export function countedChunks(
  sizes: LinearSizes,
  { chunk: length, subChunk = length }: LinearChunks,
  seed: number,
): CountedLinear {
  const run = new LinearRun(sizes, seed);
  const { memory, flops } = run;
  const filled = run.sizes;
  const { tokens, group, features, columns, gates: gateCount } = filled;
  const { headDim: d, valueHeadDim: e } = filled;
  return run.each((rows) => {
    const chunks = stretches(tokens, length) as Chunk[];
    const gates = memory.matrix("gates", tokens, gateCount);
    const states = memory.matrix("states", chunks.length * features, columns);
    const scores = memory.matrix("scores", tokens, length * group);
    const solved = memory.matrix("solved", tokens, d + e);
    const residuals = memory.matrix("residuals", tokens, e);
    const output = memory.matrix("output", tokens * group, e);
    const last = memory.matrix("state", features, columns);
    const part = (c: Chunk) => ({ row: c.first, rows: c.count });
    const queries = (c: Chunk) => ({
      row: c.first * group,
      rows: c.count * group,
    });
    const gateRow = (tile: FastTile, t: number) =>
      tile.data.subarray(t * gateCount, (t + 1) * gateCount);
    const minus = (a: ArrayLike<number>, b: ArrayLike<number>) =>
      Array.from(a, (x, i) => x - b[i]);

    for (const c of chunks) {
      const tile = memory.load(rows.decay, part(c));
      for (let i = gateCount; i < tile.data.length; i++) {
        tile.data[i] += tile.data[i - gateCount];
      }
      memory.store(gates, { row: c.first }, tile);
      memory.drop(tile);
    }

    /** `<left_t, right_s> 2^(G_t - G_s)`, by pair, with what it takes. */
    const pairs = (
      left: FastTile,
      right: FastTile,
      gate: FastTile,
      strict: boolean,
    ): (row: number, s: number) => number => {
      const per = left.rows / right.rows;
      const found = new Float32Array(left.rows * right.rows);
      const cut = stretches(right.rows, subChunk);
      const last = strict ? 1 : 0;
      const dot = (r: number, s: number, factor: (c: number) => number) => {
        flops.matmul += 2 * d;
        let sum = 0;
        for (let c = 0; c < d; c++) {
          sum += left.data[r * d + c] * right.data[s * d + c] * factor(c);
        }
        return sum;
      };
      if (gateCount !== d || gateCount === 1) {
        for (let t = 0; t < right.rows; t++) {
          for (let s = 0; s <= t - last; s++) {
            const factor = gateCount === 0
              ? 1
              : run.exp(gate.data[t] - gate.data[s]);
            for (let g = 0; g < per; g++) {
              const r = t * per + g;
              const product = dot(r, s, () => 1);
              found[r * right.rows + s] = gateCount === 0
                ? product
                : run.times(product, factor);
            }
          }
        }
        return (r, s) => found[r * right.rows + s];
      }
      for (const own of cut) {
        const reference = gateRow(gate, own.first);
        const mine = Array.from(
          { length: own.first > 0 ? own.count : 0 },
          (_, i) => run.exps(minus(gateRow(gate, own.first + i), reference)),
        );
        const lefts = mine.flatMap((factor, i) =>
          Array.from({ length: per }, (_, g) => {
            const at = ((own.first + i) * per + g) * d;
            return Array.from(
              left.data.subarray(at, at + d),
              (x, c) => run.times(x, factor(c)),
            );
          })
        );
        for (const others of cut.slice(0, own.index)) {
          for (let s = others.first; s < others.first + others.count; s++) {
            const factor = run.exps(minus(reference, gateRow(gate, s)));
            const theirs = Array.from(
              right.data.subarray(s * d, (s + 1) * d),
              (x, c) => run.times(x, factor(c)),
            );
            lefts.forEach((x, i) => {
              flops.matmul += 2 * d;
              const r = own.first * per + i;
              found[r * right.rows + s] = x.reduce(
                (sum, value, c) => sum + value * theirs[c],
                0,
              );
            });
          }
        }
        for (let t = own.first; t < own.first + own.count; t++) {
          for (let s = own.first; s <= t - last; s++) {
            const factor = run.exps(minus(gateRow(gate, t), gateRow(gate, s)));
            for (let g = 0; g < per; g++) {
              const r = t * per + g;
              flops.rescale += d;
              found[r * right.rows + s] = dot(r, s, factor);
            }
          }
        }
      }
      return (r, s) => found[r * right.rows + s];
    };
    const toEnd = (gate: FastTile, count: number) => (r: number) =>
      run.exps(minus(gateRow(gate, count - 1), gateRow(gate, r)));
    const decayed = (state: FastTile, gate: ArrayLike<number>) => {
      if (gateCount === 0) return;
      const factor = run.exps(gate);
      state.data.forEach((x, i) =>
        state.data[i] = run.times(x, factor(Math.floor(i / columns)))
      );
    };
    const first = () =>
      filled.initialState
        ? memory.load(rows.state, { row: 0, rows: features })
        : memory.hold(features, columns);
    const finish = (state: FastTile) => {
      if (filled.returnState) memory.store(last, { row: 0 }, state);
      else last.data.set(state.data);
      memory.drop(state);
    };

    if (filled.delta) {
      for (const c of chunks) {
        const key = memory.load(rows.key, part(c));
        const value = memory.load(rows.value, part(c));
        const beta = memory.load(rows.beta, part(c));
        const gate = memory.load(gates, part(c));
        const product = pairs(key, key, gate, true);
        const n = c.count;
        const inverse = Array.from(
          { length: n },
          (_, t) => Array.from({ length: n }, (_, s) => Number(t === s)),
        );
        for (let t = 0; t < n; t++) {
          const own = Array.from(
            { length: t },
            (_, s) => run.times(product(t, s), beta.data[s]),
          );
          for (let j = 0; j < t; j++) {
            let sum = own[j];
            for (let s = j + 1; s < t; s++) {
              sum += own[s] * inverse[s][j];
              flops.matmul += 2;
            }
            inverse[t][j] = -sum;
          }
        }
        const grown = run.gated(key, (r) => run.exps(gateRow(gate, r)));
        const both = memory.hold(n, e + d);
        for (let t = 0; t < n; t++) {
          const row = [
            ...value.data.subarray(t * e, (t + 1) * e),
            ...grown.data.subarray(t * d, (t + 1) * d),
          ];
          for (let s = 0; s < t; s++) {
            flops.matmul += 2 * (d + e);
            row.forEach((_, i) => {
              const theirs = i < e
                ? value.data[s * e + i]
                : grown.data[s * d + i - e];
              row[i] += inverse[t][s] * theirs;
            });
          }
          both.data.set(row, t * (d + e));
        }
        memory.store(solved, { row: c.first }, both);
        memory.drop(key, value, beta, gate, both);
      }
      const state = first();
      for (const c of chunks) {
        memory.store(states, { row: c.index * features }, state);
        const both = memory.load(solved, part(c));
        const key = memory.load(rows.key, part(c));
        const beta = memory.load(rows.beta, part(c));
        const gate = memory.load(gates, part(c));
        const weights = memory.hold(c.count, d);
        const found = memory.hold(c.count, e);
        for (let t = 0; t < c.count; t++) {
          const row = both.data.subarray(t * (d + e), (t + 1) * (d + e));
          weights.data.set(row.subarray(e), t * d);
        }
        flops.matmul += addProduct(found, weights, state);
        found.data.forEach((x, i) => {
          const [t, j] = [Math.floor(i / e), i % e];
          const residual = both.data[t * (d + e) + j] - x;
          found.data[i] = run.times(beta.data[t], residual);
        });
        decayed(state, gateRow(gate, c.count - 1));
        const kept = run.gated(key, toEnd(gate, c.count));
        flops.matmul += addTransposed(state, kept, found);
        memory.store(residuals, { row: c.first }, found);
        memory.drop(both, key, beta, gate, weights, found);
      }
      finish(state);
    } else {
      for (const c of chunks) {
        const gate = memory.load(gates, part(c));
        const key = run.featureRows(
          run.gated(memory.load(rows.key, part(c)), toEnd(gate, c.count)),
        );
        const value = run.valueColumns(memory.load(rows.value, part(c)));
        const sum = memory.hold(features, columns);
        flops.matmul += addTransposed(sum, key, value);
        memory.store(states, { row: c.index * features }, sum);
        memory.drop(gate, key, value, sum);
      }
      const state = first();
      for (const c of chunks) {
        const at = { row: c.index * features, rows: features };
        const added = memory.load(states, at);
        const gate = memory.load(gates, {
          row: c.first + c.count - 1,
          rows: 1,
        });
        memory.store(states, at, state);
        decayed(state, gate.data);
        added.data.forEach((x, i) => state.data[i] += x);
        memory.drop(added, gate);
      }
      finish(state);
    }

    for (const c of chunks) {
      const query = run.scaled(memory.load(rows.query, queries(c)));
      const key = memory.load(rows.key, part(c));
      const gate = memory.load(gates, part(c));
      const product = pairs(query, key, gate, false);
      for (let t = 0; t < c.count; t++) {
        const row = memory.hold(1, (t + 1) * group);
        row.data.forEach((_, i) => {
          const x = product(t * group + i % group, Math.floor(i / group));
          if (filled.featureFlops === 0) row.data[i] = x;
          else {
            row.data[i] = 1 + run.times(x, 1 + run.times(x, 0.5));
          }
        });
        memory.store(scores, { row: c.first + t }, row);
        memory.drop(row);
      }
      memory.drop(query, key, gate);
    }

    for (const c of chunks) {
      const query = run.scaledRows(memory.load(rows.query, queries(c)));
      const gate = memory.load(gates, part(c));
      const state = memory.load(states, {
        row: c.index * features,
        rows: features,
      });
      const value = run.valueColumns(
        memory.load(filled.delta ? residuals : rows.value, part(c)),
      );
      const factors = Array.from(
        { length: gateCount > 0 ? c.count : 0 },
        (_, t) => run.exps(gateRow(gate, t)),
      );
      const grown = run.featureRows(
        run.gated(query, (r) => factors[Math.floor(r / group)]),
      );
      const answer = memory.hold(c.count * group, columns);
      flops.matmul += addProduct(answer, grown, state);
      for (let t = 0; t < c.count; t++) {
        const row = memory.load(scores, {
          row: c.first + t,
          rows: 1,
          columns: (t + 1) * group,
        });
        row.data.forEach((weight, i) => {
          const [g, s] = [i % group, Math.floor(i / group)];
          flops.matmul += 2 * columns;
          for (let j = 0; j < columns; j++) {
            answer.data[(t * group + g) * columns + j] += weight *
              value.data[s * columns + j];
          }
        });
        memory.drop(row);
      }
      const found = run.normalized(answer);
      memory.store(output, { row: c.first * group }, found);
      memory.drop(gate, state, value, grown, found);
    }
    return { output, state: last };
  });
}
