/** Every shipped mask with random parameters, and its plain definition. */

import fc from "fast-check";
import {
  and,
  bindRows,
  blockDiagonal,
  booleanMask,
  causal,
  dilated,
  document,
  type MaskFunction,
  type MaskMod,
  not,
  or,
  prefixLm,
  sinkWindow,
  slidingWindow,
  tree,
} from "../../src/mods/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { neighborhoodCase, slidingTileCase } from "./neighborhoods.ts";
import {
  packedCases,
  packedOfEach,
  remappedCases,
  remappedOfEach,
} from "./packed_masks.ts";

/** A mask, what it means, and whether its tiles must be classified exactly. */
export interface MaskCase {
  readonly mask: MaskMod;
  readonly meaning: MaskFunction;
  readonly exact: boolean;
}

const small = fc.nat(40);
const clamp = (i: number, size: number) => Math.min(Math.max(i, 0), size - 1);

const causalCase: fc.Arbitrary<MaskCase> = fc.constant({
  mask: causal(),
  meaning: (_b, _h, q, k) => k <= q,
  exact: true,
});

const windowCase: fc.Arbitrary<MaskCase> = fc.record({
  left: fc.option(small, { nil: undefined }),
  right: fc.option(small, { nil: undefined }),
}).map(({ left, right }) => ({
  mask: slidingWindow({
    ...(left === undefined ? {} : { left }),
    ...(right === undefined ? {} : { right }),
  }),
  meaning: (_b, _h, q, k) =>
    (left === undefined || q - left <= k) &&
    (right === undefined || k <= q + right),
  exact: true,
}));

const prefixCase: fc.Arbitrary<MaskCase> = fc.oneof(
  small.map((length) => ({
    mask: prefixLm(length),
    meaning: (_b: number, _h: number, q: number, k: number) =>
      k < length || k <= q,
    exact: true,
  })),
  fc.uint32Array({ minLength: 2, maxLength: 2, max: 40 }).map((lengths) => ({
    mask: prefixLm(lengths),
    meaning: (b: number, _h: number, q: number, k: number) =>
      k < lengths[clamp(b, 2)] || k <= q,
    exact: true,
  })),
);

const documentCase: fc.Arbitrary<MaskCase> = fc.record({
  seed: fc.nat(),
  length: fc.integer({ min: 1, max: 130 }),
  batches: fc.integer({ min: 1, max: 3 }),
  order: fc.constantFrom("sorted", "one after the other", "scattered"),
}).map(({ seed, length, batches, order }) => {
  const random = new Prng(seed);
  const rows = Array.from({ length: batches }, () => {
    const row = Array.from({ length }, () => random.below(6) - 1);
    if (order === "scattered") return row;
    row.sort((a, b) => a - b);
    // Padding is often -1, and last.
    const names = order === "sorted" ? [] : random.shuffle([3, -1, 9, 0, 7, 4]);
    return row.map((id) => names[id + 1] ?? id);
  });
  const data = Int32Array.from(rows.flat());
  return {
    mask: batches === 1 ? document(data) : document(data, [batches, length]),
    meaning: (b, _h, q, k) => {
      const row = rows[clamp(b, batches)];
      return row[clamp(q, length)] === row[clamp(k, length)];
    },
    exact: order !== "scattered" && batches === 1,
  };
});

const sinkCase: fc.Arbitrary<MaskCase> = fc.record({
  sinks: small,
  window: small,
}).map((options) => ({
  mask: sinkWindow(options),
  meaning: (_b, _h, q, k) =>
    k <= q && (k < options.sinks || k >= q - options.window),
  exact: false,
}));

const dilatedCase: fc.Arbitrary<MaskCase> = fc.record({
  window: small,
  dilation: fc.integer({ min: 1, max: 5 }),
}).map((options) => ({
  mask: dilated(options),
  meaning: (_b, _h, q, k) =>
    Math.abs(q - k) <= options.window &&
    Math.abs(q - k) % options.dilation === 0,
  exact: true,
}));

const blockCase: fc.Arbitrary<MaskCase> = fc.integer({ min: 1, max: 30 })
  .map((size) => ({
    mask: blockDiagonal(size),
    meaning: (_b, _h, q, k) => Math.floor(q / size) === Math.floor(k / size),
    exact: true,
  }));

