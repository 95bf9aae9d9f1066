// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * Passes that make scores once: the first, with lanes along keys, makes dV and
 * stores gradients of scores; two products make dK and dQ of them. Five
 * products, in rounds of some keys of each sequence.
 *
 * @module
 */

import {
  keyValueGradientKernel,
  tileKeys as keysOf,
} from "../../../../kernels/attention/backward/key_value_gradient.ts";
import { STRETCH } from "../../../../kernels/attention/backward/score_gradients.ts";
import {
  keyProductKernel,
  productRows,
  queryProductKernel,
} from "../../../../kernels/attention/backward/score_product.ts";
import { WORK_TILE } from "../../../../kernels/fragments/schedule.ts";
import type { Dispatch } from "../../../gpu/mod.ts";
import { tableCopies } from "../../attention/parts.ts";
import { packedRows } from "../../attention/problem.ts";
import { tensorElements } from "../../attention/rows.ts";
import type { KeyRange } from "../../attention/work/key_ranges.ts";
import {
  buildSchedule,
  type KernelWork,
} from "../../attention/work/schedule.ts";
import { RowRuns } from "../row_runs.ts";
import { storedTiles } from "../tiles.ts";
import { storedMoved } from "../traffic.ts";
import { keySpans, keyWork } from "./key_work.ts";
import {
  bindsTooMuch,
  candidateOf,
  NO_MODEL,
  partitionOf,
  type PassContext,
  passDispatch,
  type Passes,
} from "./pass.ts";
import { type Round, roundsOf } from "./rounds.ts";
import { BlankedRuns, WrittenRuns } from "./stored_runs.ts";

/** dQ's work of one round: what begins, goes on or ends alike. */
interface RowsOfRound {
  readonly ranges: readonly KeyRange[];
  readonly resumes: boolean;
  readonly partial: boolean;
}

/**
 * The passes, or why they are not for this problem.
 *
 * @throws {UnsupportedError} if no tile fits the device
 */
