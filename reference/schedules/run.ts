/**
 * One run of a schedule: its slow memory, its arithmetic, and a problem taken
 * apart by kv head, with rows packed over the query heads that share it.
 *
 * @module
 */

import { checkInteger, checkType } from "../../src/core/check.ts";
import { SENTINEL } from "../../src/core/sentinel.ts";
import { dotFma } from "../fma.ts";
import {
  type Geometry,
  geometryOf,
  type ReferenceProblem,
} from "../problem.ts";
import { type FastTile, type SlowMatrix, SlowMemory } from "./slow_memory.ts";
import type {
  CountedFlops,
  Head,
  ScheduleCounts,
  ScheduleResult,
  ScheduleTiles,
  Stretch,
} from "./types.ts";

/**
 * Checks tile sizes.
 *
 * @throws {TypeError} if one is no number
 * @throws {RangeError} if one is no integer >= 1
 */
export function checkTiles({ rows, keys }: ScheduleTiles): void {
  checkInteger("rows", rows, 1);
  checkInteger("keys", keys, 1);
}

/** Cuts `0..length - 1` into tiles; the last may be shorter. */
export function stretches(length: number, tile: number): Stretch[] {
  checkInteger("tile", tile, 1);
  return Array.from({ length: Math.ceil(length / tile) }, (_, index) => ({
    index,
    first: index * tile,
    count: Math.min(tile, length - index * tile),
  }));
}

/** A run over all heads of a problem. */
export class ScheduleRun {
  /** What counts. */
  readonly memory: SlowMemory = new SlowMemory();
  /** What was computed. */
  readonly flops: CountedFlops = { matmul: 0, exp: 0, rescale: 0 };
  /** Where the problem's rows are. */
  readonly geometry: Geometry;
  /** Packed rows of a query. */
  readonly group: number;
  readonly #problem: ReferenceProblem;
  readonly #scale: number;

  /** @throws {TypeError} if there is dropout, which no schedule here takes */
  constructor(problem: ReferenceProblem) {
    checkType(
      problem.keep === undefined,
      "keep",
      "must not be given, as this schedule does not take it",
      problem.keep,
    );
    this.#problem = problem;
    this.geometry = geometryOf(problem);
    this.#scale = Math.fround(this.geometry.scale);
    this.group = problem.queryHeads / problem.kvHeads;
  }

  /** The counts so far. */
  get counts(): ScheduleCounts {
    const { traffic, peakElements } = this.memory;
    return { traffic, flops: { ...this.flops }, peakElements };
  }

  /** Every kv head of every sequence, packed. */
  heads(): Head[] {
    const { batch, kvHeads, queryLength, headDim } = this.#problem;
    const { query, key, value } = this.#problem;
    const { valueHeadDim, keyCount, keyAt, valueAt } = this.geometry;
    const rows = queryLength * this.group;
    return Array.from({ length: batch * kvHeads }, (_, n): Head => {
      const [b, kvHead] = [Math.floor(n / kvHeads), n % kvHeads];
      const head = kvHead * this.group;
      const keys = keyCount(b);
      const packed = (
        tensor: string,
        count: number,
        columns: number,
        from: ArrayLike<number>,
        at: (row: number) => number,
      ): SlowMatrix => {
        const matrix = this.memory.matrix(tensor, count, columns);
        for (let r = 0; r < count; r++) {
          for (let c = 0; c < columns; c++) {
            matrix.data[r * columns + c] = from[at(r) + c];
          }
        }
        return matrix;
      };
      return {
        batch: b,
        kvHead,
        rows,
        keys,
        query: this.packRows(
          "query",
          { batch: b, kvHead, rows },
          query,
          headDim,
        ),
        key: packed("key", keys, headDim, key, (j) => keyAt(b, j, head)),
        value: packed(
          "value",
          keys,
          valueHeadDim,
          value,
          (j) => valueAt(b, j, head),
        ),
        output: this.memory.matrix("output", rows, valueHeadDim),
        lse: this.memory.matrix("lse", rows, 1),
      };
    });
  }

