/**
 * Turns of loops: some devices end every loop of an invocation, silently, after
 * so many turns of all its loops together. Work is cut to stay within.
 *
 * @module
 */

import type { Dealt, Piece } from "./deal.ts";
import { clipRuns, type HeadRuns, type KeyRun } from "./key_runs.ts";

/**
 * Mesa 22.3's llvmpipe ends loops after 65,535 turns, of all loops of an
 * invocation together (probe `long_loops`); 26.1's does not.
 */
export const SOFTWARE_TURNS = 65535;

/** Turns that an invocation may take on a device. */
export function mostTurns(device: { readonly software: boolean }): number {
  return device.software ? SOFTWARE_TURNS : Infinity;
}

/** What a kernel's invocation takes, and may take. */
export interface TurnBudget {
  /** Turns that it may take in all. */
  readonly most: number;
  /** Turns for an item, besides its steps. */
  readonly item: number;
  /** Turns for a step whose mask is skipped. */
  readonly fullStep: number;
  /** Turns for any other step. */
  readonly maskedStep: number;
}

/** No limit. */
export const ANY_TURNS: TurnBudget = {
  most: Infinity,
  item: 0,
  fullStep: 0,
  maskedStep: 0,
};

/**
 * Dealt work with pieces cut, and workers added, so that no workgroup takes
 * more turns than it may. Cuts depend on the piece alone.
 */
export function withinTurns(
  { pieces, stretches }: Dealt,
  budget: TurnBudget,
  step: number,
): Dealt {
  if (budget.most === Infinity) return { pieces, stretches };
  const cut = (piece: Piece) =>
    cutRuns(piece.runs, budget, step).map((runs) => ({ ...piece, runs }));
  if (!stretches) return { pieces: pieces.flatMap(cut), stretches };
  const all: Piece[] = [];
  const bounds = [0];
  for (let worker = 0; worker + 1 < stretches.length; worker++) {
    let turns = 0;
    const own = pieces.slice(stretches[worker], stretches[worker + 1]);
    for (const piece of own.flatMap(cut)) {
      const more = turnsOf(piece.runs, budget, step);
      if (turns > 0 && turns + more > budget.most) {
        bounds.push(all.length);
        turns = 0;
      }
      turns += more;
      all.push(piece);
    }
    bounds.push(all.length);
  }
  return { pieces: all, stretches: bounds };
}

/** Turns that an item takes at most, for the kv head with most of them. */
function turnsOf(
  lists: HeadRuns,
  { item, fullStep, maskedStep }: TurnBudget,
  step: number,
): number {
  const ofRuns = (runs: readonly KeyRun[]) =>
    runs.reduce((sum, { first, end, full }) => {
      const steps = (end - first) / step;
      return sum + 1 + steps * (full ? fullStep : maskedStep);
    }, item);
  return Math.max(...lists.map(ofRuns));
}

/** Halves of the keys, and halves of those, until each is within the budget. */
function cutRuns(
  lists: HeadRuns,
  budget: TurnBudget,
  step: number,
): HeadRuns[] {
  const seen = lists.filter((runs) => runs.length > 0);
  const first = Math.min(...seen.map((runs) => runs[0].first));
  const end = Math.max(...seen.map((runs) => runs[runs.length - 1].end));
  const steps = (end - first) / step;
  if (
    seen.length === 0 || steps <= 1 ||
    turnsOf(lists, budget, step) <= budget.most
  ) return [lists];
  const middle = first + Math.floor(steps / 2) * step;
  return [[first, middle], [middle, end]]
    .map(([from, to]) => lists.map((list) => clipRuns(list, from, to)))
    .filter((half) => half.some((list) => list.length > 0))
    .flatMap((half) => cutRuns(half, budget, step));
}
