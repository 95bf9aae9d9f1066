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
 */
export function and(...masks: readonly MaskMod[]): MaskMod {
  return combine("and", masks, "and");
}

/**
 * What any mask lets through; nothing when there are none.
 *
 * @throws {TypeError} If an argument is not a mask.
 */
export function or(...masks: readonly MaskMod[]): MaskMod {
  return combine("or", masks, "or");
}

/**
 * What a mask does not let through.
 *
 * @throws {TypeError} If the argument is not a mask.
 */
export function not(mask: MaskMod): MaskMod {
  checkType(mask?.kind === "mask", "not()", "must be given a mask", mask);
  return maskMod(`not(${mask.name})`, () => new Bool(mask.expression).not());
}
