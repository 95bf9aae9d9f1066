/**
 * Masks made of masks.
 *
 * @module
 */

import { checkType } from "../core/check.ts";
import { Bool, bool } from "./expression.ts";
import { type MaskMod, maskMod } from "./trace.ts";

function combine(
  name: string,
  masks: readonly MaskMod[],
  operation: "and" | "or",
): MaskMod {
  for (const [index, mask] of masks.entries()) {
    checkType(
      mask?.kind === "mask",
      `${name}[${index}]`,
      "must be a mask",
      mask,
    );
  }
  const names = masks.map((mask) => mask.name).join(", ");
  return maskMod(`${name}(${names})`, () => {
    const parts = masks.map((mask) => new Bool(mask.expression));
    return parts.length === 0
      ? bool(operation === "and")
      : parts.reduce((all, part) => all[operation](part));
  });
}

/**
 * What every mask lets through; everything when there are none.
 *
 * @throws {TypeError} If an argument is not a mask.
 *
 * @example Causal within documents
 * ```ts
 * import { and, causal, document } from "@quire/attention";
 * import { drawMask } from "@quire/attention/mods";
 *
 * const ids = Int32Array.of(0, 0, 0, 1, 1, 1);
 * const mask = and(document(ids), causal());
 * const pairs = { keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // █·····
 * // ██····
 * // ███···
 * // ···█··
 * // ···██·
 * // ···███
 * ```
 *
 * @category Masks and scores
 */
export function and(...masks: readonly MaskMod[]): MaskMod {
  return combine("and", masks, "and");
}

/**
 * What any mask lets through; nothing when there are none.
 *
 * @throws {TypeError} If an argument is not a mask.
 *
 * @example Blocks of two, and the first key
 * ```ts
 * import { blockDiagonal, maskMod, or } from "@quire/attention";
 * import { drawMask } from "@quire/attention/mods";
 *
 * const first = maskMod("first", ({ key }) => key.eq(0));
 * const mask = or(blockDiagonal(2), first);
 * const pairs = { keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ██····
 * // ██····
 * // █·██··
 * // █·██··
 * // █···██
 * // █···██
 * ```
 *
 * @category Masks and scores
 */
export function or(...masks: readonly MaskMod[]): MaskMod {
  return combine("or", masks, "or");
}

/**
 * What a mask does not let through.
 *
 * @throws {TypeError} If the argument is not a mask.
 *
 * @example What causal hides
 * ```ts
 * import { causal, not } from "@quire/attention";
 * import { drawMask } from "@quire/attention/mods";
 *
 * const mask = not(causal());
 * const pairs = { keys: 4, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ·███
 * // ··██
 * // ···█
 * // ····
 * ```
 *
 * @category Masks and scores
 */
export function not(mask: MaskMod): MaskMod {
  checkType(mask?.kind === "mask", "not()", "must be given a mask", mask);
  return maskMod(`not(${mask.name})`, () => new Bool(mask.expression).not());
}
