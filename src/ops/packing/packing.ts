/**
 * Which rows of a padded batch are tokens, and where they lie when packed.
 *
 * @module
 */

import { checkRange, checkType } from "../../core/check.ts";
import type { HostArray } from "../../core/dtype.ts";
import { checkOptions } from "../../core/options.ts";
import { checkHostRows, emptyLike, type HostRows } from "./host_rows.ts";
import {
  keptByLengths,
  keptByMask,
  lengthsShape,
  maskShape,
  type PackingOptions,
} from "./kept_rows.ts";

const NAMES = ["lengths", "length", "padding", "mask", "shape"];

/**
 * A padded batch `[batch, length, ...]` and its tokens `[tokens, ...]`, packed
 * one sequence behind the other without padding. `cuSeqlens` is what
 * `attention()` takes with them.
 *
 * {@linkcode Packing.pack} and {@linkcode Packing.unpack} work on the host,
 * `pack()` and `unpack()` on the device. As each only moves rows, and unpacking
 * leaves zeros elsewhere, the gradient of one is the other.
 *
 * @example Two sequences of three and one token
 * ```ts
 * import { Packing } from "@quire/attention/ops";
 * import { assertEquals } from "@std/assert";
 *
 * const packing = new Packing({ lengths: [3, 1], length: 4 });
 * assertEquals([...packing.cuSeqlens], [0, 3, 4]);
 * assertEquals([...packing.indices], [0, 1, 2, 4]);
 *
 * const padded = {
 *   data: Float32Array.of(1, 2, 3, NaN, 4, NaN, NaN, NaN),
 *   shape: [2, 4],
 * };
 * const packed = packing.pack(padded);
 * assertEquals([...packed.data], [1, 2, 3, 4]);
 * assertEquals([...packing.unpack(packed).data], [1, 2, 3, 0, 4, 0, 0, 0]);
 * ```
 *
 * @category Packing
 */
export class Packing {
  /** Sequences. */
  readonly batch: number;
  /** Rows that the padded batch has for each. */
  readonly length: number;
  /** Tokens of all sequences. */
  readonly tokens: number;
  /** Tokens of the longest sequence. */
  readonly maxLength: number;
  /** Where each sequence starts among the tokens, then their end. */
  readonly cuSeqlens: Uint32Array<ArrayBuffer>;
  /** The row of the padded batch that each token is, counted over all. */
  readonly indices: Uint32Array<ArrayBuffer>;

  /**
   * Finds the tokens.
   *
   * @throws {TypeError} If neither lengths with `length` nor a mask with
   * `shape` is given, or both are, or they have another type or shape.
   * @throws {RangeError} If a length is not an integer in 0..`length`, or there
   * are 2^32 rows or more.
   */
  constructor(options: PackingOptions) {
    checkOptions("Packing", options, {
      known: NAMES,
      hints: {
        attentionMask: "write mask, with shape",
        seqlens: "write lengths, with length",
        maxLength: "write length",
      },
    });
    const { lengths, mask } = options;
    checkType(
      (lengths === undefined) !== (mask === undefined),
      "options of Packing",
      "must have either lengths or mask",
      options,
    );
    const [batch, length] = lengths === undefined
      ? maskShape(options)
      : lengthsShape(options);
    const rows = batch * length;
    checkRange(rows < 2 ** 32, "rows", "must be < 2^32", rows);
    const kept = lengths === undefined
      ? keptByMask(options.mask!, batch, length)
      : keptByLengths(lengths, length, options.padding === "left");
    this.batch = batch;
    this.length = length;
    this.tokens = kept.indices.length;
    this.indices = Uint32Array.from(kept.indices);
    this.cuSeqlens = new Uint32Array(batch + 1);
    kept.counts.forEach((count, b) =>
      this.cuSeqlens[b + 1] = this.cuSeqlens[b] + count
    );
    this.maxLength = kept.counts.reduce((a, b) => Math.max(a, b), 0);
  }

  /** Tokens of each sequence. */
  get lengths(): Uint32Array {
    return this.cuSeqlens.slice(1).map((end, b) => end - this.cuSeqlens[b]);
  }

  /**
   * For each row of the padded batch the token that it is, or `absent`.
   */
  tokenOf(absent: number): Uint32Array<ArrayBuffer> {
    const tokens = new Uint32Array(this.batch * this.length).fill(absent);
    this.indices.forEach((row, token) => tokens[row] = token);
    return tokens;
  }

  /**
   * The tokens' rows.
   *
   * @param padded `[batch, length, ...]`.
   * @returns `[tokens, ...]`, of the same class.
   * @throws {TypeError} If its class or shape is another.
   */
  pack<Data extends HostArray>(padded: HostRows<Data>): HostRows<Data> {
    const tail = this.rowShape("padded", padded?.shape);
    const width = checkHostRows("padded", padded, tail, this.paddedShape(tail));
    const data = emptyLike(padded.data, this.tokens * width);
    this.indices.forEach((row, token) =>
      data.set(
        padded.data.subarray(row * width, (row + 1) * width) as Data & number[],
        token * width,
      )
    );
    return { data, shape: [this.tokens, ...tail] };
  }

  /**
   * The padded batch of tokens' rows, with zeros where there is no token.
   *
   * @param packed `[tokens, ...]`.
   * @returns `[batch, length, ...]`, of the same class.
   * @throws {TypeError} If its class or shape is another.
   */
  unpack<Data extends HostArray>(packed: HostRows<Data>): HostRows<Data> {
    const tail = this.tokenShape("packed", packed?.shape);
    const width = checkHostRows("packed", packed, tail, [this.tokens, ...tail]);
    const shape = this.paddedShape(tail);
    const data = emptyLike(packed.data, this.batch * this.length * width);
    this.indices.forEach((row, token) =>
      data.set(
        packed.data.subarray(
          token * width,
          (token + 1) * width,
        ) as Data & number[],
        row * width,
      )
    );
    return { data, shape };
  }

  /** The padded shape of rows. */
  paddedShape(row: readonly number[]): number[] {
    return [this.batch, this.length, ...row];
  }

  /**
   * The shape of a row of a padded batch.
   *
   * @throws {TypeError} If the batch has another shape.
   */
  rowShape(name: string, shape: readonly number[]): readonly number[] {
    checkType(
      Array.isArray(shape) && shape[0] === this.batch &&
        shape[1] === this.length,
      `${name}.shape`,
      `must be [${this.batch}, ${this.length}, ...], the batch's and its padded length`,
      shape,
    );
    return shape.slice(2);
  }

  /**
   * The shape of a token's row.
   *
   * @throws {TypeError} If there are not as many rows as tokens.
   */
  tokenShape(name: string, shape: readonly number[]): readonly number[] {
    checkType(
      Array.isArray(shape) && shape[0] === this.tokens,
      `${name}.shape`,
      `must be [${this.tokens}, ...], a row for each token`,
      shape,
    );
    return shape.slice(1);
  }
}