export function storedPasses(context: PassContext): Passes | string {
  const { formats: places } = context;
  const { problem, spec, device, tiles, splits, before } = context;
  const { kvHeads, sequences } = problem;
  if (splits > 1) return "its loops are not split";
  if (problem.selection) return "the device selects its blocks";
  const work = keyWork(problem);
  const most = (lengths: number[]) => Math.max(0, ...lengths);
  const rowsOf = (record: number) => packedRows(problem, sequences[record]);
  const sizes = storedTiles(
    candidateOf(problem, most(sequences.map((_, i) => rowsOf(i)))),
    candidateOf(problem, most(work.own.map(({ rows }) => rows))),
    { tiles, device },
  );
  if (typeof sizes === "string") return sizes;
  const { value, key, query, loops } = sizes;
  const tileKeys = keysOf(value);
  const rows = productRows(query);
  const roomOf = (record: number) => Math.ceil(rowsOf(record) / rows) * rows;
  const rounds = roundsOf(work.own, {
    tileKeys,
    kvHeads,
    rowsOf: roomOf,
    keys: tiles.storedKeys,
    bytes: STORED_BYTES,
  });
  const bytes = most(rounds.map((round) => round.bytes));
  if (bytes > STORED_BYTES) {
    return `gradients of the scores of ${tileKeys} keys take more than ${STORED_BYTES} bytes`;
  }
  if (mostStretches(rounds) > MOST_STRETCHES) {
    return `a sequence's keys take more than ${MOST_STRETCHES} rounds`;
  }
  const { maxLoopIterations } = device;
  const limits = { lanes: tiles.lanes, maxLoopIterations };
  const shared = {
    partitions: [partitionOf(1)],
    model: NO_MODEL,
    maxLoopIterations,
  };
  const starts = keySpans(problem);
  const stretches = rounds.map((round) =>
    stretchWords(round, (record) => roomOf(record) / 4)
  );
  const words = stretches.flat();
  const keySchedule = buildSchedule(
    problem,
    work,
    [{ ...shared, ranges: work.own, rows: tileKeys, loops: loops.value }],
    limits,
    {
      runs: new BlankedRuns(new RowRuns(problem), rows),
      before: Uint32Array.from([...before, ...starts, ...words]),
    },
  );
  const [written] = keySchedule.kernels;
  const ofRounds = Array.from(
    { length: Math.max(1, rounds.length) },
    (_, i) =>
      rowsOfRound(context, work.own, {
        round: rounds[i],
        tileKeys,
        begins: i === 0,
      }),
  );
  const flat = ofRounds.flat();
  const querySchedule = buildSchedule(
    problem,
    { ...work, own: flat.flatMap(({ ranges }) => ranges) },
    flat.map(({ ranges }): KernelWork => ({
      ...shared,
      ranges,
      rows,
      loops: loops.query,
    })),
    limits,
    {
      runs: new WrittenRuns(written.rowTiles, {
        keys: tileKeys,
        perHead: keySchedule.runsPerHead,
        kvHeads,
      }),
      before: Uint32Array.from([...before, ...words]),
    },
  );
  if ([written, ...querySchedule.kernels].some(({ partial }) => partial)) {
    return "its loops would be cut";
  }
  const sumBytes = flat.some(({ partial }) => partial)
    ? 16 * tensorElements(problem).lse * query.headVecs
    : 0;
  const { maxStorageBufferBindingSize: room = BINDING_BYTES } = device.limits;
  if (sumBytes > room) {
    return `sums between rounds take more than ${room} bytes`;
  }
  const formats = {
    keyGradientFormat: places.key,
    valueGradientFormat: places.value,
  };
  const aliases = { score_gradients: "score_gradients" };
  const keyPlace = {
    schedule: keySchedule,
    tile: { rows: value.rowsPerStep, keys: tileKeys },
    aliases: { ...aliases, schedule: "key_schedule" },
  };
  const queryPlace = {
    schedule: querySchedule,
    tile: { rows, keys: query.step },
    aliases: {
      ...aliases,
      schedule: "query_schedule",
      sums: "query_sums",
    },
  };
  const keySources = [
    keyValueGradientKernel({
      ...spec,
      ...formats,
      partial: false,
      storesScores: true,
      tile: value,
    }),
    keyProductKernel({ ...spec, ...formats, tile: key, tileKeys }),
  ];
  if (keySources.some((source) => bindsTooMuch(source, context.device))) {
    return "it binds more buffers than the device has";
  }
  const dispatches: Dispatch[] = [];
  let [kernel, stretchAt] = [0, 0];
  ofRounds.forEach((ownRows, i) => {
    const round = rounds[i];
    const first_sequence = round?.stretches[0].record ?? 0;
    const stretchesAt = (from: number) => ({
      first_sequence,
      stretches_at: from + stretchAt,
    });
    for (const source of round ? keySources : []) {
      dispatches.push(passDispatch(context, keyPlace, {
        source,
        tilesAt: written.tilesAt + round.first * WORK_TILE.words,
        tileCount: round.count,
        uniforms: stretchesAt(before.length + starts.length),
      }));
    }
    for (const { resumes, partial } of ownRows) {
      const { tilesAt, tileCount } = querySchedule.kernels[kernel++];
      dispatches.push(passDispatch(context, queryPlace, {
        source: queryProductKernel({
          ...spec,
          queryGradientFormat: places.query,
          tile: query,
          tileKeys,
          resumes,
          partial,
        }),
        tilesAt,
        tileCount,
        uniforms: stretchesAt(before.length),
      }));
    }
    stretchAt += stretches[i]?.length ?? 0;
  });
  return {
    dispatches,
    words: {
      key_schedule: keySchedule.words,
      query_schedule: querySchedule.words,
    },
    scratch: {
      score_gradients: Math.max(16, bytes),
      ...(sumBytes > 0 && { query_sums: sumBytes }),
    },
    copies: [
      ...tableCopies(keySchedule, "key_schedule"),
      ...tableCopies(querySchedule, "query_schedule"),
    ],
    kernels: {
      query: {
        tile: queryPlace.tile,
        splits: written.partition,
        tileCounts: querySchedule.tiles,
      },
      keyValue: {
        tile: keyPlace.tile,
        splits: written.partition,
        tileCounts: keySchedule.tiles,
      },
    },
    rounds: rounds.length,
    moved: () => {
      const rowsThat = (kind: "resumes" | "partial") =>
        flat.filter((one) => one[kind])
          .flatMap(({ ranges }) => ranges)
          .reduce((sum, own) => sum + kvHeads * own.rows, 0);
      return storedMoved(problem, {
        query: querySchedule.kernels.map((work) => ({
          work,
          step: query.step,
        })),
        key: { work: written, step: value.rowsPerStep },
        tile: { rows, keys: tileKeys },
        states: [rowsThat("resumes"), rowsThat("partial")],
      });
    },
  };
}

