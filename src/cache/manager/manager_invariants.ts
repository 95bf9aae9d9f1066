/**
 * What must hold in a cache manager at any time, as checks over plain state.
 *
 * @module
 */

import { NULL_BLOCK } from "../block/block_pool.ts";
import type { SequenceState } from "./cache_sequence.ts";
import { invariant } from "../../core/invariant.ts";

/** As much of a pool as is asked. */
interface Counts {
  readonly totalBlocks: number;
  refCount(id: number): number;
}

/** The state of a cache manager. */
export interface ManagerState {
  /** The device's blocks. */
  readonly pool: Counts & { readonly blockSize: number };
  /** The host's. */
  readonly host: Counts;
  /** Every sequence. */
  readonly states: readonly SequenceState[];
  /** The pins, which hold blocks as well. */
  readonly pins: readonly { readonly blocks: readonly number[] }[];
  /** Whether there is an index. */
  readonly indexed: boolean;
  /** The slots of states, on the device and the host, and the pins of them. */
  readonly recurrent?: {
    readonly pool: Counts;
    readonly host: Counts;
    readonly pins: ManagerState["pins"];
  };
}

function verifyCounts(
  name: string,
  pool: Counts,
  held: Iterable<readonly number[]>,
): void {
  const holders = new Map<number, number>();
  for (const ids of held) {
    for (const id of ids) holders.set(id, (holders.get(id) ?? 0) + 1);
  }
  for (let id = 1; id <= pool.totalBlocks; id++) {
    invariant(
      pool.refCount(id) === (holders.get(id) ?? 0),
      `every ${name} is held as often as it is named`,
      `${id} has ${pool.refCount(id)} holders, is named ${
        holders.get(id) ?? 0
      } times`,
    );
  }
}

/**
 * Checks that each block is held exactly by the tables and pins that name it,
 * each host slot by the sequences that do; that tables are as long as their
 * sequences, and as far committed; and that what is committed is in the index.
 * The same of slots and states.
 *
 * @throws {Error} naming the violated invariant.
 */
export function verifyManager(state: ManagerState): void {
  const { pool, states, pins, indexed } = state;
  verifyCounts("block", pool, [
    ...states.flatMap(({ tables }) => tables.map(({ blocks }) => blocks)),
    ...pins.map(({ blocks }) => blocks),
  ]);
  verifyCounts(
    "host slot",
    state.host,
    states.flatMap(({ host }) =>
      host.map((ids) => ids.filter((id) => id !== NULL_BLOCK))
    ),
  );
  if (state.recurrent !== undefined) verifyStates(state, state.recurrent);
  for (const sequence of states) {
    const { tokens, committed, status } = sequence;
    const tables = [...sequence.tables, ...sequence.states];
    const cursors = [...sequence.cursors, ...sequence.stateCursors];
    const host = [...sequence.host, ...sequence.hostStates];
    const onDevice = status !== "preempted" && status !== "swapped";
    const onHost = status.startsWith("swap");
    invariant(
      onDevice === tables.length > 0,
      "a sequence has tables while it is on the device",
      `${status} with ${tables.length} tables`,
    );
    invariant(
      onHost === host.length > 0,
      "a sequence has host slots while it is swapped",
      `${status} with ${host.length} groups of slots`,
    );
    for (const table of tables) {
      invariant(
        table.length === tokens.length,
        "tables are as long as their sequence",
        `${table.length} and ${tokens.length}`,
      );
      invariant(
        table.committed === committed,
        "tables are committed as far as their sequence",
        `${table.committed} and ${committed}`,
      );
    }
    for (const table of sequence.tables) {
      invariant(
        table.blocks.slice(table.dropped / pool.blockSize)
          .every((id) => id !== NULL_BLOCK),
        "only dropped blocks are null",
        `blocks ${table.blocks}, ${table.dropped} tokens dropped`,
      );
    }
    invariant(
      committed <= tokens.length,
      "no more is committed than there is",
      `${committed} of ${tokens.length}`,
    );
    for (const cursor of cursors) {
      invariant(
        (indexed || state.recurrent !== undefined) &&
          cursor.blocks === Math.floor(committed / pool.blockSize),
        "every committed full block is in the index",
        `${cursor.blocks} blocks of ${committed} tokens`,
      );
    }
  }
}

function verifyStates(
  { states }: ManagerState,
  { pool, host, pins }: NonNullable<ManagerState["recurrent"]>,
): void {
  verifyCounts("state", pool, [
    ...states.flatMap((sequence) => sequence.states.map(({ slots }) => slots)),
    ...pins.map(({ blocks }) => blocks),
  ]);
  verifyCounts(
    "host slot of a state",
    host,
    states.map(({ hostStates }) =>
      hostStates.filter((slot) => slot !== NULL_BLOCK)
    ),
  );
  for (const sequence of states) {
    for (const held of sequence.states) held.verify();
  }
}
