/**
 * What linear attention's products multiply: blocks of 4 x 4, each with the
 * weights that it needs.
 *
 * A block of rows is 4 tokens, each of 4 channels; the other way round it is its
 * transpose. Tokens past the chunk's end are zeros, whatever lies there.
 *
 * @module
 */

import type { Fragment } from "../../fragment.ts";
import {
  loadRow,
  rowBinding,
  type RowFormat,
  rowPlaces,
  storeRow,
} from "../../fragments/rows.ts";
import { wgsl } from "../../wgsl.ts";
import { chunks, heads } from "../chunks.ts";

/** A tensor with a row for each token and head. */
export interface TokenRows {
  /** Its binding. */
  readonly name: string;
  /** The format of its rows. */
  readonly format: RowFormat;
  /** The uniform that holds its row's element count. */
  readonly dim: "head_dim" | "value_dim";
}

/** `{name}_at(chunk, token, head)`: where the row of a chunk's token is. */
function tokenPlaces(name: string): Fragment {
  return {
    needs: [
      chunks,
      rowPlaces({ name, offset: true, batches: true }),
    ],
    code: wgsl(
      `
      fn $at(chunk: Chunk, token: u32, head: u32) -> u32 {
        return $place(i32(chunk.batch), chunk.token + token, head);
      }
      `,
      { at: `${name}_at`, place: `${name}_place` },
    ),
  };
}

/** `{name}_at`, and `load_{name}`, which reads the rows of tokens. */
export function loadedTokens({ name, format, dim }: TokenRows): Fragment {
  return {
    needs: [
      tokenPlaces(name),
      loadRow({
        name: `load_${name}`,
        bindings: [rowBinding(name, format)],
        format,
        dim,
      }),
    ],
  };
}

/**
 * `{name}_block(chunk, head, token, vec)`: 4 tokens from `token`, each of the
 * `vec`-th 4 channels.
 */
export function tokenBlocks(rows: TokenRows): Fragment {
  const { name } = rows;
  return {
    needs: [loadedTokens(rows)],
    code: wgsl(
      `
      fn $block(chunk: Chunk, head: u32, token: u32, vec: u32) -> mat4x4f {
        let last = chunk.count - 1u;
        return mat4x4f(
          @each j in quad
          select(vec4f(0.0), $load($at(chunk, min(token + $j, last), head), vec), token + $j <= last),
          @end
        );
      }
      `,
      {
        block: `${name}_block`,
        load: `load_${name}`,
        at: `${name}_at`,
        quad: 4,
      },
    ),
  };
}

/** `store_{name}` and `{name}_at`, to write the rows of tokens. */
export function storedTokens({ name, format, dim }: TokenRows): Fragment {
  return {
    needs: [
      tokenPlaces(name),
      storeRow({
        name: `store_${name}`,
        bindings: [rowBinding(name, format, "read_write")],
        format,
        dim,
      }),
    ],
  };
}

/**
 * `value_columns`: as `value_block`, with a column of ones after the value's,
 * whose sums are those of the weights.
 */
export const valueColumns: Fragment = {
  code: wgsl(
    `
    fn value_columns(chunk: Chunk, head: u32, token: u32, vec: u32) -> mat4x4f {
      let values = value_block(chunk, head, token, min(vec, params.value_vecs - 1u));
      let sums = vec4f(4u * vec + vec4u(0u, 1u, 2u, 3u) == vec4u(params.value_dim));
      return mat4x4f(
        @each j in quad
        select(vec4f(0.0), values[$j], vec < params.value_vecs) + select(vec4f(0.0), sums, token + $j < chunk.count),
        @end
      );
    }
    `,
    { quad: 4 },
  ),
  uniforms: { value_dim: "u32", value_vecs: "u32" },
};

/**
 * `states`, scratch of `[chunks, stateHeads, stateRows, stateColumns]` in whole
 * vec4s, and `state_at`, a row's place in it. Columns are the value's, and one
 * more where outputs are divided by the sum of their weights.
 */
export function chunkStates(access: "read" | "read_write"): Fragment {
  return {
    needs: [heads],
    bindings: [{ name: "states", type: "array<vec4f>", access }],
    uniforms: { state_rows: "u32", state_vecs: "u32" },
    code: wgsl(`
      fn state_at(chunk_index: u32, state_head: u32, row: u32) -> u32 {
        return ((chunk_index * params.state_heads + state_head) * params.state_rows + row) * params.state_vecs;
      }
    `),
  };
}

/** `state_block(chunk_index, state_head, row, vec)`: 4 rows of a state. */
export function stateBlocks(access: "read" | "read_write"): Fragment {
  return {
    needs: [chunkStates(access)],
    code: wgsl(
      `
    fn state_block(chunk_index: u32, state_head: u32, row: u32, vec: u32) -> mat4x4f {
      let last = params.state_rows - 1u;
      return mat4x4f(
        @each j in quad
        select(vec4f(0.0), states[state_at(chunk_index, state_head, min(row + $j, last)) + vec], row + $j <= last),
        @end
      );
    }
    `,
      { quad: 4 },
    ),
  };
}

/** `state_sums(chunk_index, state_head, row)`: 4 rows' sums of weights. */
export const stateSums: Fragment = {
  needs: [chunkStates("read")],
  uniforms: { value_dim: "u32" },
  code: wgsl(
    `
    fn state_sums(chunk_index: u32, state_head: u32, row: u32) -> vec4f {
      let last = params.state_rows - 1u;
      let vec = params.value_dim / 4u;
      return vec4f(
        @each j in quad
        select(0.0, states[state_at(chunk_index, state_head, min(row + $j, last)) + vec][params.value_dim % 4u], row + $j <= last),
        @end
      );
    }
    `,
    { quad: 4 },
  ),
};

/**
 * `scores`, scratch of `[tokens, heads, chunk]` in whole vec4s, and `score_at`,
 * where the scores of a token are.
 */
export function chunkScores(access: "read" | "read_write"): Fragment {
  return {
    needs: [heads],
    bindings: [{ name: "scores", type: "array<vec4f>", access }],
    uniforms: { score_vecs: "u32" },
    code: wgsl(`
      fn score_at(row: u32, head: u32) -> u32 {
        return (row * params.heads + head) * params.score_vecs;
      }
    `),
  };
}

/** `score_block(chunk, head, token, vec)`: 4 tokens, each its 4 scores. */
export const scoreBlocks: Fragment = {
  needs: [chunks, chunkScores("read")],
  code: wgsl(
    `
    fn score_block(chunk: Chunk, head: u32, token: u32, vec: u32) -> mat4x4f {
      let last = chunk.count - 1u;
      return mat4x4f(
        @each j in quad
        select(vec4f(0.0), scores[score_at(chunk.row + min(token + $j, last), head) + vec], token + $j <= last),
        @end
      );
    }
    `,
    { quad: 4 },
  ),
};