/** Bytes of a binding that WebGPU promises. */
const BINDING_BYTES = 2 ** 27;

/** Bytes of gradients of scores that are stored at a time, at most. */
const STORED_BYTES = 2 ** 25;

/**
 * Rounds of a sequence at most: each has a schedule of all of its row tiles,
 * which so is linear, too.
 */
const MOST_STRETCHES = 128;

/** Rounds of the sequence that has most of them. */
function mostStretches(rounds: readonly Round[]): number {
  const counts = new Map<number, number>();
  for (const { record } of rounds.flatMap(({ stretches }) => stretches)) {
    counts.set(record, (counts.get(record) ?? 0) + 1);
  }
  return Math.max(0, ...counts.values());
}

/** A record for each sequence from a round's first to its last. */
function stretchWords(
  { stretches }: Round,
  vecsOf: (record: number) => number,
): number[] {
  const words: number[] = [];
  const from = stretches[0].record;
  for (const { record, start, first, tiles } of stretches) {
    words.length = (record - from) * STRETCH.words;
    words.push(...STRETCH.pack({
      start,
      first_key: first,
      tile_count: tiles,
      row_vecs: vecsOf(record),
    }));
  }
  return Array.from(words, (word) => word ?? 0);
}

/**
 * dQ's rows of a round, by whether they go on and whether they end. Rows of
 * sequences without keys are those of no round, and of the one that begins.
 */
function rowsOfRound(
  { problem }: PassContext,
  own: readonly KeyRange[],
  { round, tileKeys, begins }: {
    readonly round: Round | undefined;
    readonly tileKeys: number;
    readonly begins: boolean;
  },
): RowsOfRound[] {
  const { sequences } = problem;
  const tokens = new Map(own.map(({ record, rows }) => [record, rows]));
  const seen = (round?.stretches ?? []).map(({ record, first, tiles }) => {
    const next = first + tiles * tileKeys;
    return {
      record,
      from: first,
      end: Math.max(first, Math.min(next, sequences[record].keyCount)),
      resumes: first > 0,
      partial: next < tokens.get(record)!,
    };
  });
  const unseen = sequences.flatMap((_, record) =>
    begins && !tokens.has(record)
      ? [{ record, from: 0, end: 0, resumes: false, partial: false }]
      : []
  );
  const all = [...seen, ...unseen].map(({ record, from, end, ...kind }) => ({
    ...kind,
    range: {
      record,
      rows: packedRows(problem, sequences[record]),
      from,
      end,
      prefixes: [],
    },
  })).filter(({ range }) => range.rows > 0);
  return [false, true].flatMap((resumes) =>
    [false, true].map((partial) => ({
      resumes,
      partial,
      ranges: all.filter((one) =>
        one.resumes === resumes && one.partial === partial
      ).map(({ range }) => range),
    }))
  ).filter(({ ranges }) => ranges.length > 0);
}
