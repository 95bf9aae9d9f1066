/**
 * Features of queries and keys: the second-order Taylor series (BASED, Arora et
 * al. 2024), made where they are multiplied and never stored.
 *
 * With `x' = sqrt(scale) x` the features of a row are
 *
 * ```text
 * [1,  x'_i,  x'_i^2 / sqrt(2),  x'_i x'_j for i < j]
 * ```
 *
 * so that `<phi(q), phi(k)> = 1 + s + s^2 / 2` with `s = scale <q, k>`. A caller's
 * state has them in the order 1, all x'_j, then for each i all j >= i. Kernels go
 * in groups of four that have one i and whole vec4s of j; what a group has of
 * j < i, and past the row's end, is 0.
 *
 * @module
 */

import type { Fragment } from "../../fragment.ts";
import { WordRecord } from "../../record.ts";
import { wgsl } from "../../wgsl.ts";
import { loadedTokens, type TokenRows } from "./operands.ts";

const GROUP_FIELDS = {
  /** i; the head dim for features without it. */
  element: "u32",
  /** Which four j; all vec4s of a row for the one feature that is 1. */
  vec: "u32",
  /** The row of a caller's state that j = 0 would have. */
  row: "u32",
} as const;

/** Four features. */
export const FEATURE_GROUP: WordRecord<typeof GROUP_FIELDS> = new WordRecord(
  "FeatureGroup",
  GROUP_FIELDS,
);

/** The groups of features of rows, one record after the other. */
export function featureGroups(headDim: number): number[] {
  const vecs = Math.ceil(headDim / 4);
  const groups: number[] = FEATURE_GROUP.pack({
    element: headDim,
    vec: vecs,
    row: 0,
  });
  for (let vec = 0; vec < vecs; vec++) {
    groups.push(...FEATURE_GROUP.pack({ element: headDim, vec, row: 1 }));
  }
  let row = 1 + headDim;
  for (let element = 0; element < headDim; element++) {
    // Below 0 where j = 0 has no feature of its own: words wrap, and so do sums.
    row -= element;
    for (let vec = Math.floor(element / 4); vec < vecs; vec++) {
      groups.push(...FEATURE_GROUP.pack({ element, vec, row }));
    }
    row += headDim;
  }
  return groups;
}

/** Rows of scratch's states: four a group. */
export function featureRows(headDim: number): number {
  return 4 * featureGroups(headDim).length / FEATURE_GROUP.words;
}

/** `feature_group_of(index)`: the record of a group; the schedule begins with these. */
export const featureTable: Fragment = {
  bindings: [{ name: "schedule", type: "array<u32>", access: "read" }],
  uniforms: { head_dim: "u32", head_vecs: "u32" },
  code: wgsl(
    `
    $record

    fn feature_group_of(index: u32) -> FeatureGroup {
      return read_feature_group($words * index);
    }
    `,
    {
      record: FEATURE_GROUP.declare("feature_group"),
      words: FEATURE_GROUP.words,
    },
  ),
};

/**
 * `feature_row(feature)`: the row of a caller's state that has a feature of a
 * group, or `NO_ROW`.
 */
export const featurePlaces: Fragment = {
  needs: [featureTable],
  code: wgsl(`
    const NO_ROW = 0xffffffffu;

    fn feature_row(feature: u32) -> u32 {
      let group = feature_group_of(feature / 4u);
      let j = 4u * group.vec + feature % 4u;
      if (group.vec == params.head_vecs) {
        return select(NO_ROW, 0u, feature % 4u == 0u);
      }
      let own = j < params.head_dim && (group.element == params.head_dim || j >= group.element);
      return select(NO_ROW, group.row + j, own);
    }
  `),
};

/**
 * `{name}_feature(at, group)`: the four features of a group, of the row at `at`,
 * but for their weights. `{name}_features(chunk, head, token, feature)`: 4 tokens
 * from `token`, each of the four features from `feature`. Past the chunk's end
 * they are its last token's, as what they are multiplied with is 0 there: a row
 * of zeros would not do, whose first feature is 1.
 */
export function featureBlocks(rows: TokenRows): Fragment {
  const { name } = rows;
  return {
    needs: [featureTable, featureWeights, loadedTokens(rows)],
    uniforms: { feature_root: "f32" },
    code: wgsl(
      `
      fn $name_feature(at: u32, group: FeatureGroup) -> vec4f {
        let last = params.head_vecs - 1u;
        let i = load_$name(at, min(group.element / 4u, last))[group.element % 4u];
        let j = load_$name(at, min(group.vec, last));
        let factor = select(1.0, params.feature_root * i, group.element < params.head_dim);
        return factor * select(vec4f(1.0, 0.0, 0.0, 0.0), params.feature_root * j, group.vec <= last);
      }

      fn $name_features(chunk: Chunk, head: u32, token: u32, feature: u32) -> mat4x4f {
        let group = feature_group_of(feature / 4u);
        let weights = feature_weights(group);
        let last = chunk.count - 1u;
        return mat4x4f(
          @each j in quad
          weights * $name_feature($name_at(chunk, min(token + $j, last), head), group),
          @end
        );
      }
      `,
      { name, quad: 4 },
    ),
  };
}

/** What the products of a group count: once, a half under the root, or not. */
const featureWeights: Fragment = {
  code: wgsl(
    `
    fn feature_weights(group: FeatureGroup) -> vec4f {
      if (group.element == params.head_dim) {
        return vec4f(1.0);
      }
      let j = 4u * vec4u(group.vec) + vec4u(0u, 1u, 2u, 3u);
      let i = vec4u(group.element);
      return select(select(vec4f(0.0), vec4f(1.0), j > i), vec4f($half), j == i);
    }
    `,
    { half: `${Math.fround(Math.SQRT1_2)}` },
  ),
};
