/**
 * What a gate's options have in common, whether it selects or learns: heads, the
 * sizes of its weights, and how its rows are rotated.
 *
 * @module
 */

import type { RotaryPairing } from "../../../kernels/fragments/rotary.ts";
import {
  checkFinite,
  checkInteger,
  checkOneOf,
  checkRange,
  checkType,
} from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import type { SeerWeights } from "./weights.ts";

/**
 * How a gate's rows are rotated: as the model's own, with blocks in place of
 * tokens.
 *
 * @category Policies
 */
export interface SeerRotary {
  /** Base of the frequencies; 10000 by default. */
  readonly base?: number;
  /** Which elements make a pair; `"half-split"` by default. */
  readonly pairing?: RotaryPairing;
}

/** Heads of a layer. */
export interface GateHeads {
  readonly queryHeads: number;
  readonly kvHeads: number;
}

/** What weights say of a gate. */
export interface WeightSizes {
  readonly headDim: number;
  readonly gateDim: number;
  /** Heads of the gate's keys: the query heads, or the kv heads. */
  readonly keyHeads: number;
}

/** Throws unless kv heads divide query heads. */
export function checkHeads({ queryHeads, kvHeads }: GateHeads): void {
  checkInteger("queryHeads", queryHeads, 1, 2 ** 16);
  checkInteger("kvHeads", kvHeads, 1, queryHeads);
  checkRange(
    queryHeads % kvHeads === 0,
    "queryHeads",
    `must be a multiple of kvHeads (${kvHeads})`,
    queryHeads,
  );
}

/**
 * The sizes of a gate, of its weights.
 *
 * @param shapeOf The shape of one of them, checked.
 * @throws {TypeError} if shapes are not those of a gate of these heads
 * @throws {RangeError} if a dim is out of range
 */
export function gateSizes<T>(
  weights: SeerWeights<T>,
  { queryHeads, kvHeads }: GateHeads,
  shapeOf: (name: string, tensor: T) => readonly number[],
): WeightSizes {
  checkOptions("weights", weights, {
    known: ["key", "query"],
    hints: { wk: "write key", wq: "write query" },
  });
  const key = shapeOf("weights.key", weights.key);
  const query = weights.query === undefined
    ? undefined
    : shapeOf("weights.query", weights.query);
  const [heads, inputs, gateDim] = key;
  checkType(
    key.length === 3 && inputs % 3 === 0,
    "weights.key.shape",
    "must be [heads, 3 headDim, gateDim]",
    key,
  );
  const headDim = inputs / 3;
  checkInteger("weights.key headDim", headDim, 1, 256);
  checkInteger("weights.key gateDim", gateDim, 1, 256);
  const [keyHeads, what] = query === undefined
    ? [queryHeads, "queryHeads, as there is no weights.query"]
    : [kvHeads, "kvHeads"];
  checkType(
    heads === keyHeads,
    "weights.key heads",
    `must be ${what} (${keyHeads})`,
    heads,
  );
  checkType(
    query !== undefined || gateDim === headDim,
    "weights.key gateDim",
    `must be headDim (${headDim}), as there is no weights.query`,
    gateDim,
  );
  const expected = [queryHeads, headDim, gateDim];
  checkType(
    query === undefined || query.join() === expected.join(),
    "weights.query.shape",
    `must be [queryHeads, headDim, gateDim], [${expected.join(", ")}]`,
    query,
  );
  return { headDim, gateDim, keyHeads };
}

/** The rotation of gate rows, with its defaults; none where there is none. */
export function gateRotary(
  rotary: SeerRotary | false = {},
): Required<SeerRotary> | undefined {
  if (rotary === false) return undefined;
  checkOptions("rotary", rotary, {
    known: ["base", "pairing"],
    hints: { theta: "write base", ropeTheta: "write base" },
  });
  const { base = 10000, pairing = "half-split" } = rotary;
  checkFinite("rotary.base", base);
  checkRange(base > 0, "rotary.base", "must be > 0", base);
  checkOneOf("rotary.pairing", pairing, ["interleaved", "half-split"]);
  return { base, pairing };
}
