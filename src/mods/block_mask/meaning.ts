/**
 * What a block mask says of a single pair, as an expression: what kernels
 * evaluate where a tile of theirs is not decided, and what the oracle takes.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { type Capture, capture } from "../captures/capture.ts";
import { Bool, type Int } from "../expression.ts";
import { type MaskMod, type MaskVariables, modsDependOn } from "../trace.ts";
import type { BlockGrid } from "./geometry.ts";
import { EMPTY, FULL, PARTIAL } from "./levels.ts";

/**
 * Whether a pair is seen, where so many neighbouring query heads share one of
 * the mask's.
 *
 * @category Blocks
 */
export type Meaning = (variables: MaskVariables, group: number) => Bool;

/** That of masks which must all hold; they know the problem's own heads. */
export function meaningOfMods(mods: readonly MaskMod[]): Meaning {
  const perHead = modsDependOn(mods, "head");
  return (_, group) => {
    checkType(
      group === 1 || !perHead,
      "block mask",
      "must have as many heads as there are query heads, as its mask depends on the head",
      mods.map(({ name }) => name).join(", "),
    );
    return mods.map(({ expression }) => new Bool(expression))
      .reduce((all, part) => all.and(part));
  };
}

/**
 * That of blocks: all of a full one, what `inner` says in a partial one. The
 * blocks are captured as bits.
 */
export function meaningOfLevels(
  grid: BlockGrid,
  levels: Uint8Array,
  inner: MaskMod | undefined,
): Meaning {
  const full = captureWhere(grid, levels, (level) => level === FULL);
  const partial = inner && levels.includes(PARTIAL)
    ? captureWhere(grid, levels, (level) => level !== EMPTY)
    : undefined;
  return (variables, group) => {
    const at = blockIndices(grid, variables, group);
    const seen = full.at(...at);
    return partial === undefined
      ? seen
      : seen.or(partial.at(...at).and(new Bool(inner!.expression)));
  };
}

/** Bits of the blocks, without the dimensions that are the same for all. */
function captureWhere(
  grid: BlockGrid,
  levels: Uint8Array,
  is: (level: number) => boolean,
): Capture<Bool> {
  const data = Uint8Array.from(levels, (level) => Number(is(level)));
  return capture(data, {
    shape: axesOf(grid).map(({ size }) => size),
    name: "block mask",
  });
}

/** The dimensions of a capture of blocks. */
function axesOf(grid: BlockGrid): {
  readonly size: number;
  readonly index: (variables: MaskVariables, group: number) => Int;
}[] {
  const { batch, heads, queryBlocks, keyBlocks, queryBlock, keyBlock } = grid;
  const rowOf = (v: MaskVariables) =>
    grid.rowsBy === "position" ? v.query.sub(grid.queryOffset) : v.row;
  return [
    { size: batch, index: (v: MaskVariables) => v.batch },
    {
      size: heads,
      index: (v: MaskVariables, group: number) =>
        group === 1 ? v.head : v.head.div(group),
    },
    {
      size: queryBlocks,
      index: (v: MaskVariables) => rowOf(v).div(queryBlock),
    },
    { size: keyBlocks, index: (v: MaskVariables) => v.key.div(keyBlock) },
  ].filter(({ size }, axis) => axis >= 2 || size > 1);
}

function blockIndices(
  grid: BlockGrid,
  variables: MaskVariables,
  group: number,
): Int[] {
  return axesOf(grid).map(({ index }) => index(variables, group));
}
