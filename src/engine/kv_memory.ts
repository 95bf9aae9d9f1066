/**
 * The keys and values of requests: puts them onto the device and takes them
 * off it, and keeps the operations that the device has yet to carry out for
 * that, which the cache already counts as done.
 *
 * @module
 */

import { NULL_BLOCK } from "../cache/block/block_pool.ts";
import type {
  Admission,
  CacheManager,
  CacheSequence,
  GroupCopy,
} from "../cache/mod.ts";
import { OutOfBlocksError } from "../core/errors.ts";
import type { ScheduledSequence } from "./in_flight.ts";
import type { FullPolicy } from "./policy.ts";
import type { Branch, RequestState } from "./request_state.ts";
import type { Preemption, StepOperation } from "./step.ts";

/** Puts requests' sequences into a cache and takes them out again. */
export class KvMemory {
  readonly #cache: CacheManager;
  readonly #policy: FullPolicy;
  readonly #freed: Set<number> = new Set();
  readonly #swappingOut: Set<RequestState> = new Set();
  #operations: StepOperation[] = [];

  /** Works on a cache. */
  constructor(cache: CacheManager, policy: FullPolicy) {
    this.#cache = cache;
    this.#policy = policy;
  }

  /** Requests on their way to host memory, until {@linkcode clearSwappingOut}. */
  get swappingOut(): ReadonlySet<RequestState> {
    return this.#swappingOut;
  }

  /** Hands over the operations to carry out before the next work, in order. */
  takeOperations(): StepOperation[] {
    const operations = this.#operations;
    this.#operations = [];
    return operations;
  }

  /** Drops swaps that were not handed over. */
  dropSwaps(): void {
    this.#operations = this.#operations.filter(({ type }) => type !== "swap");
  }

