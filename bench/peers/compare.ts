/**
 * One row of the comparison: who takes part, who is right, who is how fast.
 *
 * @module
 */

import { significant, type Summary } from "../support/statistics.ts";
import { inputsOf, type PeerCase } from "./cases.ts";
import { expect, judge, type Verdict } from "./check.ts";
import type { Contestant, Prepared } from "./contestant.ts";
import { type RoundOptions, timeRounds } from "./rounds.ts";

/** What became of one contestant in one case. */
export type Entry =
  & {
    /** Its name. */
    readonly name: string;
  }
  & (
    | {
      /** It is right, and was timed. */
      readonly state: "timed";
      /** Milliseconds a call. */
      readonly ms: Summary;
      /** Calls of a burst. */
      readonly calls: number;
      /** Its time over Quire's, median over rounds: more than 1 is slower. */
      readonly ratio: number;
      /** Largest absolute error against float64, of each result. */
      readonly errors: readonly number[];
    }
    | {
      /** A result is wrong, so it was not timed. */
      readonly state: "wrong";
      /** Largest absolute error of each result; `null` for a NaN. */
      readonly errors: readonly (number | null)[];
    }
    | {
      /** It cannot take the case, or failed. */
      readonly state: "absent" | "failed";
      /** Why. */
      readonly reason: string;
    }
  );

/** One case. */
export interface Comparison {
  /** The case's name. */
  readonly case: string;
  /** The error up to which each result counts as right. */
  readonly errorBounds: readonly number[];
  /** All contestants, Quire first. */
  readonly entries: readonly Entry[];
  /** The fastest right peer's time over Quire's; `null` without one. */
  readonly bar: { readonly peer: string; readonly ratio: number } | null;
}

interface Ready {
  readonly contestant: Contestant;
  readonly prepared: Prepared;
  readonly verdict: Verdict;
}

/** Checks all contestants on a case, then times those that are right. */
export async function compare(
  peerCase: PeerCase,
  contestants: readonly Contestant[],
  options: RoundOptions,
): Promise<Comparison> {
  const inputs = inputsOf(peerCase);
  const expected = expect(peerCase, inputs);
  const ready: Ready[] = [];
  const others = new Map<string, Entry>();
  try {
    for (const contestant of contestants) {
      const { name } = contestant;
      const reason = contestant.whyNot(peerCase);
      if (reason !== undefined) {
        others.set(name, { name, state: "absent", reason });
        continue;
      }
      try {
        const prepared = await contestant.prepare(peerCase, inputs);
        await prepared.call();
        await prepared.wait();
        const verdict = judge(await prepared.results(), expected);
        ready.push({ contestant, prepared, verdict });
      } catch (error) {
        const message = (error as Error)?.message ?? String(error);
        const [line] = message.split("\n");
        others.set(name, { name, state: "failed", reason: line });
      }
    }
    for (const entry of await timed(ready, options)) {
      others.set(entry.name, entry);
    }
  } finally {
    for (const { prepared } of ready) await prepared.destroy();
  }
  const entries = contestants.map(({ name }) => others.get(name)!);
  return {
    case: peerCase.name,
    errorBounds: expected.map(({ bound }) => significant(bound, 3)),
    entries,
    bar: barOf(entries),
  };
}

async function timed(
  ready: readonly Ready[],
  options: RoundOptions,
): Promise<Entry[]> {
  const right = ready.filter(({ verdict }) => verdict.right);
  const timings = await timeRounds(
    right.map(({ prepared }) => prepared),
    options,
  );
  return ready.map(({ contestant: { name }, verdict }, i): Entry => {
    const errors = verdict.errors.map((error) => significant(error, 3));
    if (!verdict.right) {
      const known = errors.map((error) => Number.isNaN(error) ? null : error);
      return { name, state: "wrong", errors: known };
    }
    const { ms, calls, ratio } = timings[right.indexOf(ready[i])];
    return {
      name,
      state: "timed",
      ms: {
        median: significant(ms.median),
        min: significant(ms.min),
        max: significant(ms.max),
      },
      calls,
      ratio: significant(ratio, 3),
      errors,
    };
  });
}

function barOf([quire, ...peers]: readonly Entry[]): Comparison["bar"] {
  if (quire.state !== "timed") return null;
  const bars = peers.flatMap((entry) =>
    entry.state === "timed" ? [{ peer: entry.name, ratio: entry.ratio }] : []
  );
  return bars.length === 0
    ? null
    : bars.reduce((a, b) => (b.ratio < a.ratio ? b : a));
}
