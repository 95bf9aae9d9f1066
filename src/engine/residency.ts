/**
 * Moves requests onto the device and off it, and keeps what is thereby owed to
 * the device: copies that the cache's books already count as done.
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
import type { FullPolicy } from "./policy.ts";
import type { Branch, RequestState } from "./request_state.ts";
import type { Preemption, StepOperation } from "./step.ts";

/** Puts requests' sequences into a cache and takes them out again. */
export class Residency {
  readonly #cache: CacheManager;
  readonly #policy: FullPolicy;
  readonly #released: Set<number> = new Set();
  readonly #unsaved: Set<RequestState> = new Set();
  #operations: StepOperation[] = [];

  /** Works on a cache. */
  constructor(cache: CacheManager, policy: FullPolicy) {
    this.#cache = cache;
    this.#policy = policy;
  }

  /** Requests on their way to host memory, until {@linkcode settle}. */
  get unsaved(): ReadonlySet<RequestState> {
    return this.#unsaved;
  }

  /** Hands over the copies to carry out before the next work, in order. */
  takeOperations(): StepOperation[] {
    const operations = this.#operations;
    this.#operations = [];
    return operations;
  }

  /** Forgets copies to host memory and back that were not handed over. */
  forgetSwaps(): void {
    this.#operations = this.#operations.filter(({ type }) => type !== "swap");
  }

  /** Blocks given back since the last call that are still free. */
  takeFreed(): number[] {
    const { pool } = this.#cache;
    const freed = [...this.#released].filter((id) => pool.refCount(id) === 0);
    this.#released.clear();
    return freed;
  }

  /** Says that what was handed over is done. */
  settle(): void {
    this.#unsaved.clear();
  }

  /** Notes copies that the cache asks for. */
  owe({ request }: RequestState, copies: readonly GroupCopy[]): void {
    for (const copy of copies) {
      this.#operations.push({ type: "copy", request: request.id, copy });
    }
  }

  /** Notes blocks that may become free. */
  noteBlocks(sequences: readonly CacheSequence[]): void {
    for (const { tables } of sequences) {
      for (const { blocks } of tables) this.#note(blocks);
    }
  }

  /**
   * Says that a sequence is written up to `end`.
   *
   * @param blocks Those it had, for each layer group.
   */
  written(
    sequence: CacheSequence,
    end: number,
    blocks: readonly (readonly number[])[],
  ): void {
    this.#cache.commit(sequence, end);
    const { blockSize } = this.#cache.pool;
    sequence.tables.forEach(({ dropped }, group) =>
      this.#note(blocks[group].slice(0, dropped / blockSize))
    );
  }

  /**
   * Lets a request run, or begins to bring it back from host memory.
   *
   * @param alone Whether no other request has blocks, so that there is nothing
   * to wait for.
   * @returns Whether there was room.
   */
  enter(state: RequestState, alone: boolean): boolean {
    if (state.place === "swapped") return this.#swapIn(state, alone);
    const first = state.live[0];
    const tokens = state.tokens(first, 0, state.commonLength());
    const { domain } = state.request;
    const chunk = Math.min(this.#policy.longPrefill, this.#policy.tokenBudget);
    const admitted = this.#cache.canAdmit(tokens, { domain, chunk });
    if (admitted !== "now" && !alone) return false;
    const admission = this.#attempt(() => this.#begin(state, tokens));
    if (admission === undefined) return false;
    this.owe(state, admission.copies);
    state.handle = undefined;
    state.root = admission.sequence;
    state.rootLength = tokens.length;
    state.place = "running";
    return true;
  }

  /** Takes a running request's blocks away. */
  leave(state: RequestState): Preemption {
    const { id: request } = state.request;
    const { sequences } = state;
    this.noteBlocks(sequences);
    const written = sequences.some(({ committed }) => committed > 0);
    if (this.#policy.preemption === "swap" && written) {
      const transfer = this.#attempt(() => this.#cache.beginSwapOut(sequences));
      if (transfer !== undefined) {
        // The blocks are read before anything that comes later writes them, as
        // the device works in order; so they can be handed out at once.
        this.#cache.completeSwap(transfer);
        this.#operations.push({ type: "swap", request, transfer });
        this.#unsaved.add(state);
        state.place = "swapped";
        return { request, by: "swap" };
      }
    }
    this.#forget(state);
    return { request, by: "recompute" };
  }

  /** Says that an arriving request's copies are done. */
  arrive(state: RequestState): void {
    this.#cache.completeSwap(state.transfer!);
    state.transfer = undefined;
    state.place = "running";
  }

  /** Undoes {@linkcode Residency.enter} for an arriving request. */
  turnBack(state: RequestState): void {
    this.noteBlocks(state.sequences);
    this.#cache.abortSwap(state.transfer!);
    state.transfer = undefined;
    state.place = "swapped";
  }

  /** Gives up all that was computed of a request, which waits from now on. */
  restart(state: RequestState): void {
    if (state.place === "arriving") this.turnBack(state);
    if (state.sequences.length === 0) return;
    this.noteBlocks(state.sequences);
    this.#forget(state);
  }

  /** Gives back everything that an ending request holds. */
  release(state: RequestState): void {
    this.restart(state);
    if (state.handle !== undefined) this.#cache.free(state.handle);
    state.handle = undefined;
  }

  /** Frees the sequence of one continuation. */
  free(branch: Branch): void {
    this.noteBlocks([branch.sequence!]);
    this.#cache.free(branch.sequence!);
    branch.sequence = undefined;
  }

  /** Gives each continuation a sequence of its own behind the common start. */
  fork(state: RequestState): void {
    const { root, live: [first, ...others] } = state;
    const forks = others.length > 0
      ? this.#cache.fork(root!, others.length)
      : [];
    first.sequence = root;
    others.forEach((branch, i) => branch.sequence = forks[i]);
    state.root = undefined;
  }

  #begin(state: RequestState, tokens: readonly number[]): Admission {
    return state.handle === undefined
      ? this.#cache.create(tokens, state.request.domain)
      : this.#cache.resume(state.handle, tokens);
  }

  #swapIn(state: RequestState, alone: boolean): boolean {
    const { sequences } = state;
    const transfer = this.#attempt(() => this.#cache.beginSwapIn(sequences));
    if (transfer === undefined) {
      if (!alone) return false;
      this.restart(state);
      return this.enter(state, alone);
    }
    if (!alone && this.#cache.pool.freeBlocks < this.#cache.watermarkBlocks) {
      this.#cache.abortSwap(transfer);
      return false;
    }
    const { id: request } = state.request;
    this.#operations.push({ type: "swap", request, transfer });
    state.transfer = transfer;
    state.place = "arriving";
    return true;
  }

  /** Keeps one sequence to resume, and ends the others. */
  #forget(state: RequestState): void {
    const [kept, ...others] = state.sequences;
    for (const sequence of others) this.#cache.free(sequence);
    this.#cache.preempt(kept);
    // What is found of a sequence that is resumed does not count as a hit.
    state.handle = kept;
    state.root = undefined;
    for (const branch of state.branches) branch.sequence = undefined;
    state.parents = undefined;
    state.place = "waiting";
  }

  #note(blocks: readonly number[]): void {
    for (const id of blocks) if (id !== NULL_BLOCK) this.#released.add(id);
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