  /** Blocks freed since the last call that are still free. */
  takeFreed(): number[] {
    const { pool } = this.#cache;
    const freed = [...this.#freed].filter((id) => pool.refCount(id) === 0);
    this.#freed.clear();
    return freed;
  }

  /** Says that the step that swapped requests to host memory is over. */
  clearSwappingOut(): void {
    this.#swappingOut.clear();
  }

  /** Adds copies that the cache asks for to the operations. */
  addCopies({ request }: RequestState, copies: readonly GroupCopy[]): void {
    for (const copy of copies) {
      this.#operations.push({ type: "copy", request: request.id, copy });
    }
  }

  /** Notes that these sequences are about to free blocks. */
  noteFreed(sequences: readonly CacheSequence[]): void {
    for (const { tables } of sequences) {
      for (const { blocks } of tables) this.#noteFreed(blocks);
    }
  }

  /** Says that a sequence is written up to the end of a step. */
  commit({ end, work: { sequence, blocks } }: ScheduledSequence): void {
    this.#cache.commit(sequence, end);
    const { blockSize } = this.#cache.pool;
    sequence.tables.forEach(({ dropped }, group) =>
      this.#noteFreed(blocks[group].slice(0, dropped / blockSize))
    );
  }

  /**
   * Takes blocks for a waiting request, which then runs or is swapped in.
   *
   * @param alone Whether no other request has blocks, so that there is nothing
   * to wait for.
   * @returns Whether there were enough.
   */
  allocate(state: RequestState, alone: boolean): boolean {
    if (state.status === "swapped") return this.#swapIn(state, alone);
    const first = state.live[0];
    const tokens = state.tokens(first, 0, state.commonLength());
    const { domain } = state.request;
    const chunk = Math.min(this.#policy.longPrefill, this.#policy.tokenBudget);
    const admitted = this.#cache.canAdmit(tokens, { domain, chunk });
    if (admitted !== "now" && !alone) return false;
    const admission = this.#attempt(() => this.#begin(state, tokens));
    if (admission === undefined) return false;
    this.addCopies(state, admission.copies);
    state.preempted = undefined;
    state.prefix = admission.sequence;
    state.prefixLength = tokens.length;
    state.status = "running";
    return true;
  }

  /** Takes a running request's blocks away. */
  preempt(state: RequestState): Preemption {
    const { id: request } = state.request;
    const { sequences } = state;
    this.noteFreed(sequences);
    const written = sequences.some(({ committed }) => committed > 0);
    if (this.#policy.preemption === "swap" && written) {
      const transfer = this.#attempt(() => this.#cache.beginSwapOut(sequences));
      if (transfer !== undefined) {
        // The blocks are read before anything that comes later writes them, as
        // the device works in order; so they can be handed out at once.
        this.#cache.completeSwap(transfer);
        this.#operations.push({ type: "swap", request, transfer });
        this.#swappingOut.add(state);
        state.status = "swapped";
        return { request, by: "swap" };
      }
    }
    this.#preemptByRecompute(state);
    return { request, by: "recompute" };
  }

  /** Says that the copies of a request that is swapped in are done. */
  completeSwapIn(state: RequestState): void {
    this.#cache.completeSwap(state.transfer!);
    state.transfer = undefined;
    state.status = "running";
  }

  /** Leaves a request that is swapped in where it was, in host memory. */
  abortSwapIn(state: RequestState): void {
    this.noteFreed(state.sequences);
    this.#cache.abortSwap(state.transfer!);
    state.transfer = undefined;
    state.status = "swapped";
  }

  /** Discards all that was computed of a request, wherever it is. */
  discard(state: RequestState): void {
    if (state.status === "swappingIn") this.abortSwapIn(state);
    if (state.sequences.length === 0) return;
    this.noteFreed(state.sequences);
    this.#preemptByRecompute(state);
  }

  /** Frees everything that a finished request holds. */
  freeRequest(state: RequestState): void {
    this.discard(state);
    if (state.preempted !== undefined) this.#cache.free(state.preempted);
    state.preempted = undefined;
  }

  /** Frees the sequence of a finished branch. */
  freeBranch(branch: Branch): void {
    this.noteFreed([branch.sequence!]);
    this.#cache.free(branch.sequence!);
    branch.sequence = undefined;
  }

  /** Gives each branch a sequence of its own behind the common prefix. */
  fork(state: RequestState): void {
    const { prefix, live: [first, ...others] } = state;
    const forks = others.length > 0
      ? this.#cache.fork(prefix!, others.length)
      : [];
    first.sequence = prefix;
    others.forEach((branch, i) => branch.sequence = forks[i]);
    state.prefix = undefined;
  }

  #begin(state: RequestState, tokens: readonly number[]): Admission {
    return state.preempted === undefined
      ? this.#cache.create(tokens, state.request.domain)
      : this.#cache.resume(state.preempted, tokens);
  }

  #swapIn(state: RequestState, alone: boolean): boolean {
    const { sequences } = state;
    const transfer = this.#attempt(() => this.#cache.beginSwapIn(sequences));
    if (transfer === undefined) {
      if (!alone) return false;
      this.discard(state);
      return this.allocate(state, alone);
    }
    if (!alone && this.#cache.belowWatermark) {
      this.#cache.abortSwap(transfer);
      return false;
    }
    const { id: request } = state.request;
    this.#operations.push({ type: "swap", request, transfer });
    state.transfer = transfer;
    state.status = "swappingIn";
    return true;
  }

  /** Keeps one sequence to resume, and frees the others. */
  #preemptByRecompute(state: RequestState): void {
    const [kept, ...others] = state.sequences;
    for (const sequence of others) this.#cache.free(sequence);
    this.#cache.preempt(kept);
    // What is found of a sequence that is resumed does not count as a hit.
    state.preempted = kept;
    state.prefix = undefined;
    for (const branch of state.branches) branch.sequence = undefined;
    state.parents = undefined;
    state.status = "preempted";
  }

  #noteFreed(blocks: readonly number[]): void {
    for (const id of blocks) if (id !== NULL_BLOCK) this.#freed.add(id);
  }

  /** The result, or `undefined` if there are too few blocks. */
  #attempt<T>(operation: () => T): T | undefined {
    try {
      return operation();
    } catch (error) {
      if (error instanceof OutOfBlocksError) return undefined;
      throw error;
    }
  }
}
