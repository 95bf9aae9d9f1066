/**
 * One step of a beam search over the sequences of a cache manager.
 *
 * @module
 */

import { type BlockPool, NULL_BLOCK } from "../block/block_pool.ts";
import type { BlockTable } from "../block/block_table.ts";
import { blocksForEach } from "../block/reserve_all.ts";
import type { SequenceState } from "./cache_sequence.ts";
import type { SequenceReservation } from "./manager_types.ts";
import type { SequenceSizes } from "./sequence_sizes.ts";
import type { SequenceStates, StatePlan } from "./sequence_states.ts";
import type { SequenceTables } from "./sequence_tables.ts";

/** Checked beams and what becomes of each. */
export interface BeamStep {
  /** The beams, all of them running. */
  readonly states: readonly SequenceState[];
  /** For each beam, which of them it goes on from. */
  readonly parents: readonly number[];
  /** For each beam, the tokens that are added to it. */
  readonly tokens: readonly (readonly number[])[];
}

/** What the beams' sequences lie in. */
export interface BeamSources {
  /** The blocks. */
  readonly pool: BlockPool;
  /** What the sequences hold. */
  readonly tables: SequenceTables;
  /** How many blocks they take. */
  readonly sizes: SequenceSizes;
  /** The states of groups that have one. */
  readonly recurrent: SequenceStates;
}

/**
 * Replaces every beam and adds tokens to it. The first to go on from a beam takes
 * over all that it has, so that a beam that just goes on costs what a
 * reservation does; further ones are forks.
 *
 * @throws {OutOfBlocksError} if all beams together need more blocks, or slots of
 * states, than are free when those that no one goes on from are gone; nothing is
 * changed then.
 */
export function reorderBeams(
  { states, parents, tokens }: BeamStep,
  { pool, tables, sizes, recurrent }: BeamSources,
): SequenceReservation[] {
  const forks: SequenceState[] = [];
  const heirs = new Set<number>();
  const next = parents.map((parent) => {
    if (!heirs.has(parent)) {
      heirs.add(parent);
      return { ...states[parent] };
    }
    forks.push(tables.fork(states[parent]));
    return forks.at(-1)!;
  });
  const ending = states.filter((_, i) => !heirs.has(i));
  const release = ending.flatMap(({ tables }) => tables.flatMap(heldBlocks));
  const needs = beamNeeds({ states: next, tokens, release }, sizes);
  let fresh: number[];
  let plan: StatePlan;
  try {
    plan = recurrent.plan(
      next.map((state, i) => ({ state, count: tokens[i].length })),
      ending.flatMap(({ states }) => states.flatMap(({ slots }) => slots)),
    );
    const count = needs.flat().reduce((sum, n) => sum + n, 0);
    fresh = pool.allocate(count, { release });
  } catch (error) {
    for (const fork of forks) tables.drop(fork);
    throw error;
  }
  for (const ended of ending) {
    for (const held of [...ended.tables, ...ended.states]) held.detach();
    for (const cursor of [...ended.cursors, ...ended.stateCursors]) {
      cursor.close();
    }
  }
  const parts = recurrent.reserve(plan);
  states.forEach((state, i) => Object.assign(state, next[i]));
  return states.map((state, i) =>
    tables.reserve(state, tokens[i], {
      blocks: needs[i].map((n) => fresh.splice(0, n)),
      states: parts[i],
    })
  );
}

/** What a table holds, the last block first. */
function heldBlocks(table: BlockTable): number[] {
  return table.blocks.filter((id) => id !== NULL_BLOCK).toReversed();
}

/** Blocks for each beam and group, as its reservations will ask for them. */
function beamNeeds(
  { states, tokens, release }: {
    states: readonly SequenceState[];
    tokens: readonly (readonly number[])[];
    release: readonly number[];
  },
  sizes: SequenceSizes,
): number[][] {
  const requests = states.map(({ tables }, i) =>
    tables.map((table) => ({ table, count: tokens[i].length }))
  );
  const needs = blocksForEach(requests.flat(), release).values();
  return requests.map((tables) =>
    tables.map(({ table: { length, capacity }, count }) =>
      needs.next().value! + sizes.ahead(length + count, capacity)
    )
  );
}
