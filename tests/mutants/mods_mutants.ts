/**
 * One-line faults in the interval reading of mods: what it claims wrongly, and
 * what it no longer knows.
 *
 * @module
 */

import type { Mutant } from "./mutate.ts";

const ARITHMETIC = {
  file: "src/mods/interval_arithmetic.ts",
  tests: ["tests/mods/interval_arithmetic_test.ts"],
} as const;

/** The same, where random trees must notice it without knowing where. */
const READING = {
  file: "src/mods/interval_arithmetic.ts",
  tests: ["tests/mods/interval_test.ts"],
} as const;

const RANGE_TABLE = {
  file: "src/mods/range_table.ts",
  tests: ["tests/mods/range_table_test.ts"],
} as const;

/** Faults of the interval reading. */
export const MODS_MUTANTS: readonly Mutant[] = [
  {
    name: "a remainder's quotient is floored",
    ...ARITHMETIC,
    find: "Math.trunc(a[0] / divisor) === Math.trunc(a[1] / divisor)",
    replace: "Math.floor(a[0] / divisor) === Math.floor(a[1] / divisor)",
  },
  {
    name: "a remainder's quotient is floored, and random masks see it",
    ...READING,
    find: "Math.trunc(a[0] / divisor) === Math.trunc(a[1] / divisor)",
    replace: "Math.floor(a[0] / divisor) === Math.floor(a[1] / divisor)",
  },
  {
    name: "a remainder never has its dividend's sign",
    ...READING,
    find: "a[0] >= 0 ? 0 : Math.max(-bound, a[0]),",
    replace: "0,",
  },
  {
    name: "a remainder reaches its divisor",
    ...ARITHMETIC,
    find: "if (divisor === b[1]) {",
    replace: "if (false) {",
  },
  {
    name: "a quotient by what may be 0 is not the dividend",
    ...ARITHMETIC,
    find: "if (b[0] <= 0 && b[1] >= 0) parts.push(a);",
    replace: "",
  },
  {
    name: "a product wraps unnoticed",
    ...ARITHMETIC,
    find: "return low >= INT_MIN && high <= INT_MAX ?",
    replace: "return low >= INT_MIN || high <= INT_MAX ?",
  },
  {
    name: "the last chunk of a range is missed",
    ...RANGE_TABLE,
    find: "const second = endChunk - 2 ** level;",
    replace: "const second = firstChunk;",
  },
  {
    name: "the table lacks the last chunk",
    ...RANGE_TABLE,
    find: "Math.floor(data.length / CHUNK)",
    replace: "Math.floor((data.length - 1) / CHUNK)",
  },
  {
    name: "every level lacks its last entry",
    ...RANGE_TABLE,
    find: "const count = chunks - 2 * width + 1;",
    replace: "const count = chunks - 2 * width;",
  },
  {
    name: "a chunk lacks its last element",
    ...RANGE_TABLE,
    find: "(i + 1) * CHUNK - 1),",
    replace: "(i + 1) * CHUNK - 2),",
  },
  {
    name: "a range lacks its last element",
    ...RANGE_TABLE,
    find: "scan(data, endChunk * CHUNK, high)",
    replace: "scan(data, endChunk * CHUNK, high - 1)",
  },
  {
    name: "one false element of a range does not count",
    ...RANGE_TABLE,
    find: "count === high - low + 1 ? 1 : 0",
    replace: "count >= high - low ? 1 : 0",
  },
];
