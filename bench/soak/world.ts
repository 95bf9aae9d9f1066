/**
 * A service without a device: every operation of a cache manager, drawn at
 * random over one pool that is always nearly full.
 *
 * @module
 */

import {
  BlockPool,
  CacheManager,
  OutOfBlocksError,
  PrefixIndex,
  type SequenceReservation,
  StatePool,
  type SwapTransfer,
} from "../../src/cache/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { Crowd, type Member } from "./crowd.ts";
import { DECK, type Operation } from "./operations.ts";
import { anyPrompt, anyToken, DOMAINS } from "./prompts.ts";

/** What a world starts with. */
export interface WorldOptions {
  /** Blocks of the pool that can be used. */
  readonly blocks: number;
  /** Blocks of host memory. */
  readonly hostBlocks: number;
  /** Tokens per block. */
  readonly blockSize: number;
  /** Slots of states that can be used; 0 for no group of them. */
  readonly states: number;
  /** What all choices follow from. */
  readonly seed: number;
}

/** Sequences that wait preempted at most, before victims end instead. */
const MAX_PREEMPTED = 200;

/** The longest sequence. */
const MAX_LENGTH = 1024;

/** A transfer under way, and who is in it. */
interface Journey {
  readonly transfer: SwapTransfer;
  readonly members: readonly Member[];
}

