/**
 * A long random run over a cache, counted and timed.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../src/core/check.ts";
import { type Operation, OPERATIONS } from "./operations.ts";
import { World } from "./world.ts";

/** How long a soak is, and over what. */
export interface SoakOptions {
  /** Operations in all, a multiple of 10. */
  readonly operations: number;
  /** Blocks of the pool, at least 100. */
  readonly blocks: number;
  /** What all choices follow from. */
  readonly seed: number;
  /** Tokens per block. Defaults to 16. */
  readonly blockSize?: number;
  /** Slots of a group of states beside the blocks; none by default. */
  readonly states?: number;
  /** Bytes of the heap in use, garbage left out. */
  readonly heapBytes?: () => number;
}

/** Microseconds of one operation on average, by its name. */
export type Costs = Readonly<Record<Operation, number>>;

/** One tenth of the run. */
export interface Tenth {
  /** Microseconds of an operation on average. */
  readonly cost: number;
  /** The same for each operation. */
  readonly costs: Costs;
  /** Sequences at its end. */
  readonly sequences: number;
  /** Bytes of the heap at its end. */
  readonly heapBytes: number;
}

/** What a soak found. */
export interface SoakResult {
  /** The ten tenths of the run. */
  readonly tenths: readonly Tenth[];
  /** How often each operation was done. */
  readonly done: Readonly<Record<Operation, number>>;
  /** What was counted besides. */
  readonly counts: Readonly<Record<string, number>>;
  /** What did not come back at the end: all 0, or something leaks. */
  readonly leaks: Readonly<Record<string, number>>;
}

function zeros(): Record<Operation, number> {
  return Object.fromEntries(
    OPERATIONS.map((name) => [name, 0]),
  ) as Record<Operation, number>;
}

/** Operations between two looks at the event log. */
const EVENTS = 1000;

function runTenth(world: World, operations: number) {
  const times = zeros();
  const done = zeros();
  for (let i = 1; i <= operations; i++) {
    const start = performance.now();
    const name = world.step();
    times[name] += performance.now() - start;
    done[name]++;
    if (i % EVENTS === 0) world.drain();
  }
  return { times, done };
}

/**
 * Throws unless a soak can be that long and that large.
 *
 * @throws {RangeError} naming the number.
 */
export function checkSoakOptions(options: SoakOptions): void {
  const { operations, blocks, seed, states = 0 } = options;
  checkInteger("operations", operations, 10);
  checkRange(
    operations % 10 === 0,
    "operations",
    "must be a multiple of 10",
    operations,
  );
  checkInteger("blocks", blocks, 100);
  checkInteger("seed", seed, 0);
  checkInteger("states", states, 0);
}

/**
 * Fills a pool, does random operations on it with every invariant checked after
 * each tenth, and ends everything.
 *
 * @throws {RangeError} if a size is out of its range.
 * @throws {Error} if an invariant does not hold.
 */
export function soak(options: SoakOptions): SoakResult {
  const { operations, blocks, seed, blockSize = 16, states = 0 } = options;
  const { heapBytes = () => 0 } = options;
  checkSoakOptions(options);
  const hostBlocks = Math.ceil(blocks / 10);
  const world = new World({ blocks, hostBlocks, blockSize, states, seed });
  world.fill();
  const total = zeros();
  const tenths = Array.from({ length: 10 }, (): Tenth => {
    const { times, done } = runTenth(world, operations / 10);
    world.verify();
    const micros = (time: number, count: number) =>
      count === 0 ? 0 : 1000 * time / count;
    const costs = zeros();
    for (const name of OPERATIONS) {
      costs[name] = micros(times[name], done[name]);
      total[name] += done[name];
    }
    const time = OPERATIONS.reduce((sum, name) => sum + times[name], 0);
    return {
      cost: micros(time, operations / 10),
      costs,
      sequences: world.size,
      heapBytes: heapBytes(),
    };
  });
  const leaks = world.finish();
  return { tenths, done: total, counts: world.counts, leaks };
}
