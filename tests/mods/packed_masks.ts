/** Masks of packed rows and of masks, with random parameters and meanings. */

import fc from "fast-check";
import {
  bindRows,
  blockDiffusion,
  blockwise,
  byBatch,
  byHead,
  capture,
  documentPrefixLm,
  documents,
  draftBlocks,
  globalWindow,
  imageCross,
  type MaskFunction,
  remap,
  sharedPrefix,
  spatialHead,
  temporalHead,
  withinBlocks,
  withinDocuments,
} from "../../src/mods/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import type { MaskCase } from "./masks_arbitrary.ts";

const small = fc.nat(40);
const clamp = (i: number, size: number) => Math.min(Math.max(i, 0), size - 1);

/** Documents of a row, some of them empty: their bounds, and each token's. */
interface Row {
  readonly bounds: number[];
  readonly owner: number[];
  readonly tokens: number;
}

const rows: fc.Arbitrary<Row> = fc.array(
  fc.oneof(fc.constantFrom(0, 1), fc.nat(45)),
  { minLength: 1, maxLength: 6 },
).map((drawn) => {
  const lengths: number[] = [...drawn];
  if (lengths.reduce((a, b) => a + b) === 0) lengths.push(1);
  const bounds = [0];
  for (const length of lengths) bounds.push(bounds.at(-1)! + length);
  const owner = lengths.flatMap((length, i) => Array(length).fill(i));
  return { bounds, owner, tokens: owner.length };
});

const ownerOf = ({ owner, tokens }: Row, position: number): number =>
  owner[clamp(position, tokens)];

const documentsCase: fc.Arbitrary<MaskCase> = rows.map((row) => ({
  mask: documents(Int32Array.from(row.bounds)),
  meaning: (_b, _h, q, k) => k < row.tokens && ownerOf(row, q) === row.owner[k],
  exact: true,
}));

const prefixesCase: fc.Arbitrary<MaskCase> = fc.tuple(rows, fc.nat()).map(
  ([row, seed]) => {
    const random = new Prng(seed);
    const { bounds } = row;
    const prefixes = bounds.slice(1).map((end, i) =>
      random.below(end - bounds[i] + 1)
    );
    return {
      mask: documentPrefixLm({ cuSeqlens: bounds, prefixes }),
      meaning: (_b: number, _h: number, q: number, k: number) => {
        const own = ownerOf(row, q);
        return k >= bounds[own] && (k <= q || k - bounds[own] < prefixes[own]);
      },
      exact: false,
    };
  },
);

const sharedCase: fc.Arbitrary<MaskCase> = fc.tuple(rows, fc.nat()).map(
  ([row, seed]) => {
    const random = new Prng(seed);
    const { bounds } = row;
    const count = bounds.length - 1;
    const prompts = Array.from({ length: count }, () => random.below(2) === 0);
    prompts[random.below(count)] = true;
    const some = [...prompts.keys()].filter((i) => prompts[i]);
    const prefixOf = prompts.map((prompt, i) =>
      prompt ? i : some[random.below(some.length)]
    );
    return {
      mask: sharedPrefix({ cuSeqlens: bounds, prefixOf }),
      meaning: (_b: number, _h: number, q: number, k: number) => {
        const own = ownerOf(row, q);
        if (k >= bounds[own] && k <= q) return true;
        return prefixOf[own] !== own && k < row.tokens &&
          row.owner[k] === prefixOf[own];
      },
      exact: false,
    };
  },
);

const globalCase: fc.Arbitrary<MaskCase> = fc.record({
  window: small,
  marks: fc.uint8Array({ minLength: 1, maxLength: 130, max: 1 }),
  rare: fc.boolean(),
}).map(({ window, marks, rare }) => {
  const isGlobal = rare ? marks.map((one, i) => i % 29 ? 0 : one) : marks;
  return {
    mask: globalWindow({ window, isGlobal }),
    meaning: (_b, _h, q, k) =>
      Math.abs(q - k) <= window ||
      [q, k].some((at) => isGlobal[clamp(at, isGlobal.length)] === 1),
    exact: false,
  };
});

const crossCase: fc.Arbitrary<MaskCase> = fc.record({
  imageKeys: fc.integer({ min: 1, max: 30 }),
  pairs: fc.array(fc.tuple(fc.nat(100), fc.nat(60)), {
    minLength: 1,
    maxLength: 5,
  }),
  offset: fc.integer({ min: -8, max: 8 }),
}).map(({ imageKeys, pairs, offset }) => {
  const intervals = pairs.map(([start, length]) =>
    [start, start + length] as const
  );
  const mask = imageCross({ imageKeys, intervals });
  return {
    mask: bindRows([mask], [offset])[0],
    meaning: (_b, _h, q, k) => {
      const interval = intervals[Math.floor(k / imageKeys)];
      const row = q - offset;
      return interval !== undefined && row >= interval[0] && row < interval[1];
    },
    exact: false,
  };
});