/** A cache manager and its users. */
export class World {
  readonly #pool: BlockPool;
  readonly #index: PrefixIndex;
  readonly #slots: StatePool | undefined;
  readonly #stateIndex: PrefixIndex | undefined;
  readonly #cache: CacheManager;
  readonly #random: Prng;
  readonly #hostBlocks: number;
  readonly #running: Crowd<Member> = new Crowd();
  readonly #preempted: Crowd<Member> = new Crowd();
  readonly #swapped: Crowd<Member> = new Crowd();
  readonly #journeys: Crowd<Journey> = new Crowd();
  readonly #counts = {
    made: 0,
    freed: 0,
    refused: 0,
    idle: 0,
    copies: 0,
    stored: 0,
    removed: 0,
  };
  #now = 0;

  /** Makes a world with no one in it. */
  constructor(options: WorldOptions) {
    const { blocks, hostBlocks, blockSize, states, seed } = options;
    this.#pool = new BlockPool({ numBlocks: blocks + 1, blockSize });
    this.#index = new PrefixIndex(this.#pool, {
      clock: () => this.#now,
      events: true,
    });
    if (states > 0) {
      this.#slots = new StatePool({ numStates: states + 1, blockSize });
      this.#stateIndex = new PrefixIndex(this.#slots, {
        clock: () => this.#now,
      });
    }
    const groups = [{}, { left: 4 * blockSize }];
    this.#cache = new CacheManager({
      pool: this.#pool,
      index: this.#index,
      groups: this.#slots ? [...groups, { kind: "state" }] : groups,
      hostBlocks,
      ...(this.#slots && this.#stateIndex && {
        states: {
          pool: this.#slots,
          index: this.#stateIndex,
          snapshots: { every: 8 },
          hostStates: hostBlocks,
        },
      }),
    });
    this.#hostBlocks = hostBlocks;
    this.#random = new Prng(seed);
  }

  /** What was counted so far, the changes up to {@linkcode drain} included. */
  get counts(): Readonly<Record<string, number>> {
    return { ...this.#counts, ...this.#index.stats };
  }

  /** Sequences that are not freed. */
  get size(): number {
    return this.#running.size + this.#preempted.size + this.#swapped.size;
  }

  /** Creates sequences until the pool is full. */
  fill(): void {
    while (this.#counts.refused === 0) this.#run("create");
  }

  /** Does one operation, drawn at random, and says which. */
  step(): Operation {
    this.#now++;
    const name = DECK[this.#random.below(DECK.length)];
    this.#run(name);
    return name;
  }

  /** Counts what the index noted of its changes. */
  drain(): void {
    for (const { type } of this.#index.takeEvents()) {
      if (type !== "cleared") this.#counts[type]++;
    }
  }

  /**
   * Checks every invariant of the cache.
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    this.#cache.verify();
  }

  /**
   * Ends everything.
   *
   * @returns What did not come back: all are 0 where nothing leaks.
   */
  finish(): Record<string, number> {
    for (const journey of this.#journeys) this.#settle(journey, "completeSwap");
    for (const crowd of [this.#running, this.#preempted, this.#swapped]) {
      for (const member of crowd) this.#end(member, crowd);
    }
    for (const index of [this.#index, this.#stateIndex]) {
      for (const pin of index?.pins ?? []) index!.unpin(pin);
    }
    this.verify();
    this.drain();
    const { made, freed, stored, removed } = this.#counts;
    const { totalBlocks, freeBlocks, evictableBlocks } = this.#pool;
    const leaks = {
      sequences: this.#cache.sequences.length,
      sequencesMadeNotFreed: made - freed,
      blocksNotFree: totalBlocks - freeBlocks,
      hostBlocksNotFree: this.#hostBlocks - this.#cache.freeHostBlocks,
      cachedBlocksNotFree: this.#index.cachedBlocks - evictableBlocks,
      eventsMissing: stored - removed - this.#index.cachedBlocks,
      statesNotFree: this.#slots?.usedBlocks ?? 0,
      hostStatesNotFree: this.#slots
        ? this.#hostBlocks - this.#cache.freeHostStates
        : 0,
      cachedStatesNotFree: (this.#stateIndex?.cachedBlocks ?? 0) -
        (this.#slots?.evictableBlocks ?? 0),
    };
    const handedOut = new Set(this.#pool.allocate(totalBlocks)).size;
    this.#index.verify();
    return {
      ...leaks,
      blocksNotHandedOut: totalBlocks - handedOut,
      cachedBlocksNotEvicted: this.#index.cachedBlocks,
    };
  }

  #run(name: Operation): void {
    try {
      this.#operations[name]();
    } catch (error) {
      if (!(error instanceof OutOfBlocksError)) throw error;
      this.#counts.refused++;
      this.#makeRoom();
    }
  }

  readonly #operations: Readonly<Record<Operation, () => void>> = {
    create: () => {
      const { blockSize } = this.#pool;
      const domain = Math.max(0, this.#random.below(8) - 5);
      const prompt = anyPrompt(this.#random, blockSize);
      const { sequence, pending, copies } = this.#cache.create(
        prompt,
        DOMAINS[domain],
      );
      this.#counts.made++;
      this.#counts.copies += copies.length;
      const end = prompt.length +
        this.#random.below(MAX_LENGTH - prompt.length);
      const member = { sequence, domain, end, tokens: prompt };
      this.#compute(member, pending);
    },
    append: () => {
      const member = this.#pick(this.#running);
      if (!member) return;
      const { sequence, end } = member;
      if (sequence.length >= end) return this.#end(member, this.#running);
      this.#note([this.#cache.reserve(sequence, [anyToken(this.#random)])]);
      this.#cache.commit(sequence);
    },
    draft: () => {
      const member = this.#pick(this.#running);
      if (!member) return;
      const { sequence } = member;
      const drafts = Array.from(
        { length: 1 + this.#random.below(8) },
        () => anyToken(this.#random),
      );
      this.#note([
        this.#cache.reserve(sequence, drafts, { drafts: true }),
      ]);
      const right = this.#random.below(drafts.length + 1);
      this.#cache.truncate(sequence, sequence.committed + right);
      this.#cache.commit(sequence);
    },
    fork: () => {
      const member = this.#pick(this.#running);
      if (!member) return;
      const count = 1 + this.#random.below(4);
      const forks = this.#cache.fork(member.sequence, count);
      this.#counts.made += count;
      for (const sequence of forks) this.#running.add({ ...member, sequence });
    },
    reorder: () => {
      const { domain = 0 } = this.#pick(this.#running) ?? {};
      const beams = this.#running.pickSome(this.#random, 6)
        .filter((member) => member.domain === domain)
        .map(({ sequence }) => sequence);
      const any = () => this.#random.below(beams.length);
      this.#note(this.#cache.reorder({
        beams,
        parents: beams.map(any),
        tokens: beams.map(() => [anyToken(this.#random)]),
      }));
      for (const sequence of beams) this.#cache.commit(sequence);
    },
    free: () => {
      const crowds = [this.#running, this.#preempted, this.#swapped];
      const crowd = crowds[Math.max(0, this.#random.below(8) - 5)];
      const member = this.#pick(crowd);
      if (member) this.#end(member, crowd);
    },
    preempt: () => {
      // Now and then a copy in host memory is lost.
      const lost = this.#random.below(8) === 0;
      const crowd = lost ? this.#swapped : this.#running;
      const member = this.#pick(crowd);
      if (member) this.#preempt(member, { crowd });
    },
    resume: () => {
      const member = this.#pick(this.#preempted);
      if (!member) return;
      const { sequence, tokens } = member;
      const { pending, copies } = this.#cache.resume(sequence, tokens);
      this.#counts.copies += copies.length;
      this.#preempted.remove(member);
      this.#compute(member, pending);
    },
    swapOut: () => this.#depart(this.#running, "beginSwapOut"),
    swapIn: () => this.#depart(this.#swapped, "beginSwapIn"),
    complete: () => this.#settleAny("completeSwap"),
    abort: () => this.#settleAny("abortSwap"),
    pin: () => {
      const member = this.#pick(this.#running);
      if (!member) return;
      const { sequence, domain } = member;
      const ttl = 1 + this.#random.below(2000);
      const group = this.#random.below(this.#slots ? 3 : 2);
      const index = group === 2 ? this.#stateIndex! : this.#index;
      index.pin(sequence.tokens, { ...DOMAINS[domain], group, ttl });
    },
    evict: () => {
      this.#index.evict(1 + this.#random.below(this.#pool.totalBlocks));
    },
  };

  /** Any one of a crowd; that there is none is counted. */
  #pick<T>(crowd: Crowd<T>): T | undefined {
    const item = crowd.pick(this.#random);
    if (item === undefined) this.#counts.idle++;
    return item;
  }

  #note(reservations: readonly SequenceReservation[]): void {
    for (const { copies } of reservations) this.#counts.copies += copies.length;
  }

  /** Computes what is not cached of a sequence that begins. */
  #compute(member: Member, pending: readonly number[]): void {
    this.#running.add(member);
    try {
      this.#note([this.#cache.reserve(member.sequence, pending)]);
      this.#cache.commit(member.sequence);
    } catch (error) {
      this.#preempt(member, { tokens: member.tokens });
      throw error;
    }
  }

  #preempt(
    member: Member,
    { crowd = this.#running, tokens = member.sequence.tokens } = {},
  ): void {
    crowd.remove(member);
    this.#cache.preempt(member.sequence);
    member.tokens = tokens;
    this.#preempted.add(member);
  }

  #end(member: Member, crowd: Crowd<Member>): void {
    this.#cache.free(member.sequence);
    crowd.remove(member);
    this.#counts.freed++;
  }

  /** Preempts a few sequences, or ends them if many wait already. */
  #makeRoom(): void {
    for (const member of this.#running.pickSome(this.#random, 8)) {
      if (this.#preempted.size < MAX_PREEMPTED) this.#preempt(member);
      else this.#end(member, this.#running);
    }
  }

  #depart(crowd: Crowd<Member>, begin: "beginSwapOut" | "beginSwapIn"): void {
    const members = crowd.pickSome(this.#random, 1 + this.#random.below(3));
    const sequences = members.map(({ sequence }) => sequence);
    const transfer = this.#cache[begin](sequences);
    for (const member of members) crowd.remove(member);
    this.#journeys.add({ transfer, members });
  }

  #settleAny(end: "completeSwap" | "abortSwap"): void {
    const journey = this.#pick(this.#journeys);
    if (journey) this.#settle(journey, end);
  }

  #settle(journey: Journey, end: "completeSwap" | "abortSwap"): void {
    this.#journeys.remove(journey);
    this.#cache[end](journey.transfer);
    const out = journey.transfer.direction === "out";
    const swapped = out === (end === "completeSwap");
    const crowd = swapped ? this.#swapped : this.#running;
    for (const member of journey.members) crowd.add(member);
  }
}
