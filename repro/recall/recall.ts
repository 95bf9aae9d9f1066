/**
 * Recall against the size of a state: BASED's trade-off, and what JRT gains by
 * reading twice, solved without training.
 *
 * @module
 */

import { colours, doublings, fractions, PANEL, panels } from "../axes.ts";
import {
  type Chart,
  type Experiment,
  percent,
  type Report,
} from "../experiment.ts";
import { decide, setPair, slotsNeeded } from "./disjointness.ts";
import { hashedShare, recalled, recallShare, recallTask } from "./mqar.ts";

const PAIRS = 64;
const SLOTS: readonly number[] = [4, 8, 16, 32, 64, 128];
const WINDOWS: readonly number[] = [0, 32, 64, 128];
const VALUE_DIM = 64;
const KEYS_PER_SLOT = 64;
const SETS = { former: 24, latter: 9, universe: 64 };
const TRIALS = 200;

/** One size of the state. */
export interface RecallRow {
  /** D. */
  readonly slots: number;
  /** Bytes of the state, float32, with values of 64. */
  readonly bytes: number;
  /** Answered, by window. */
  readonly shares: readonly number[];
  /** The same by doing it, for one shift of the queries. */
  readonly counted: readonly number[];
  /** Answered where keys' slots are any, without a window. */
  readonly hashed: number;
}

/** One size of the store. */
export interface StoreRow {
  /** Elements. */
  readonly slots: number;
  /** Pairs of sets that are decided in one reading, of all. */
  readonly once: number;
  /** In two. */
  readonly twice: number;
}

/** What is counted. */
export interface RecallData {
  /** By state. */
  readonly rows: readonly RecallRow[];
  /** By store. */
  readonly stores: readonly StoreRow[];
}

function rowOf(slots: number): RecallRow {
  const counted = WINDOWS.map((window) => {
    let answered = 0;
    for (let shift = 0; shift < PAIRS; shift++) {
      const task = recallTask(PAIRS, { slots }, shift);
      answered += recalled(task, { slots, window }).filter(Boolean).length;
    }
    return answered / PAIRS ** 2;
  });
  return {
    slots,
    bytes: 4 * slots * VALUE_DIM,
    shares: WINDOWS.map((window) => recallShare(PAIRS, { slots, window })),
    counted,
    hashed: hashedShare(PAIRS, slots, KEYS_PER_SLOT),
  };
}

function storeOf(slots: number): StoreRow {
  const decided = (readings: number) =>
    Array.from(
      { length: TRIALS },
      (_, seed) => decide(setPair({ ...SETS, seed }), { slots, readings }),
    )
      .filter((verdict) => verdict !== "unknown").length / TRIALS;
  return { slots, once: decided(1), twice: decided(2) };
}

/** Counts. */
export function countRecall(
  slots: readonly number[] = SLOTS,
): RecallData {
  return {
    rows: slots.map(rowOf),
    stores: [4, 8, 9, 16, 23, 24, 32].map(storeOf),
  };
}

const windowName = (window: number) =>
  window === 0 ? "no window" : `window of ${window}`;

function chartOf({ rows }: RecallData): Chart {
  return panels({
    title: "Answers by the size of the state",
    subtitle: `of ${PAIRS} pairs, keys orthogonal`,
    marks: {
      ...PANEL,
      data: {
        values: rows.flatMap(({ slots, shares }) =>
          shares.map((share, i) => ({
            slots,
            window: windowName(WINDOWS[i]),
            share,
          }))
        ),
      },
      mark: { type: "line", point: true },
      encoding: {
        x: doublings("slots", "features of a key", SLOTS),
        y: fractions("share"),
        color: colours("window", WINDOWS.map(windowName)),
      },
    },
  });
}

function reportOf(data: RecallData): Report {
  const { rows, stores } = data;
  const rising = (values: readonly number[]) =>
    values.every((value, i) => i === 0 || value >= values[i - 1]);
  const [former, latter] = [1, 2].map((n) => slotsNeeded(SETS, n));
  return {
    title: "Recall against state size",
    paper: "BASED: a larger feature dimension or window recalls more (MQAR); " +
      "JRT: a stream decides set disjointness in one reading with a store of " +
      "the first set's size, in two with that of the smaller one",
    setting: [
      `${PAIRS} pairs of a key and a value, then each key once more (MQAR). ` +
      "Keys are unit vectors of D features, again from the first one where " +
      "there are more; values are orthogonal; the answer is the value that " +
      "stands out most. Nothing is trained: this is what a state of that size " +
      "can hold, not what a model learns.",
      `Sets of ${SETS.former} and ${SETS.latter} elements, ${TRIALS} pairs of them.`,
    ],
    tables: [{
      title: "Answered, by features D and window",
      columns: [
        "D",
        `KiB, values of ${VALUE_DIM}`,
        ...WINDOWS.map(windowName),
        "keys anywhere, no window",
      ],
      rows: rows.map(({ slots, bytes, shares, hashed }) => [
        slots,
        bytes / 1024,
        ...shares.map(percent),
        percent(hashed),
      ]),
    }, {
      title: "Sets decided, by elements of the store",
      columns: ["store", "read once", "read twice"],
      rows: stores.map(({ slots, once, twice }) => [
        slots,
        percent(once),
        percent(twice),
      ]),
    }],
    checks: [
      {
        claim: "what is answered by doing it is what the formula says",
        holds: rows.every(({ shares, counted }) =>
          shares.every((share, i) => Math.abs(share - counted[i]) < 1e-12)
        ),
      },
      {
        claim: "without a window min(D, P) / P are answered",
        holds: rows.every(({ slots, shares }) =>
          shares[0] === Math.min(slots, PAIRS) / PAIRS
        ),
      },
      {
        claim: "more features never answer less, nor does a wider window",
        holds: rows.every(({ shares }) => rising(shares)) &&
          WINDOWS.every((_, i) => rising(rows.map(({ shares }) => shares[i]))),
      },
      {
        claim: "keys that fall anywhere answer less than orthogonal ones",
        holds: rows.every(({ shares, hashed }) => hashed <= shares[0]),
      },
      {
        claim:
          `read once, sets are decided with ${former} slots or more; read ` +
          `twice with ${latter}`,
        holds: stores.every(({ slots, once, twice }) =>
          once === Number(slots >= former) &&
          twice === Number(slots >= latter)
        ),
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** BASED's and JRT's recall. */
export const recall: Experiment = { count: () => reportOf(countRecall()) };
