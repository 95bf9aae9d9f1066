/**
 * Literals: numbers and booleans as nodes.
 *
 * @module
 */

import { checkFinite, checkInteger, checkType, show } from "../core/check.ts";
import type { LiteralNode, ScalarType } from "./nodes.ts";

/** What an operand of each type may be, for messages. */
export const OPERANDS: Readonly<Record<ScalarType, string>> = {
  f32: "a Float or a number",
  i32: "an Int or an integer",
  bool: "a Bool or a boolean",
};

/**
 * The node of a literal of type `type`; floats are rounded to float32.
 *
 * @throws {TypeError} If `value` is not a literal for that type.
 * @throws {RangeError} If it is out of the type's range.
 */
export function literalNode(
  name: string,
  type: ScalarType,
  value: unknown,
): LiteralNode {
  if (type === "bool") {
    const rule = `must be ${OPERANDS.bool}`;
    checkType(typeof value === "boolean", name, rule, value);
    return { kind: "literal", type, value: Number(value) };
  }
  checkType(
    typeof value === "number",
    name,
    `must be ${OPERANDS[type]}`,
    value,
  );
  if (type === "i32") {
    checkInteger(name, value, -(2 ** 31), 2 ** 31 - 1);
    return { kind: "literal", type, value };
  }
  checkFinite(name, value);
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded)) {
    throw new RangeError(
      `${name} must be finite as a float32: current value is ${show(value)}`,
    );
  }
  return { kind: "literal", type, value: rounded };
}