const diffusionCase: fc.Arbitrary<MaskCase> = fc.record({
  length: fc.integer({ min: 1, max: 60 }),
  block: fc.integer({ min: 1, max: 20 }),
}).map(({ length, block }) => ({
  mask: blockDiffusion({ length, block }),
  meaning: (_b, _h, q, k) => {
    if (q < 0 || Math.max(q, k) >= 2 * length) return false;
    const [noised, noisedKey] = [q < length, k < length];
    const own = Math.floor((q % length) / block);
    const seen = Math.floor((k % length) / block);
    if (noisedKey) return noised && own === seen;
    return noised ? seen < own : seen <= own;
  },
  exact: false,
}));

const draftCase: fc.Arbitrary<MaskCase> = fc.record({
  prefix: small,
  block: fc.integer({ min: 1, max: 30 }),
}).map(({ prefix, block }) => ({
  mask: draftBlocks({ prefix, block }),
  meaning: (_b, _h, q, k) =>
    k < prefix ||
    k <= q &&
      Math.floor((q - prefix) / block) === Math.floor((k - prefix) / block),
  exact: false,
}));

const spatialCase: fc.Arbitrary<MaskCase> = fc.record({
  prompt: small,
  sink: small,
  width: small,
}).map(({ prompt, sink, width }) => ({
  mask: spatialHead({ prompt, sink, width }),
  meaning: (_b, _h, q, k) =>
    q < prompt || k < prompt + sink || Math.abs(q - k) < width,
  exact: false,
}));

const temporalCase: fc.Arbitrary<MaskCase> = fc.record({
  prompt: small,
  frame: fc.integer({ min: 1, max: 25 }),
  width: fc.nat(10),
}).map(({ prompt, frame, width }) => ({
  mask: temporalHead({ prompt, frame, width }),
  meaning: (_b, _h, q, k) =>
    q < prompt || k < prompt ||
    Math.abs((q - prompt) % frame - (k - prompt) % frame) < width,
  exact: false,
}));

/** Masks of packed rows, and others with a meaning of their own. */
const PACKED: readonly fc.Arbitrary<MaskCase>[] = [
  documentsCase,
  prefixesCase,
  sharedCase,
  globalCase,
  crossCase,
  diffusionCase,
  draftCase,
  spatialCase,
  temporalCase,
];

/** Any one of them. */
export const packedCases: fc.Arbitrary<MaskCase> = fc.oneof(...PACKED);

/** One of each. */
export const packedOfEach: fc.Arbitrary<MaskCase[]> = fc.tuple(...PACKED);

const means = (meaning: MaskFunction) => meaning;

/** Masks made of `inner` by giving it other positions. */
export function remappedCases(
  inner: fc.Arbitrary<MaskCase>,
): fc.Arbitrary<MaskCase> {
  return fc.oneof(...remappings(inner));
}

/** The same, one in each way. */
export function remappedOfEach(
  inner: fc.Arbitrary<MaskCase>,
): fc.Arbitrary<MaskCase[]> {
  return fc.tuple(...remappings(inner));
}

function remappings(
  inner: fc.Arbitrary<MaskCase>,
): fc.Arbitrary<MaskCase>[] {
  const sizes = fc.integer({ min: 1, max: 30 });
  return [
    fc.tuple(inner, sizes).map(([{ mask, meaning }, size]) => ({
      mask: withinBlocks(mask, size),
      meaning: means((b, h, q, k) =>
        q >= 0 && Math.floor(q / size) === Math.floor(k / size) &&
        meaning(b, h, q % size, k % size)
      ),
      exact: false,
    })),
    fc.tuple(inner, sizes).map(([{ mask, meaning }, size]) => ({
      mask: blockwise(mask, size),
      meaning: means((b, h, q, k) =>
        q >= 0 && meaning(b, h, Math.floor(q / size), Math.floor(k / size))
      ),
      exact: false,
    })),
    fc.tuple(inner, rows).map(([{ mask, meaning }, row]) => ({
      mask: withinDocuments(mask, Uint32Array.from(row.bounds)),
      meaning: means((b, h, q, k) => {
        const own = ownerOf(row, q);
        const first = row.bounds[own];
        return k < row.tokens && row.owner[k] === own &&
          meaning(b, h, q - first, k - first);
      }),
      exact: false,
    })),
    fc.tuple(inner, fc.uint8Array({ minLength: 1, maxLength: 130 })).map(
      ([{ mask, meaning }, places]) => {
        const place = capture(Int32Array.from(places));
        const at = (i: number) => places[clamp(i, places.length)];
        return {
          mask: remap(mask, ({ query, key }) => ({
            query: place.at(query),
            key: place.at(key),
          })),
          meaning: means((b, h, q, k) => meaning(b, h, at(q), at(k))),
          exact: false,
        };
      },
    ),
    fc.tuple(fc.array(inner, { minLength: 1, maxLength: 3 }), fc.boolean())
      .map(([parts, heads]) => {
        const masks = parts.map(({ mask }) => mask);
        // The last is for the sequences that follow, and stands twice.
        masks.push(masks[masks.length - 1]);
        return {
          mask: heads ? byHead(masks) : byBatch(masks),
          meaning: means((b, h, q, k) =>
            parts[clamp(heads ? h : b, parts.length)].meaning(b, h, q, k)
          ),
          exact: false,
        };
      }),
  ];
}
