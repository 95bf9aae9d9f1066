/** Random block masks of every source, each with its definition. */

import fc from "fast-check";
import {
  type BlockGeometry,
  type BlockMask,
  blockMask,
  blockMaskFromLists,
  blockMaskFromPattern,
  type MaskFunction,
  type MaskMod,
} from "../../../src/mods/mod.ts";
import { Prng } from "../../../src/core/prng.ts";
import { modsDependOn } from "../../../src/mods/trace.ts";
import { maskCases } from "../masks_arbitrary.ts";

/** A block mask and what it means, by query row and key. */
export interface BlockCase {
  readonly mask: BlockMask;
  readonly meaning: MaskFunction;
}

/** Small and odd sizes, blocks of queries and of keys apart. */
export const geometries: fc.Arbitrary<
  & BlockGeometry
  & { batch: number; heads: number; queryBlock: number; keyBlock: number }
> = fc.record({
  queries: fc.integer({ min: 1, max: 24 }),
  keys: fc.integer({ min: 1, max: 30 }),
  queryBlock: fc.integer({ min: 1, max: 9 }),
  keyBlock: fc.integer({ min: 1, max: 9 }),
  batch: fc.constantFrom(1, 2),
  heads: fc.constantFrom(1, 2),
});

type Geometry = typeof geometries extends fc.Arbitrary<infer G> ? G : never;

const offsetOf = ({ queries, keys }: Geometry) => keys - queries;

/** Some blocks of a geometry: 0, 1 or 2 each. */
export function randomLevels(
  { queries, keys, queryBlock, keyBlock, batch, heads }: Geometry,
  seed: number,
  kinds: number,
): { readonly rows: number; readonly columns: number; readonly of: number[] } {
  const random = new Prng(seed);
  const rows = batch * heads * Math.ceil(queries / queryBlock);
  const columns = Math.ceil(keys / keyBlock);
  const of = Array.from({ length: rows * columns }, () => random.below(kinds));
  return { rows, columns, of };
}

/** The level of the block of a query row and a key. */
export function levelAt(
  levels: readonly number[],
  geometry: Geometry,
  [b, h, row, key]: readonly [number, number, number, number],
): number {
  const { queries, keys, queryBlock, keyBlock, heads } = geometry;
  const [rows, columns] = [
    Math.ceil(queries / queryBlock),
    Math.ceil(keys / keyBlock),
  ];
  const plane = Math.min(b, geometry.batch - 1) * heads +
    Math.min(h, heads - 1);
  return levels[
    (plane * rows + Math.floor(row / queryBlock)) * columns +
    Math.floor(key / keyBlock)
  ];
}

/** The blocks of each row that have a level. */
export function rowsWith(
  { rows, columns, of }: ReturnType<typeof randomLevels>,
  level: number,
): number[][] {
  return Array.from(
    { length: rows },
    (_, row) =>
      Array.from({ length: columns }, (_, k) => k)
        .filter((k) => of[row * columns + k] === level),
  );
}

function patternOf(geometry: Geometry, seed: number): BlockCase {
  const levels = randomLevels(geometry, seed, 2);
  const kept = (at: readonly [number, number, number, number]) =>
    levelAt(levels.of, geometry, at) === 1;
  const { queryBlock, keyBlock } = geometry;
  return {
    mask: seed % 2 === 0
      ? blockMaskFromPattern(Uint8Array.from(levels.of), geometry)
      : blockMaskFromPattern(
        (h, q, k, b) => kept([b, h, q * queryBlock, k * keyBlock]),
        geometry,
      ),
    meaning: (b, h, row, key) => kept([b, h, row, key]),
  };
}

function modsOf(geometry: Geometry): fc.Arbitrary<BlockCase> {
  // A mask that depends on the sequence or head has its own for each.
  const sizes = (mask: MaskMod) => ({
    batch: modsDependOn([mask], "batch") ? 2 : 1,
    heads: modsDependOn([mask], "head") ? 2 : 1,
  });
  return maskCases.map(({ mask, meaning }) => ({
    mask: blockMask(mask, { ...geometry, ...sizes(mask) }),
    meaning: (b, h, row, key) => meaning(b, h, row + offsetOf(geometry), key),
  }));
}

function listsFrom(geometry: Geometry, seed: number): fc.Arbitrary<BlockCase> {
  const levels = randomLevels(geometry, seed, 3);
  return maskCases.map(({ mask, meaning }) => ({
    mask: blockMaskFromLists({
      full: rowsWith(levels, 2),
      partial: rowsWith(levels, 1),
      maskMod: mask,
    }, geometry),
    meaning: (b, h, row, key) => {
      const level = levelAt(levels.of, geometry, [b, h, row, key]);
      return level === 2 ||
        level === 1 && meaning(b, h, row + offsetOf(geometry), key);
    },
  }));
}

/** A block mask of a geometry; of any number of sequences and heads up to it. */
export function blockCases(geometry: Geometry): fc.Arbitrary<BlockCase> {
  return fc.tuple(fc.nat(), fc.boolean(), fc.boolean()).chain(
    ([seed, perBatch, perHead]) => {
      const own = {
        ...geometry,
        batch: perBatch ? geometry.batch : 1,
        heads: perHead ? geometry.heads : 1,
      };
      return fc.oneof(
        fc.constant(patternOf(own, seed)),
        modsOf(geometry),
        listsFrom(own, seed),
      );
    },
  );
}

/** Calls `visit` for every pair, by query row. */
export function eachPair(
  { batch, heads, queries, keys }: Geometry,
  visit: (b: number, h: number, row: number, key: number) => void,
): void {
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let row = 0; row < queries; row++) {
        for (let key = 0; key < keys; key++) visit(b, h, row, key);
      }
    }
  }
}
