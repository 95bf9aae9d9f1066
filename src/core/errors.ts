/**
 * The error classes that callers catch. Everything else that is wrong with an
 * argument is a built-in `TypeError` (wrong type, dtype or shape) or
 * `RangeError` (outside the allowed range).
 *
 * @module
 */

/**
 * Thrown when a block pool cannot serve a request; nothing was changed.
 *
 * @example A pool that is too small
 * ```ts
 * import { BlockTable, OutOfBlocksError } from "@quire/attention";
 * import { BlockPool } from "@quire/attention/cache";
 *
 * const table = new BlockTable(new BlockPool({ numBlocks: 3, blockSize: 4 }));
 * try {
 *   table.reserve(100);
 * } catch (error) {
 *   if (!(error instanceof OutOfBlocksError)) throw error;
 *   console.log(table.length); // 0: nothing was reserved
 * }
 * ```
 *
 * @category Errors
 */
export class OutOfBlocksError extends Error {
  /** The name of the class. */
  override readonly name: string = "OutOfBlocksError";
  /** Blocks that the request needed. */
  readonly needed: number;
  /** Blocks that were free when it was refused. */
  readonly free: number;
  /** Blocks that could have been freed by evicting cached prefixes. */
  readonly evictable: number;
  /** Blocks of the longest free run, where the needed ones must be one run. */
  readonly largest: number | undefined;

  /** Makes the error; the message is written from the counts. */
  constructor(
    counts: {
      needed: number;
      free: number;
      evictable?: number;
      largest?: number;
      what?: string;
    },
  ) {
    const { needed, free, evictable = 0, largest, what = "blocks" } = counts;
    const run = largest === undefined ? "" : `, ${largest} in one run`;
    super(
      `Cannot allocate ${what}: ${needed} needed, ${free} free${run}, ${evictable} evictable`,
    );
    this.needed = needed;
    this.free = free;
    this.evictable = evictable;
    this.largest = largest;
  }
}

/**
 * Thrown when a state pool cannot serve a request; nothing was changed. Who
 * makes room for blocks, by preempting or swapping, does so for states.
 *
 * @example A pool that is too small
 * ```ts
 * import { OutOfBlocksError, OutOfStatesError, StatePool } from "@quire/attention/cache";
 * import { assert, assertThrows } from "@std/assert";
 *
 * const pool = new StatePool({ numStates: 3 });
 * const error = assertThrows(() => pool.allocate(3), OutOfStatesError);
 * assert(error instanceof OutOfBlocksError);
 * ```
 *
 * @category Errors
 */
export class OutOfStatesError extends OutOfBlocksError {
  /** The name of the class. */
  override readonly name: string = "OutOfStatesError";

  /** Makes the error; the message is written from the counts, in slots. */
  constructor(counts: { needed: number; free: number; evictable?: number }) {
    super({ ...counts, what: "states" });
  }
}

/**
 * Thrown by every call on a {@linkcode Gpu} whose device is lost.
 *
 * @category Errors
 */
export class DeviceLostError extends Error {
  /** The name of the class. */
  override readonly name = "DeviceLostError";
  /** WebGPU's reason: `"destroyed"` or `"unknown"`. */
  readonly reason: string;

  /** Makes the error from WebGPU's reason and message. */
  constructor(reason: string, message: string) {
    super(
      `Cannot use the device as it is lost (${reason})${
        message ? `: ${message}` : ""
      }`,
    );
    this.reason = reason;
  }
}

/**
 * Thrown when valid input asks for what this device or version cannot do.
 *
 * @example Where there may be no adapter
 * ```ts
 * import { openGpu, UnsupportedError } from "@quire/attention";
 *
 * const gpu = await openGpu().catch((error) => {
 *   if (!(error instanceof UnsupportedError)) throw error;
 *   console.log(error.message); // what cannot be done, and why
 * });
 * gpu?.destroy();
 * ```
 *
 * @category Errors
 */
export class UnsupportedError extends Error {
  /** The name of the class. */
  override readonly name = "UnsupportedError";
  /** What is missing, for example a feature name or a limit with its value. */
  readonly reason: string;

  /** Makes the error: what was asked for, and what is missing for it. */
  constructor(what: string, reason: string) {
    super(`Cannot ${what}: ${reason}`);
    this.reason = reason;
  }
}
