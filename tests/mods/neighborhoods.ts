/** Neighbourhoods with random parameters, and what NATTEN says they are. */

import fc from "fast-check";
import {
  mortonOrder,
  neighborhood,
  type NeighborhoodOptions,
  slidingTile,
  type SlidingTileOptions,
  tileOrder,
} from "../../src/mods/mod.ts";
import type { MaskCase } from "./masks_arbitrary.ts";

/** One dimension of a neighbourhood. */
export interface Dimension {
  readonly extent: number;
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  readonly causal: boolean;
}

/**
 * The coordinates that coordinate `at` sees, by moving a window about: the
 * definition in words, with no formula of the mask's.
 */
export function windowAt(one: Dimension, at: number): number[] {
  const group: number[] = [];
  for (let i = at % one.dilation; i < one.extent; i += one.dilation) {
    group.push(i);
  }
  const own = group.indexOf(at);
  // Queries that share a window, of which the canvas may lack the last ones.
  const mates = Array.from(
    { length: one.stride },
    (_, i) => own - own % one.stride + i,
  );
  const leader = one.causal ? mates.at(-1)! : mates[mates.length >> 1];
  const centre = Math.min(leader, group.length - 1);
  if (one.causal) {
    return group.slice(Math.max(centre + 1 - one.kernel, 0), own + 1);
  }
  let start = centre - (one.kernel >> 1);
  while (start < 0) start++;
  while (start + one.kernel > group.length) start--;
  return group.slice(start, start + one.kernel);
}

/** Where a row-major index lies. */
export function placeOf(canvas: readonly number[], index: number): number[] {
  const place: number[] = [];
  for (const size of [...canvas].reverse()) {
    place.unshift(index % size);
    index = Math.floor(index / size);
  }
  return place;
}

const dimension = (most: number): fc.Arbitrary<Dimension> =>
  fc.integer({ min: 1, max: most }).chain((extent) =>
    fc.integer({ min: 1, max: Math.min(3, extent) }).chain((dilation) =>
      fc.tuple(fc.boolean(), fc.nat())
        .map(([narrow, kernel]) =>
          kernel % Math.min(narrow ? 6 : 200, Math.floor(extent / dilation)) + 1
        )
        .chain((kernel) =>
          fc.record({
            extent: fc.constant(extent),
            kernel: fc.constant(kernel),
            stride: fc.integer({ min: 1, max: kernel }),
            dilation: fc.constant(dilation),
            causal: fc.boolean(),
          })
        )
    )
  );

const dimensions: fc.Arbitrary<readonly Dimension[]> = fc.oneof(
  fc.array(dimension(70), { minLength: 1, maxLength: 1 }),
  fc.array(dimension(12), { minLength: 2, maxLength: 2 }),
  fc.array(dimension(6), { minLength: 3, maxLength: 3 }),
);

/** The options of dimensions. */
export function optionsOf(all: readonly Dimension[]): NeighborhoodOptions {
  return {
    canvas: all.map(({ extent }) => extent),
    kernel: all.map(({ kernel }) => kernel),
    stride: all.map(({ stride }) => stride),
    dilation: all.map(({ dilation }) => dilation),
    causal: all.map(({ causal }) => causal),
  };
}

/** What sees what, of tokens that stand in `order`. */
export function neighborhoodMeaning(
  all: readonly Dimension[],
  order?: Int32Array,
): (query: number, key: number) => boolean {
  const canvas = all.map(({ extent }) => extent);
  const tokens = canvas.reduce((a, b) => a * b);
  const inside = (position: number) => position >= 0 && position < tokens;
  const at = (position: number) =>
    placeOf(canvas, order ? order[position] : position);
  return (query, key) => {
    if (!inside(query) || !inside(key)) return false;
    const seen = at(key);
    return at(query).every((own, axis) =>
      windowAt(all[axis], own).includes(seen[axis])
    );
  };
}

/** Any neighbourhood, in any order of its tokens. */
export const neighborhoodCase: fc.Arbitrary<MaskCase> = fc.record({
  all: dimensions,
  order: fc.constantFrom("rows", "tiles", "morton"),
  tile: fc.integer({ min: 1, max: 4 }),
}).map(({ all, order, tile }) => {
  const options = optionsOf(all);
  const { canvas } = options;
  const tokens = order === "rows"
    ? undefined
    : order === "tiles"
    ? tileOrder(canvas, tile)
    : mortonOrder(canvas);
  const meaning = neighborhoodMeaning(all, tokens);
  return {
    mask: neighborhood({ ...options, order: tokens }),
    meaning: (_b, _h, q, k) => meaning(q, k),
    // Along a line, one window after the other.
    exact: order === "rows" && all.length === 1 && all[0].dilation === 1 &&
      !all[0].causal,
  };
});

/** Any sliding tiles: windows of tiles, counted one by one. */
export const slidingTileCase: fc.Arbitrary<MaskCase> = fc.record({
  axes: fc.array(
    fc.record({
      tile: fc.integer({ min: 1, max: 3 }),
      tiles: fc.integer({ min: 1, max: 4 }),
      kernel: fc.integer({ min: 1, max: 4 }),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  text: fc.constantFrom(0, 0, 5),
}).map(({ axes, text }) => {
  const tile = axes.map(({ tile }) => tile);
  const tiles = axes.map(({ tiles }) => tiles);
  const options: SlidingTileOptions = {
    tile,
    canvas: tiles.map((count, i) => count * tile[i]),
    kernel: axes.map(({ kernel, tiles, tile }) =>
      Math.min(kernel, tiles) * tile
    ),
    text,
  };
  const inTile = tile.reduce((a, b) => a * b);
  const vision = inTile * tiles.reduce((a, b) => a * b);
  const ofTiles = neighborhoodMeaning(axes.map(({ kernel, tiles }) => ({
    extent: tiles,
    kernel: Math.min(kernel, tiles),
    stride: 1,
    dilation: 1,
    causal: false,
  })));
  return {
    mask: slidingTile(options),
    meaning: (_b, _h, q, k) => {
      if (q < 0 || q >= vision + text || k >= vision + text) return false;
      if (q >= vision || k >= vision) return true;
      return ofTiles(Math.floor(q / inTile), Math.floor(k / inTile));
    },
    exact: false,
  };
});
