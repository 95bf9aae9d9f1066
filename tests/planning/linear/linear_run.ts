/**
 * A run of linear attention with every element of slow memory and every operation
 * counted, for one state at a time. Gates are powers of two, so that small
 * integers stay exact.
 *
 * @module
 */

import type {
  CountedFlops,
  ScheduleCounts,
} from "../../../reference/schedules/types.ts";
import {
  type FastTile,
  type SlowMatrix,
  SlowMemory,
} from "../../../reference/schedules/slow_memory.ts";
import { Prng } from "../../../src/core/prng.ts";
import type { LinearSizes } from "../../../src/planning/mod.ts";
import {
  type FilledSizes,
  filledSizes,
} from "../../../src/planning/linear/sizes.ts";

/** Rows of one state. */
export interface Rows {
  /** `[tokens group, d]`, a token's rows one after the other. */
  readonly query: SlowMatrix;
  /** `[tokens, d]`. */
  readonly key: SlowMatrix;
  /** `[tokens, e]`. */
  readonly value: SlowMatrix;
  /** `[tokens, gates]`: binary logarithms. */
  readonly decay: SlowMatrix;
  /** `[tokens, 1]`. */
  readonly beta: SlowMatrix;
  /** `[D, columns]`. */
  readonly state: SlowMatrix;
}

/** What was counted, and found. */
export interface CountedLinear extends ScheduleCounts {
  /** `[tokens group, e]` of each state. */
  readonly outputs: readonly Float32Array[];
  /** `[D, columns]` of each state, at the end. */
  readonly states: readonly Float32Array[];
}

/** A run over all states of a problem. */
export class LinearRun {
  readonly memory: SlowMemory = new SlowMemory();
  readonly flops: CountedFlops = { matmul: 0, exp: 0, rescale: 0 };
  readonly sizes: FilledSizes;
  readonly #random: Prng;
  readonly #outputs: Float32Array[] = [];
  readonly #states: Float32Array[] = [];

  constructor(sizes: LinearSizes, seed: number) {
    this.sizes = filledSizes(sizes);
    this.#random = new Prng(seed);
  }

  /** Fresh rows for each state, with what one makes of them. */
  each(attend: (rows: Rows) => { output: SlowMatrix; state: SlowMatrix }) {
    for (let n = 0; n < this.sizes.states; n++) {
      const { output, state } = attend(this.rows());
      this.#outputs.push(output.data);
      this.#states.push(state.data);
    }
    const { traffic, peakElements } = this.memory;
    const [outputs, states] = [this.#outputs, this.#states];
    return { traffic, flops: this.flops, peakElements, outputs, states };
  }

  /** Small integers; under the delta rule keys with one of them, 1 or -1. */
  rows(): Rows {
    const { tokens, group, headDim: d, valueHeadDim: e, gates } = this.sizes;
    const random = this.#random;
    const integers = (
      tensor: string,
      [rows, columns]: readonly [number, number],
      [least, most]: readonly [number, number],
    ) => {
      const matrix = this.memory.matrix(tensor, rows, columns);
      for (let i = 0; i < matrix.data.length; i++) {
        matrix.data[i] = least + random.below(most - least + 1);
      }
      return matrix;
    };
    const key = integers("key", [tokens, d], [-2, 2]);
    if (this.sizes.delta) {
      key.data.fill(0);
      for (let t = 0; t < tokens; t++) {
        key.data[t * d + random.below(d)] = 1 - 2 * random.below(2);
      }
    }
    const state = this.memory.matrix(
      "state",
      this.sizes.features,
      this.sizes.columns,
    );
    if (this.sizes.initialState) {
      state.data.forEach((_, i) => state.data[i] = random.below(5) - 2);
    }
    return {
      query: integers("query", [tokens * group, d], [-2, 2]),
      key,
      value: integers("value", [tokens, e], [-2, 2]),
      decay: integers("decay", [tokens, gates], [-1, 0]),
      beta: integers("beta", [tokens, 1], [0, 2]),
      state,
    };
  }

  /** 2^x, counted as an exponential. */
  exp(x: number): number {
    this.flops.exp++;
    return 2 ** x;
  }

  /** `a b`, counted as a multiplication beside the products. */
  times(a: number, b: number): number {
    this.flops.rescale++;
    return a * b;
  }

  /** The exponentials of a row of gates, one for each channel or for all. */
  exps(gates: ArrayLike<number>): (channel: number) => number {
    const all = Array.from(gates, (g) => this.exp(g));
    return all.length === 1 ? () => all[0] : (c) => all[c];
  }

  /** Rows with `factors(row)` multiplied in; as they are without gates. */
  gated(
    tile: FastTile,
    factors: (row: number) => (channel: number) => number,
  ): FastTile {
    if (this.sizes.gates === 0) return tile;
    for (let r = 0; r < tile.rows; r++) {
      const factor = factors(r);
      for (let c = 0; c < tile.columns; c++) {
        const at = r * tile.columns + c;
        tile.data[at] = this.times(tile.data[at], factor(c));
      }
    }
    return tile;
  }

  /** Rows as features, in place of them. */
  featureRows(tile: FastTile): FastTile {
    const { features, headDim: f, featureFlops } = this.sizes;
    if (featureFlops === 0) return tile;
    const out = this.memory.hold(tile.rows, features);
    const root = 1 / f ** 0.25;
    for (let r = 0; r < tile.rows; r++) {
      const x = Array.from(
        tile.data.subarray(r * f, (r + 1) * f),
        (value) => this.times(value, root),
      );
      const row = [1, ...x];
      for (let i = 0; i < f; i++) {
        row.push(this.times(this.times(x[i], x[i]), Math.SQRT1_2));
        for (let j = i + 1; j < f; j++) row.push(this.times(x[i], x[j]));
      }
      out.data.set(row, r * features);
    }
    this.memory.drop(tile);
    return out;
  }

  /** Values, with a column of ones where there is a normaliser. */
  valueColumns(tile: FastTile): FastTile {
    const { columns, normalize } = this.sizes;
    if (!normalize) return tile;
    const out = this.memory.hold(tile.rows, columns);
    for (let r = 0; r < tile.rows; r++) {
      out.data.set(
        tile.data.subarray(r * tile.columns, (r + 1) * tile.columns),
        r * columns,
      );
      out.data[(r + 1) * columns - 1] = 1;
    }
    this.memory.drop(tile);
    return out;
  }

  /** Queries times the scale, which is 1 where there is no feature map. */
  scaled(tile: FastTile): FastTile {
    const { featureFlops, headDim } = this.sizes;
    const scale = featureFlops > 0 ? 1 / Math.sqrt(headDim) : 1;
    tile.data.forEach((x, i) => tile.data[i] = this.times(x, scale));
    return tile;
  }

  /** The same where features do not have the scale in them. */
  scaledRows(tile: FastTile): FastTile {
    return this.sizes.featureFlops > 0 ? tile : this.scaled(tile);
  }

  /** Columns of values, divided by the last column where it is one of sums. */
  normalized(tile: FastTile): FastTile {
    const { valueHeadDim: e, columns, normalize } = this.sizes;
    if (!normalize) return tile;
    const out = this.memory.hold(tile.rows, e);
    for (let r = 0; r < tile.rows; r++) {
      const sum = tile.data[(r + 1) * columns - 1];
      for (let c = 0; c < e; c++) {
        out.data[r * e + c] = this.times(tile.data[r * columns + c], 1 / sum);
      }
    }
    this.memory.drop(tile);
    return out;
  }
}
