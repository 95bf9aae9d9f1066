/**
 * The block tables of a cache manager's sequences, and their places in the
 * prefix index.
 *
 * @module
 */

import { OutOfBlocksError } from "../../core/errors.ts";
import { type BlockPool, NULL_BLOCK } from "../block/block_pool.ts";
import { BlockTable } from "../block/block_table.ts";
import type { SequenceState } from "./cache_sequence.ts";
import {
  firstSeen,
  type GroupMatch,
  type LayerGroup,
  matchGroups,
} from "./group_match.ts";
import type { Admission, SequenceReservation } from "./manager_types.ts";
import type { PrefixDomain } from "../prefix/prefix_hash.ts";
import type { PrefixIndex } from "../prefix/prefix_index.ts";
import type { SequenceStates } from "./sequence_states.ts";
import type { StatePart, StateTruncateOptions } from "../state/state_types.ts";

/** What the tables are over. */
export interface TablesOptions {
  /** The blocks. */
  readonly pool: BlockPool;
  /** The pool's index, if it has one. */
  readonly index?: PrefixIndex;
  /** Groups of layers, one block table each. */
  readonly groups: readonly LayerGroup[];
  /** The states of other groups. */
  readonly states: SequenceStates;
}

/** What a reservation is given, all of it taken before. */
export interface TakenRoom {
  /** Blocks for each table. */
  readonly blocks: readonly (readonly number[])[];
  /** What each state goes on over. */
  readonly states: readonly (readonly StatePart[])[];
}

/**
 * Changes what sequences hold, once all is checked that can be wrong with it.
 */
export class SequenceTables {
  readonly #pool: BlockPool;
  readonly #index: PrefixIndex | undefined;
  readonly #groups: readonly LayerGroup[];
  readonly #states: SequenceStates;

  /** Begins with no sequence. */
  constructor({ pool, index, groups, states }: TablesOptions) {
    this.#pool = pool;
    this.#index = index;
    this.#groups = groups;
    this.#states = states;
  }

  /** What is cached of the start of `tokens`. */
  match(tokens: readonly number[], domain: PrefixDomain): GroupMatch {
    const sources = {
      index: this.#index,
      groups: this.#groups,
      walks: this.#states.walk(tokens, domain),
      blockSize: this.#pool.blockSize,
    };
    return matchGroups(sources, { tokens, domain });
  }

  /**
   * Holds the cached start of `tokens` for a state without blocks. A partial
   * block is only copied if there is a block for it.
   */
  begin(
    state: SequenceState,
    tokens: readonly number[],
  ): Omit<Admission, "sequence"> {
    const match = this.match(tokens, state.domain);
    const { fresh, rows } = this.#take(match);
    const { blockSize } = this.#pool;
    const cached = match.depth * blockSize + rows;
    const copies = fresh.map((destination, group) => ({
      source: match.sources[group],
      destination,
      rows,
      group,
    }));
    state.tables = match.blocks.map((blocks, i) =>
      BlockTable.adopt(
        this.#pool,
        [...blocks, ...fresh.slice(i, i + 1)],
        { length: cached },
      )
    );
    this.#states.begin(state, match.slots, {
      length: tokens.length,
      cached,
      shared: match.shared * blockSize,
    });
    state.tokens = tokens.slice(0, cached);
    state.committed = cached;
    state.status = "running";
    this.enter(state);
    this.dropUnseen(state);
    return { cached, pending: tokens.slice(cached), copies };
  }

  /** Gives tokens their slots in every table, each with blocks of its own. */
  reserve(
    state: SequenceState,
    tokens: readonly number[],
    { blocks, states }: TakenRoom,
  ): SequenceReservation {
    const reservations = state.tables.map((table, i) =>
      table.reserve(tokens.length, { blocks: blocks[i] })
    );
    for (const token of tokens) state.tokens.push(token);
    return {
      slots: reservations.map(({ slots }) => slots),
      copies: reservations.flatMap(({ copies }, group) =>
        copies.map((copy) => ({ ...copy, group }))
      ),
      ...(this.#states.count > 0 && { states }),
    };
  }

  /** Notes that tokens are written up to `length`. */
  commit(state: SequenceState, length: number): void {
    state.committed = length;
    for (const table of state.tables) table.commit(length);
    this.store(state);
    for (const sequence of state.states) sequence.commit(length);
    this.dropUnseen(state);
  }

  /** Forgets tokens from `length` on, once that is checked. */
  truncate(
    state: SequenceState,
    length: number,
    options: StateTruncateOptions,
  ): void {
    for (const table of state.tables) table.truncate(length);
    for (const sequence of state.states) sequence.truncate(length, options);
    state.tokens.length = length;
  }

  /** Opens a state's places in the index, and notes what it has committed. */
  enter(state: SequenceState): void {
    this.#states.enter(state);
    const index = this.#index;
    if (index === undefined) return;
    state.cursors = this.#groups.map((_, group) =>
      index.cursor({ ...state.domain, group })
    );
    this.store(state);
  }

  /** Notes what is committed that the indexes do not know yet. */
  store(state: SequenceState): void {
    this.#states.store(state);
    const { cursors, tables, tokens, committed } = state;
    const { blockSize } = this.#pool;
    cursors.forEach((cursor, i) => {
      while ((cursor.blocks + 1) * blockSize <= committed) {
        const start = cursor.blocks * blockSize;
        const block = tokens.slice(start, start + blockSize);
        cursor.advance(block, tables[i].blockAt(start));
      }
    });
  }

  /** Gives back the blocks that no token to come sees. */
  dropUnseen({ tables, committed }: SequenceState): void {
    tables.forEach((table, i) =>
      table.dropBefore(firstSeen(this.#groups[i], committed))
    );
  }

  /** Makes a state that goes on from the tokens of another. */
  fork(from: SequenceState): SequenceState {
    return {
      ...from,
      tokens: [...from.tokens],
      tables: from.tables.map((table) => table.fork()),
      cursors: from.cursors.map((cursor) => cursor.fork()),
      states: from.states.map((sequence) => sequence.fork()),
      stateCursors: from.stateCursors.map((cursor) => cursor.fork()),
    };
  }

  /** Gives back all that a state has on the device and in the index. */
  drop(state: SequenceState): void {
    const { tables, states, cursors, stateCursors } = state;
    for (const held of [...tables, ...states]) held.free();
    for (const cursor of [...cursors, ...stateCursors]) cursor.close();
    state.tables = [];
    state.states = [];
    state.cursors = [];
    state.stateCursors = [];
  }

  /** Holds what was matched, with a fresh block for each partial one. */
  #take(match: GroupMatch): { fresh: number[]; rows: number } {
    const blocks = match.blocks.flat().filter((id) => id !== NULL_BLOCK);
    const { sources, rows } = match;
    try {
      // The sources are held, lest one be handed out as its own destination.
      const reuse = [...blocks, ...sources];
      const fresh = this.#pool.allocate(sources.length, { reuse });
      for (const id of sources) this.#pool.release(id);
      return { fresh, rows };
    } catch (error) {
      if (!(error instanceof OutOfBlocksError)) throw error;
      this.#pool.allocate(0, { reuse: blocks });
      return { fresh: [], rows: 0 };
    }
  }
}
