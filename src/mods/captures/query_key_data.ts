/**
 * Data with an element per sequence, head, query and key, as a mod reads it.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { type Capture, capture } from "./capture.ts";
import type { CaptureOptions } from "./capture_options.ts";
import type { Bool, Expression, Float, Int } from "../expression.ts";
import type { CapturedAxis, CapturedTensor, DeviceReading } from "../nodes.ts";
import type { MaskVariables } from "../trace.ts";

/**
 * Options of mods whose data has a row per query.
 *
 * @category Masks and scores
 */
export interface QueryRowsOptions {
  /**
   * The position of row 0's query, for data that goes by positions. By default
   * row i is that of query i of each sequence, whatever its position.
   */
  readonly queryOffset?: number;
}

const AXES = ["batch", "head", "row", "key"] as const;

/** The element of a pair of query and key. */
export type QueryKeyElement<Element> = (variables: MaskVariables) => Element;

/**
 * Data that broadcasts to `[batch, heads, queries, keys]` as NumPy has it: of
 * rank 1 to 4, aligned at the last dimension, and any dimension may be 1.
 *
 * @throws {TypeError} If `shape` has another rank or does not fit.
 * @throws {RangeError} If `data` is empty, or `queryOffset` not an integer.
 */
export function queryKeyData(
  name: string,
  data: Float32Array,
  shape: readonly number[],
  options: QueryRowsOptions,
): QueryKeyElement<Float>;
/** The same for integers. */
export function queryKeyData(
  name: string,
  data: Int32Array,
  shape: readonly number[],
  options: QueryRowsOptions,
): QueryKeyElement<Int>;
/** The same for a mask. */
export function queryKeyData(
  name: string,
  data: Uint8Array,
  shape: readonly number[],
  options: QueryRowsOptions,
): QueryKeyElement<Bool>;
export function queryKeyData(
  name: string,
  data: Float32Array | Int32Array | Uint8Array,
  shape: readonly number[],
  options: QueryRowsOptions,
): QueryKeyElement<Expression> {
  return broadcast(
    name,
    { shape, length: data.length, options },
    (own) => capture(data as Float32Array, own),
  );
}

/** The same for a tensor on a device, read as booleans. */
export function queryKeyTensor(
  name: string,
  source: { readonly tensor: CapturedTensor; readonly as: "bool" | "finite" },
  shape: readonly number[],
  options: QueryRowsOptions,
): QueryKeyElement<Bool>;
/** The same for floats. */
export function queryKeyTensor(
  name: string,
  source: { readonly tensor: CapturedTensor; readonly as: "float" },
  shape: readonly number[],
  options: QueryRowsOptions,
): QueryKeyElement<Float>;
export function queryKeyTensor(
  name: string,
  { tensor, as }: {
    readonly tensor: CapturedTensor;
    readonly as: DeviceReading;
  },
  shape: readonly number[],
  options: QueryRowsOptions,
): QueryKeyElement<Expression> {
  return broadcast(
    name,
    { shape, length: tensor.size, options },
    (own) => capture(tensor, { ...own, as: as as "float" }),
  );
}

function broadcast(
  name: string,
  { shape, length, options }: {
    readonly shape: readonly number[];
    readonly length: number;
    readonly options: QueryRowsOptions;
  },
  make: (options: CaptureOptions) => Capture,
): QueryKeyElement<Expression> {
  checkOptions(`${name}()`, options, {
    known: ["queryOffset"],
    hints: { offset: "write queryOffset" },
  });
  const { queryOffset } = options;
  checkRank(`${name} shape`, shape, [1, 2, 3, 4]);
  if (queryOffset !== undefined) {
    checkInteger("queryOffset", queryOffset, -(2 ** 31) + 1, 2 ** 31 - 1);
  }
  // What has one element for all does not make a mod depend on them.
  const kept = AXES.slice(4 - shape.length)
    .map((axis, i) => ({ axis, size: shape[i] }))
    .filter(({ size }) => size !== 1);
  const captured = make({
    shape: kept.length > 0 ? kept.map(({ size }) => size) : [length],
    given: shape,
    name,
    axes: kept.length > 0
      ? kept.map(({ axis }): CapturedAxis =>
        axis === "row" && queryOffset !== undefined
          ? { from: queryOffset }
          : axis
      )
      : undefined,
  });
  const indexOf = (
    axis: typeof AXES[number],
    variables: MaskVariables,
  ): Int =>
    axis === "row" && queryOffset !== undefined
      ? variables.query.sub(queryOffset)
      : variables[axis];
  return (variables) =>
    kept.length > 0
      ? captured.at(...kept.map(({ axis }) => indexOf(axis, variables)))
      : captured.at(0);
}

/** Throws unless a shape has one of the given ranks. */
export function checkRank(
  name: string,
  shape: readonly number[],
  ranks: readonly number[],
): void {
  checkType(
    Array.isArray(shape) && ranks.includes(shape.length),
    name,
    `must have ${ranks.join(" or ")} dimensions`,
    shape,
  );
}
