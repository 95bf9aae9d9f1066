/**
 * Argument checks with one wording: the argument, the rule, the value.
 *
 * @module
 */

/** How a rejected value is shown: short, unambiguous, never the whole array. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "function") return "a function";
  if (value === null || typeof value !== "object") return String(value);
  if (ArrayBuffer.isView(value)) {
    return `${value.constructor.name}(${
      (value as unknown as { length?: number }).length ?? value.byteLength
    })`;
  }
  if (Array.isArray(value)) {
    return value.length <= 8
      ? `[${value.map(show).join(", ")}]`
      : `[${
        value.slice(0, 6).map(show).join(", ")
      }, ... ${value.length} items]`;
  }
  return value.constructor?.name ?? "an object";
}

/** Throws unless `value` is an integer in `min..max` (both inclusive). */
export function checkInteger(
  name: string,
  value: unknown,
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): asserts value is number {
  if (typeof value !== "number") {
    throw new TypeError(
      `${name} must be an integer: current value is ${show(value)}`,
    );
  }
  if (!Number.isInteger(value) || value < min || value > max) {
    const rule = max === Number.MAX_SAFE_INTEGER
      ? `>= ${min}`
      : `in ${min}..${max}`;
    throw new RangeError(
      `${name} must be an integer ${rule}: current value is ${value}`,
    );
  }
}

/** Throws unless `value` is a finite number. */
export function checkFinite(
  name: string,
  value: unknown,
): asserts value is number {
  if (typeof value !== "number") {
    throw new TypeError(
      `${name} must be a number: current value is ${show(value)}`,
    );
  }
  if (!Number.isFinite(value)) {
    throw new RangeError(
      `${name} must be finite: current value is ${value}`,
    );
  }
}

/** Throws a `TypeError` with the uniform wording unless `condition` holds. */
export function checkType(
  condition: unknown,
  name: string,
  rule: string,
  value: unknown,
): asserts condition {
  if (!condition) {
    throw new TypeError(`${name} ${rule}: current value is ${show(value)}`);
  }
}

/** Throws a `RangeError` with the uniform wording unless `condition` holds. */
export function checkRange(
  condition: unknown,
  name: string,
  rule: string,
  value: unknown,
): asserts condition {
  if (!condition) {
    throw new RangeError(`${name} ${rule}: current value is ${show(value)}`);
  }
}

/** Throws unless `value` is a boolean or undefined. */
export function checkBoolean(name: string, value: unknown): void {
  checkType(
    value === undefined || typeof value === "boolean",
    name,
    "must be a boolean",
    value,
  );
}

/** Throws TypeError unless `value` is one of some words. */
export function checkOneOf(
  name: string,
  value: unknown,
  options: readonly string[],
): void {
  checkType(
    options.includes(value as string),
    name,
    `must be ${options.map((option) => `"${option}"`).join(" or ")}`,
    value,
  );
}
