/** Numbers as people read them. @module */

/** A part of a whole, in percent. */
export function percent(part: number, whole: number): string {
  return `${(100 * part / whole).toFixed(1)}\u202f%`;
}

/** A small number, as `5.1e-7`. */
export function scientific(value: number): string {
  return value === 0 ? "0" : value.toExponential(1);
}

/** Milliseconds with as many places as say something. */
export function milliseconds(value: number): string {
  if (value >= 100) return `${Math.round(value)}\u202fms`;
  return `${value.toFixed(value >= 10 ? 1 : 2)}\u202fms`;
}
