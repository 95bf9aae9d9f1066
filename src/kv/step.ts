/**
 * Tokens on their way into a cache: reserved, then written, then committed.
 *
 * @module
 */

import { BlockTable } from "../cache/block/block_table.ts";
import type { ContiguousSequence } from "../cache/extent/contiguous_sequence.ts";
import { checkType } from "../core/check.ts";
import {
  type CacheShape,
  checkLayerRows,
  type DeviceRows,
  isHost,
  type LayerRows,
  uploadRows,
} from "./rows.ts";

/** What a step asks of its cache. */
export interface StepHost {
  /** The cache. */
  readonly cache: CacheShape;
  /** Throws unless the cache can be used. */
  readonly check: () => void;
  /** Submits what is recorded; on an error nothing is. */
  readonly submit: (record: (encoder: GPUCommandEncoder) => void) => void;
  /** Records what has to be copied before, then checked rows. */
  readonly encode: (
    encoder: GPUCommandEncoder,
    write: {
      readonly serial: number;
      readonly slots: Uint32Array;
      readonly rows: DeviceRows;
    },
  ) => void;
  /** Carries out what has to be copied, unless the device is gone. */
  readonly copy: (serial: number) => void;
}

/** The part of a step that is one sequence's. */
export interface StepPart {
  /** The sequence. */
  readonly sequence: BlockTable | ContiguousSequence;
  /** Its length before. */
  readonly start: number;
  /** Tokens that are added. */
  readonly count: number;
}

/** What a step is made of. */
export interface StepOptions {
  /** The slot of each token; not to be changed. */
  readonly slots: Uint32Array;
  /** Blocks that are copied before. */
  readonly copies: number;
  /** Its number among the cache's reservations. */
  readonly serial: number;
  /** The sequences; none where somebody else has reserved. */
  readonly parts?: readonly StepPart[];
}

/**
 * Tokens that have their slots, in one or several sequences of a cache:
 * `reserve()` makes it, `write()` fills it layer by layer, `commit()` ends it.
 *
 * A step that is disposed of before it is committed is cancelled: its sequences
 * are as they were before.
 *
 * @example Two layers, written one after the other
 * ```ts
 * import { KvCache, openGpu } from "@quire/attention";
 *
 * const gpu = await openGpu();
 * const cache = await KvCache.create(gpu, {
 *   numBlocks: 8,
 *   layers: 2,
 *   kvHeads: 1,
 *   headDim: 4,
 * });
 * const sequence = cache.createSequence();
 * {
 *   using step = cache.reserve([{ sequence, count: 3 }]);
 *   for (const layer of [0, 1]) {
 *     const key = gpu.empty("f32", [3, 1, 4]);
 *     const value = gpu.empty("f32", [3, 1, 4]);
 *     step.write({ layer, key, value });
 *   }
 *   step.commit();
 * }
 * console.log(sequence.length, sequence.committed); // 3 3
 * gpu.destroy();
 * ```
 *
 * @category Cache
 */
export class CacheStep implements Disposable {
  /** Tokens that are added, in all sequences together. */
  readonly tokens: number;
  /** Blocks that are copied before anything is written. */
  readonly copies: number;
  readonly #host: StepHost;
  readonly #slots: Uint32Array;
  readonly #serial: number;
  readonly #parts: readonly StepPart[] | undefined;
  /** The first token's slot of each part that has one. */
  readonly #first: readonly (number | undefined)[];
  readonly #written: Set<number> = new Set();
  #state: "open" | "committed" | "cancelled" = "open";

  /** Made by a cache's `reserve()` and `step()`. */
  constructor(host: StepHost, { slots, copies, serial, parts }: StepOptions) {
    this.tokens = slots.length;
    this.copies = copies;
    this.#host = host;
    this.#slots = slots;
    this.#serial = serial;
    this.#parts = parts;
    this.#first = parts?.map(firstSlot) ?? [];
  }

