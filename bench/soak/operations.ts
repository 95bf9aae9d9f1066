/**
 * What a soak does to a cache, and how often.
 *
 * @module
 */

/** Every operation, and how often it comes among the sum of these. */
const WEIGHTS = {
  append: 48,
  draft: 8,
  create: 8,
  fork: 3,
  reorder: 6,
  free: 9,
  preempt: 3,
  resume: 4,
  swapOut: 2,
  swapIn: 2,
  complete: 4,
  abort: 1,
  pin: 1,
  evict: 1,
} as const;

/** The name of an operation. */
export type Operation = keyof typeof WEIGHTS;

/** The names of all operations. */
export const OPERATIONS = Object.keys(WEIGHTS) as readonly Operation[];

/** Every operation as often as it comes. */
export const DECK: readonly Operation[] = OPERATIONS.flatMap((name) =>
  new Array<Operation>(WEIGHTS[name]).fill(name)
);