const treeCase: fc.Arbitrary<MaskCase> = fc.record({
  seed: fc.nat(),
  size: fc.integer({ min: 1, max: 20 }),
  start: fc.nat(10),
}).map(({ seed, size, start }) => {
  const random = new Prng(seed);
  const parents = Int32Array.from(
    { length: size },
    (_, node) => random.below(node + 1) - 1,
  );
  return {
    mask: tree(parents, start),
    meaning: (_b, _h, q, k) => {
      if (k < start) return true;
      const wanted = clamp(k - start, size);
      let node = clamp(q - start, size);
      while (node !== -1 && node !== wanted) node = parents[node];
      return node === wanted;
    },
    exact: true,
  };
});

const booleanCase: fc.Arbitrary<MaskCase> = fc.record({
  seed: fc.nat(),
  shape: fc.constantFrom<number[]>(
    [7, 50],
    [2, 7, 50],
    [2, 1, 7, 50],
    [1, 64],
  ),
  density: fc.constantFrom(0.02, 0.5, 0.98),
  offset: fc.constantFrom<number | "each" | undefined>(undefined, 0, 3, "each"),
}).map(({ seed, shape, density, offset }) => {
  const random = new Prng(seed);
  const data = Uint8Array.from(
    { length: shape.reduce((a, b) => a * b) },
    () => random.uniform() < density ? 1 + random.below(255) : 0,
  );
  const sizes = [1, 1, ...shape].slice(-4);
  const [, , queries, keys] = sizes;
  // Of all sequences, of each its own, or by positions.
  const offsets = offset === "each"
    ? [0, keys - queries, -3]
    : [offset ?? keys - queries];
  const mask = typeof offset === "number"
    ? booleanMask(data, shape, { queryOffset: offset })
    : bindRows([booleanMask(data, shape)], offsets)[0];
  return {
    mask,
    meaning: (b, h, q, k) => {
      const at = [b, h, q - offsets[clamp(b, offsets.length)], k];
      const flat = at.reduce(
        (sum, index, axis) => sum * sizes[axis] + clamp(index, sizes[axis]),
        0,
      );
      return data[flat] !== 0;
    },
    // Only where all sequences' rows begin at one position.
    exact: offsets.length === 1,
  };
});

const simple: fc.Arbitrary<MaskCase> = fc.oneof(
  causalCase,
  windowCase,
  prefixCase,
  documentCase,
  sinkCase,
  dilatedCase,
  blockCase,
  treeCase,
  booleanCase,
);

/** Those that go by positions alone, so that these may be others. */
const positional: fc.Arbitrary<MaskCase> = fc.oneof(
  causalCase,
  windowCase,
  prefixCase,
  sinkCase,
  dilatedCase,
  neighborhoodCase,
);

const combined: fc.Arbitrary<MaskCase> = fc.oneof(
  fc.tuple(simple, simple).map(([a, b]) => ({
    mask: and(a.mask, b.mask),
    meaning: (...at: Parameters<MaskFunction>) =>
      a.meaning(...at) && b.meaning(...at),
    exact: false,
  })),
  fc.tuple(simple, simple).map(([a, b]) => ({
    mask: or(a.mask, b.mask),
    meaning: (...at: Parameters<MaskFunction>) =>
      a.meaning(...at) || b.meaning(...at),
    exact: false,
  })),
  simple.map((a) => ({
    mask: not(a.mask),
    meaning: (...at: Parameters<MaskFunction>) => !a.meaning(...at),
    exact: false,
  })),
);

/** Masks of canvases, of packed rows, of other masks. */
export const zooCases: fc.Arbitrary<MaskCase> = fc.oneof(
  { weight: 2, arbitrary: neighborhoodCase },
  { weight: 1, arbitrary: slidingTileCase },
  { weight: 4, arbitrary: packedCases },
  { weight: 2, arbitrary: remappedCases(positional) },
);

/** Some of each of these. */
export const zooOfEach: fc.Arbitrary<MaskCase[]> = fc.tuple(
  fc.array(neighborhoodCase, { minLength: 6, maxLength: 6 }),
  fc.tuple(slidingTileCase),
  packedOfEach,
  remappedOfEach(positional),
).map((cases) => cases.flat());

/** Any shipped mask, alone or combined. */
export const maskCases: fc.Arbitrary<MaskCase> = fc.oneof(
  { weight: 3, arbitrary: simple },
  { weight: 1, arbitrary: combined },
  { weight: 3, arbitrary: zooCases },
);
