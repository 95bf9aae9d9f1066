/**
 * At which lengths a state is kept, to be found by others.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";

/**
 * At which ends of blocks a `CacheManager` keeps a sequence's state for its
 * index. A state is as large as many blocks of keys, so it is not kept
 * everywhere; and it is kept only where there are slots for it.
 *
 * @category Cache
 */
export interface SnapshotPolicy {
  /** Every so many blocks, while the sequence grows. By default nowhere. */
  readonly every?: number;
  /**
   * At the last end of a block before the last token that a sequence begins
   * with, where the same prompt and what goes on from it find it. Defaults to
   * `true`.
   */
  readonly promptEnd?: boolean;
  /**
   * Where a sequence leaves what others have in common with it, and no state was
   * kept: the next one to come that way finds it (Pan et al. 2024, Marconi,
   * section 4.1). Defaults to `true`.
   */
  readonly branches?: boolean;
}

/** A policy with everything filled in; `every` is `Infinity` for nowhere. */
export type FullSnapshotPolicy = Required<SnapshotPolicy>;

/**
 * Checks a policy and fills it in.
 *
 * @throws {TypeError} if an option is of the wrong type, or unknown.
 * @throws {RangeError} if `every` is not an integer >= 1.
 */
export function checkSnapshots(policy: SnapshotPolicy): FullSnapshotPolicy {
  checkOptions("snapshots", policy, {
    known: ["every", "promptEnd", "branches"],
  });
  const { every = Infinity, promptEnd = true, branches = true } = policy;
  if (every !== Infinity) checkInteger("snapshots.every", every, 1);
  for (const [name, value] of Object.entries({ promptEnd, branches })) {
    checkType(
      typeof value === "boolean",
      `snapshots.${name}`,
      "must be a boolean",
      value,
    );
  }
  return { every, promptEnd, branches };
}

/** What a sequence begins with, in tokens. */
export interface Beginning {
  /** All that it begins with. */
  readonly length: number;
  /** Those whose state is found. */
  readonly cached: number;
  /** Those that are known, if not their state. */
  readonly shared: number;
}

/** The lengths at which one sequence's state is kept. */
export class SnapshotLengths {
  readonly #step: number;
  readonly #places: readonly number[];

  /** Works out those of a sequence; without a policy there are none. */
  constructor(
    policy: FullSnapshotPolicy | undefined,
    blockSize: number,
    { length, cached, shared }: Beginning,
  ) {
    const { every = Infinity, promptEnd, branches } = policy ?? {};
    const end = Math.floor(Math.max(0, length - 1) / blockSize) * blockSize;
    const places = new Set<number>();
    if (branches && shared > cached) places.add(shared);
    if (promptEnd && end > cached) places.add(end);
    this.#step = every * blockSize;
    this.#places = [...places].sort((a, b) => a - b);
  }

  /** Whether the state of so many tokens is kept. */
  has(length: number): boolean {
    return length > 0 && length % this.#step === 0 ||
      this.#places.includes(length);
  }

  /** Those of them that lie between two lengths, ascending. */
  between(start: number, end: number): number[] {
    const lengths = new Set(
      this.#places.filter((length) => start < length && length < end),
    );
    const first = (Math.floor(start / this.#step) + 1) * this.#step;
    for (let at = first; at < end; at += this.#step) lengths.add(at);
    return [...lengths].sort((a, b) => a - b);
  }
}
