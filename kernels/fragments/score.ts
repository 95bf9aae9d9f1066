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
import { selectedBlocks } from "./selection.ts";

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
  /**
   * Whether `mod_score_derivative(score, batch, head, query, key)` is declared
   * too; without it, the derivative is 1.
   */
  readonly hasDerivative?: boolean;
  /** From where captured tensors are read; several may have one binding. */
  readonly tensors: readonly { readonly binding: string }[];
}

/** What scores depend on besides their mods. */
export interface ScoreOptions {
  /**
   * A binding of their own (default), or the first words of the schedule: for
   * kernels that bind as many buffers as a device has.
   */
  readonly captures?: "captures" | "schedule";
  /** Whether the device selects blocks of keys. */
  readonly selected?: boolean | undefined;
}

/**
 * `modify`: a score through the score mods. `sees`: whether the mask and the
 * sequence's length let a query see a key, and where blocks are `selected` on
 * the device, those too.
 */
export function scoreMods(
  mods: ModSource | undefined,
  { captures = "captures", selected = false }: ScoreOptions = {},
): Fragment {
  return {
    needs: [onlineSoftmax, ...(selected ? [selectedBlocks] : [])],
    bindings: [
      ...(mods && mods.data.length > 0 ? [captures] : []),
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
        return key < key_count$blocks$mask;
      }
      `,
      {
        mods: mods?.code.trim().replaceAll("captures[", `${captures}[`) ?? "",
        score: mods?.hasScore
          ? "mod_score(score, batch, head, query, key)"
          : "score",
        blocks: selected ? " && block_sees(batch, head, query, key)" : "",
        mask: mods ? " && mod_mask(batch, head, query, key)" : "",
      },
    ),
  };
}

/**
 * `modify_derivative`: the derivative of what {@linkcode scoreMods} makes of a
 * score, by the scaled dot product.
 */
export function scoreGradient(mods: ModSource | undefined): Fragment {
  return {
    code: wgsl(
      `
      fn modify_derivative(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
        return $derivative;
      }
      `,
      {
        derivative: mods?.hasDerivative
          ? "mod_score_derivative(score, batch, head, query, key)"
          : "1.0",
      },
    ),
  };
}
