/**
 * Interleaved bursts: in every round each contestant runs once, so that what
 * else the machine does hits all alike.
 *
 * @module
 */

import { median, summarize, type Summary } from "../support/statistics.ts";
import type { Prepared } from "./contestant.ts";

/** How long and how often. */
export interface RoundOptions {
  /** Rounds; each gives one time a contestant. */
  readonly rounds: number;
  /**
   * Milliseconds of a burst. All contestants' bursts are about as long, so
   * that the wait at the end is the same part of each.
   */
  readonly burstMs: number;
}

/** What one contestant took. */
export interface Timing {
  /** Milliseconds a call. */
  readonly ms: Summary;
  /** Calls of a burst. */
  readonly calls: number;
  /** The median over rounds of this time / the first contestant's. */
  readonly ratio: number;
}

const MAX_CALLS = 256;

/** Milliseconds a call, of a burst. */
async function burst(prepared: Prepared, calls: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < calls; i++) await prepared.call();
  await prepared.wait();
  return (performance.now() - start) / calls;
}

/** So many calls that a burst takes about `burstMs`. */
async function callsFor(prepared: Prepared, burstMs: number): Promise<number> {
  let calls = 1;
  while (true) {
    const ms = await burst(prepared, calls) * calls;
    const wanted = Math.max(1, Math.round(calls * burstMs / ms));
    // A short burst is mostly its wait, so it says little about a call.
    if (ms >= burstMs / 2 || calls >= MAX_CALLS) {
      return Math.min(MAX_CALLS, wanted);
    }
    calls = Math.min(MAX_CALLS, 4 * calls);
  }
}

/** Times all contestants; ratios are to the first. */
export async function timeRounds(
  contestants: readonly Prepared[],
  { rounds, burstMs }: RoundOptions,
): Promise<Timing[]> {
  const calls: number[] = [];
  for (const each of contestants) calls.push(await callsFor(each, burstMs));
  const times: number[][] = contestants.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (let k = 0; k < contestants.length; k++) {
      // Another one begins each round, so none always follows the same one.
      const c = (k + round) % contestants.length;
      times[c].push(await burst(contestants[c], calls[c]));
    }
  }
  return times.map((own, c) => ({
    ms: summarize(own),
    calls: calls[c],
    ratio: median(own.map((ms, round) => ms / times[0][round])),
  }));
}
