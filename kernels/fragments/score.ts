/**
 * What happens between the scaled dot product and the softmax: score mods in
 * their order, then the mask. Steps that the plan proved full pass
 * `masked = false` and skip the predicate.
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";
import { onlineSoftmax } from "./online_softmax.ts";

/**
 * The traced mods of a call as WGSL: what `emitMods` of `src/mods` returns.
 *
 * @category Kernels
 */
export interface ModSource {
  /** Declares `mod_score(score, batch, head, query, key)` and `mod_mask(...)`. */
  readonly code: string;
  /** Words of literals and captured buffers; its content is not in the source. */
  readonly data: Uint32Array;
  /** Whether any score mod is among them: if so, full steps need a pass too. */
  readonly hasScore: boolean;
  /** From where captured tensors are read; several may have one binding. */
  readonly tensors: readonly { readonly binding: string }[];
}

/**
 * `modify`: a score through the score mods. `sees`: whether the mask and the
 * sequence's length let a query see a key.
 */
export function scoreMods(mods: ModSource | undefined): Fragment {
  return {
    needs: [onlineSoftmax],
    bindings: [
      ...(mods && mods.data.length > 0 ? ["captures"] : []),
      ...(mods?.tensors.map(({ binding }) => binding) ?? []),
    ].map((name) => ({ name, type: "array<u32>", access: "read" })),
    uniforms: { scale: "f32" },
    code: wgsl(
      `
      $mods

      fn modify(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
        let result = $score;
        return select(result, SENTINEL, result < SENTINEL);
      }

      fn sees(batch: i32, head: i32, query: i32, key: i32, key_count: i32) -> bool {
        return key < key_count$mask;
      }
      `,
      {
        mods: mods?.code.trim() ?? "",
        score: mods?.hasScore
          ? "mod_score(score, batch, head, query, key)"
          : "score",
        mask: mods ? " && mod_mask(batch, head, query, key)" : "",
      },
    ),
  };
}