  /**
   * Writes the rows of one layer; host arrays are uploaded. Submits at once.
   *
   * @throws {TypeError} if a tensor does not fit, the step is over, or a
   * sequence has been moved, cut off or freed since
   * @throws {RangeError} if there is no such layer, or a bf16 is too large for
   * f16
   */
  write(rows: LayerRows): void {
    this.#checkRows(rows);
    const { rows: uploaded, made } = uploadRows(this.#host.cache.gpu, rows);
    try {
      this.#host.submit((encoder) => this.#encode(encoder, uploaded));
    } finally {
      for (const tensor of made) tensor.destroy();
    }
    this.#written.add(rows.layer ?? 0);
  }

  /**
   * Records the writing of the rows of one layer, and before the first of them
   * what has to be copied. What is recorded counts as done: submit the encoder
   * before the cache is written or read in another way.
   *
   * @throws {TypeError} as {@linkcode CacheStep.write} does, and for rows on
   * the host
   * @throws {RangeError} as {@linkcode CacheStep.write} does
   */
  encode(encoder: GPUCommandEncoder, rows: LayerRows): void {
    this.#checkRows(rows);
    const { key, value, ...rest } = rows;
    for (const [name, tensor] of Object.entries({ key, value })) {
      checkType(
        !isHost(tensor),
        name,
        "must be a GpuTensor, as only write() and append() upload",
        tensor,
      );
    }
    this.#encode(encoder, { ...rest, key, value } as DeviceRows);
    this.#written.add(rows.layer ?? 0);
  }

  /**
   * Commits the tokens in all sequences, and ends the step.
   *
   * @throws {TypeError} if a layer was not written, the step is over, a
   * sequence has been cut off or freed since, or somebody else has reserved
   */
  commit(): void {
    const parts = this.#ownParts("commit");
    this.#checkOpen();
    if (this.tokens > 0) {
      for (let layer = 0; layer < this.#host.cache.layers; layer++) {
        if (this.#written.has(layer)) continue;
        throw new TypeError(
          `Cannot commit the step as layer ${layer} is not written`,
        );
      }
    }
    this.#checkPlaces();
    for (const { sequence, start, count } of parts) {
      const end = start + count;
      // A later step may be committed already.
      if (sequence.committed < end) sequence.commit(end);
    }
    this.#state = "committed";
  }

  /**
   * Gives the slots back: the sequences are as long as before and hold what
   * they held. Further calls do nothing.
   *
   * @throws {TypeError} if the step is committed, more is reserved in a sequence
   * since, or somebody else has reserved
   */
  cancel(): void {
    const parts = this.#ownParts("cancel");
    if (this.#state === "cancelled") return;
    this.#checkOpen();
    const live = parts.filter(({ sequence }) => !sequence.freed);
    for (const { sequence, start, count } of live) {
      if (sequence.length <= start + count) continue;
      throw new TypeError(
        "Cannot cancel the step as more is reserved in a sequence since",
      );
    }
    try {
      // What was copied is where the sequences read from now on. Where that
      // fails, it still comes before the next write.
      this.#host.copy(this.#serial);
    } finally {
      for (const { sequence, start } of live) {
        if (sequence.length > start) sequence.truncate(start);
      }
      this.#state = "cancelled";
    }
  }

  /** Cancels the step unless it is committed or not this cache's to cancel. */
  [Symbol.dispose](): void {
    if (this.#parts !== undefined && this.#state === "open") this.cancel();
  }

  #encode(encoder: GPUCommandEncoder, rows: DeviceRows): void {
    const write = { serial: this.#serial, slots: this.#slots, rows };
    this.#host.encode(encoder, write);
  }

  #ownParts(verb: string): readonly StepPart[] {
    if (this.#parts !== undefined) return this.#parts;
    throw new TypeError(
      `Cannot ${verb} the step as its tokens were reserved elsewhere: ${verb} them there`,
    );
  }

  #checkRows(rows: LayerRows): void {
    this.#host.check();
    this.#checkOpen();
    checkLayerRows(this.#host.cache, rows, { tokens: this.tokens });
    this.#checkPlaces();
  }

  #checkOpen(): void {
    checkType(
      this.#state === "open",
      "step",
      "must be neither committed nor cancelled",
      this.#state,
    );
  }

  /** Throws where a sequence no longer has the slots that it had. */
  #checkPlaces(): void {
    this.#parts?.forEach((part, i) => {
      if (isThere(part) && firstSlot(part) === this.#first[i]) return;
      throw new TypeError(
        `Cannot use the step as sequence ${i} was moved, cut off or freed since`,
      );
    });
  }
}

/** Whether a part's tokens have slots, wherever those are. */
function isThere({ sequence, start, count }: StepPart): boolean {
  if (sequence.freed || sequence.length < start + count) return false;
  return !(sequence instanceof BlockTable) || sequence.dropped <= start;
}

/** The slot of a part's first token. */
function firstSlot({ sequence, start, count }: StepPart): number | undefined {
  return count === 0 ? undefined : sequence.slot(start);
}