  /**
   * The scores of a tile of rows against a tile of keys, through mods and mask;
   * {@linkcode SENTINEL} where a row does not see a key.
   */
  scores(
    { batch, kvHead }: Head,
    rows: { readonly at: Stretch; readonly query: FastTile },
    keys: { readonly at: Stretch; readonly key: FastTile },
  ): FastTile {
    const tile = this.memory.hold(rows.at.count, keys.at.count);
    const dim = keys.key.columns;
    for (let r = 0; r < rows.at.count; r++) {
      for (let j = 0; j < keys.at.count; j++) {
        const product = dotFma(
          rows.query.data,
          r * dim,
          keys.key.data,
          j * dim,
          dim,
        );
        this.flops.matmul += 2 * dim;
        const pair = { row: rows.at.first + r, key: keys.at.first + j };
        tile.data[r * keys.at.count + j] = this.scoreOf(
          batch,
          kvHead,
          pair,
          product,
        );
      }
    }
    return tile;
  }

  /** What a dot product becomes: scaled, modified, hidden. */
  scoreOf(
    batch: number,
    kvHead: number,
    { row, key }: { readonly row: number; readonly key: number },
    product: number,
  ): number {
    const { mask, score } = this.#problem;
    const { i, h } = this.#unpack(kvHead, row);
    const position = i + this.geometry.queryOffset(batch);
    if (mask && !mask(batch, h, position, key)) return SENTINEL;
    const s = Math.fround(this.#scale * product);
    const modified = score ? Math.fround(score(s, batch, h, position, key)) : s;
    return Math.max(modified, SENTINEL);
  }

  /** Factor of the dot products, rounded. */
  get scale(): number {
    return this.#scale;
  }

  /** A matrix of each head as one array, rows unpacked: `[batch, query, head]`. */
  unpackRows<H extends Head>(
    heads: readonly H[],
    of: (head: H) => SlowMatrix,
  ): Float32Array {
    const { rowAt, rows } = this.geometry;
    const columns = heads.length === 0 ? 0 : of(heads[0]).columns;
    const result = new Float32Array(rows * columns);
    for (const head of heads) {
      const { data } = of(head);
      for (let row = 0; row < head.rows; row++) {
        const { i, h } = this.#unpack(head.kvHead, row);
        result.set(
          data.subarray(row * columns, (row + 1) * columns),
          rowAt(head.batch, i, h) * columns,
        );
      }
    }
    return result;
  }

  /** Rows of an array `[batch, query, head]`, as packed rows of a head. */
  packRows(
    tensor: string,
    { batch, kvHead, rows }: Pick<Head, "batch" | "kvHead" | "rows">,
    from: ArrayLike<number>,
    columns: number,
  ): SlowMatrix {
    const matrix = this.memory.matrix(tensor, rows, columns);
    for (let row = 0; row < rows; row++) {
      const { i, h } = this.#unpack(kvHead, row);
      const at = this.geometry.rowAt(batch, i, h) * columns;
      for (let c = 0; c < columns; c++) {
        matrix.data[row * columns + c] = from[at + c];
      }
    }
    return matrix;
  }

  /** A matrix of each head as one array: `[batch, key, kvHead]`. */
  unpackKeys<H extends Head>(
    heads: readonly H[],
    of: (head: H) => SlowMatrix,
  ): Float32Array {
    const { batch, keyLength, kvHeads } = this.#problem;
    const columns = heads.length === 0 ? 0 : of(heads[0]).columns;
    const result = new Float32Array(batch * keyLength * kvHeads * columns);
    for (const head of heads) {
      const { data } = of(head);
      for (let j = 0; j < head.keys; j++) {
        const at = (head.batch * keyLength + j) * kvHeads + head.kvHead;
        result.set(data.subarray(j * columns, (j + 1) * columns), at * columns);
      }
    }
    return result;
  }

  /** A forward's result. */
  finish(heads: readonly Head[]): ScheduleResult {
    return {
      output: this.unpackRows(heads, ({ output }) => output),
      lse: this.unpackRows(heads, ({ lse }) => lse),
      ...this.counts,
    };
  }

  #unpack(kvHead: number, row: number): { i: number; h: number } {
    const i = Math.floor(row / this.group);
    return { i, h: kvHead * this.group + row - i * this.group };
  }
}
