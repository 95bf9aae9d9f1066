/**
 * The truth that sequences of states are held against: all tokens that each one
 * has seen, and a memory in which a step really reads one slot and writes
 * another, all sequences of a step at once.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  OutOfStatesError,
  type StatePart,
  StatePool,
  type StateSequence,
  type StateSnapshot,
} from "../../../src/cache/mod.ts";
import type { CommandModel } from "../../support/model_commands.ts";

/** What a run starts with. */
export interface StateModelOptions {
  /** Slots that can be used. */
  readonly usable: number;
}

/** What lies in a slot that no one wrote: no text of tokens. */
const POISON = "poison";

/** A sequence under test beside what is true of it. */
export interface TrackedState {
  readonly sequence: StateSequence;
  /** One letter a token. */
  text: string;
  /** The lengths at which there may be a state; the committed one first. */
  lengths: number[];
  /** Those of them that are written over by a later one, or will be. */
  over: Set<number>;
}

/** Steps of several sequences: each part's reads come before its writes. */
export function runParts(
  memory: Map<number, string>,
  texts: readonly string[],
  steps: readonly (readonly StatePart[])[],
): void {
  const rounds = Math.max(0, ...steps.map(({ length }) => length));
  for (let round = 0; round < rounds; round++) {
    const parts = steps.flatMap((all, i) =>
      round < all.length ? [{ ...all[round], i }] : []
    );
    for (const part of parts) {
      for (const other of parts) {
        if (part === other) continue;
        assert(part.write !== other.write, `${part.write} is written twice`);
        assert(part.write !== other.read, `${part.write} is read beside`);
      }
    }
    const before = parts.map(({ read }) =>
      read === 0 ? "" : memory.get(read) ?? POISON
    );
    parts.forEach(({ start, count, write, i }, at) => {
      assert(write > 0, "the null state is written");
      memory.set(write, before[at] + texts[i].slice(start, start + count));
    });
  }
}

/** One run. */
export class StateModel implements CommandModel {
  readonly pool: StatePool;
  readonly tracked: TrackedState[] = [];
  readonly snapshots: { snapshot: StateSnapshot; text: string }[] = [];
  readonly gone: StateSequence[] = [];
  readonly trace: string[];
  readonly memory: Map<number, string> = new Map();

  constructor(options: StateModelOptions) {
    this.pool = new StatePool({ numStates: options.usable + 1 });
    this.trace = [`start ${JSON.stringify(options)}`];
  }

  /** The `pick`th sequence, if there is any. */
  pick(index: number): TrackedState | undefined {
    return this.tracked[index % this.tracked.length];
  }

  /** Reserves; free slots are spoilt, as someone else may have had them. */
  reserve(
    tracked: TrackedState,
    fresh: string,
    options: { readonly at: readonly number[]; readonly keep: boolean },
  ): StatePart[] | undefined {
    const { sequence, text } = tracked;
    const { length } = text;
    const needed = sequence.slotsNeeded(fresh.length, options);
    if (needed > this.pool.freeBlocks) {
      this.refuses(
        () => sequence.reserve(fresh.length, options),
        OutOfStatesError,
      );
      return undefined;
    }
    const held = sequence.slot;
    const parts = sequence.reserve(fresh.length, options);
    if (fresh.length === 0) {
      assertEquals(parts, []);
      return parts;
    }
    const ends = [...options.at, length + fresh.length];
    assertEquals(parts.map(({ start, count }) => start + count), ends);
    assertEquals(parts[0].read, held);
    parts.forEach(({ start, read }, i) => {
      assertEquals(start, i === 0 ? length : ends[i - 1]);
      if (i > 0) assertEquals(read, parts[i - 1].write);
    });
    const inPlace = parts[0].write === held;
    assertEquals(inPlace, needed < parts.length);
    if (inPlace) {
      assert(!options.keep && this.#holders().get(held) === 1);
      tracked.over.add(length);
    }
    tracked.text += fresh;
    tracked.lengths.push(...ends);
    return parts;
  }

  /** Takes the caller's word that a state was written. */
  commit(tracked: TrackedState, at: number): void {
    const length = tracked.lengths[at % tracked.lengths.length];
    tracked.sequence.commit(length);
    tracked.lengths = tracked.lengths.filter((other) => other >= length);
  }

  /** Goes back to a length; what was written over must be refused. */
  truncate(tracked: TrackedState, at: number, unwritten: boolean): string {
    const length = tracked.lengths[at % tracked.lengths.length];
    if (tracked.over.has(length) && !unwritten) {
      this.refuses(() => tracked.sequence.truncate(length), TypeError);
      return "refused";
    }
    tracked.sequence.truncate(length, { unwritten });
    tracked.text = tracked.text.slice(0, length);
    tracked.lengths = tracked.lengths.filter((other) => other <= length);
    for (const at of tracked.over) if (at >= length) tracked.over.delete(at);
    return `to ${length}`;
  }

  /** Runs a call that must throw and change nothing. */
  refuses(
    call: () => unknown,
    ...classes: (new (...a: never[]) => Error)[]
  ): void {
    const before = this.#image();
    let thrown: unknown;
    try {
      call();
    } catch (error) {
      thrown = error;
    }
    assert(
      classes.some((c) => thrown instanceof c),
      `expected ${classes.map(({ name }) => name)}, got ${thrown}`,
    );
    assertEquals(this.#image(), before, "a failed call changed something");
  }

  check(): void {
    this.pool.verify();
    const holders = this.#holders();
    for (let id = 1; id <= this.pool.totalBlocks; id++) {
      assertEquals(this.pool.refCount(id), holders.get(id) ?? 0, `slot ${id}`);
      if (!holders.has(id)) this.memory.set(id, POISON);
    }
    for (const { sequence, text, lengths } of this.tracked) {
      sequence.verify();
      assertEquals(sequence.length, text.length);
      assertEquals(sequence.committed, lengths[0]);
    }
    for (const { snapshot, text } of this.snapshots) {
      assertEquals(this.#content(snapshot.slot), text, "a snapshot");
    }
  }

  /** Checks that each state that is written is that of its tokens. */
  checkWritten(tracked: TrackedState): void {
    const { sequence, text, lengths, over } = tracked;
    for (const length of lengths) {
      const slot = sequence.slotAt(length);
      assertEquals(slot === 0, length === 0 || over.has(length), `${length}`);
      if (slot === 0) continue;
      assertEquals(this.#content(slot), text.slice(0, length), "a state");
    }
  }

  finish(): void {
    for (const { sequence } of this.tracked.splice(0)) sequence.free();
    for (const { snapshot } of this.snapshots.splice(0)) snapshot.free();
    this.check();
    assertEquals(this.pool.freeBlocks, this.pool.totalBlocks);
  }

  #content(slot: number): string {
    return slot === 0 ? "" : this.memory.get(slot) ?? POISON;
  }

  #holders(): Map<number, number> {
    const holders = new Map<number, number>();
    const hold = (id: number) =>
      id > 0 && holders.set(id, (holders.get(id) ?? 0) + 1);
    for (const { sequence } of this.tracked) sequence.slots.forEach(hold);
    for (const { snapshot } of this.snapshots) hold(snapshot.slot);
    return holders;
  }

  #image(): unknown {
    return {
      free: this.pool.freeOrder(),
      counts: Array.from(
        { length: this.pool.totalBlocks },
        (_, i) => this.pool.refCount(i + 1),
      ),
      sequences: this.tracked.map(({ sequence, lengths }) => [
        sequence.length,
        sequence.committed,
        sequence.slots,
        lengths.map((length) => sequence.slotAt(length)),
      ]),
    };
  }
}
