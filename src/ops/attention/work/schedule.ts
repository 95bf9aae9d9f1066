/**
 * The schedule: from a problem, its work and its kernels to the words that
 * workgroups read (`kernels/fragments/schedule.ts` has the records). Pure, no
 * GPU.
 *
 * @module
 */

import {
  BLANK_RUN,
  KEY_RUN,
  MERGE_TILE,
  QUERY,
  RUN_LIST,
  SELECTED_TILE,
  SEQUENCE,
  STATE,
} from "../../../../kernels/fragments/schedule.ts";
import { UnsupportedError } from "../../../core/errors.ts";
import { type AttentionProblem, vecsOf } from "../problem.ts";
import {
  type CostModel,
  type PartitionCost,
  partitionCost,
  totalCost,
} from "./cost.ts";
import type { KeyRange, Work } from "./key_ranges.ts";
import {
  type HeadRuns,
  type KeyRun,
  KeyRuns,
  type RunSource,
  stepsOf,
  type TileCounts,
} from "./key_runs.ts";
import { type LoopCounts, withinLoopLimit } from "./loop_limit.ts";
import { Merges, type PartialRows, type StateRows } from "./merges.ts";
import {
  type Partition,
  type PartitionedWork,
  partitionWork,
  type RowTile,
  type WorkTile,
} from "./partition.ts";
import { SelectedLists, type Selection } from "./selection.ts";
import { Words } from "./words.ts";

/** One kernel's part of the batch. */
export interface KernelWork {
  /** The key ranges that it takes. */
  readonly ranges: readonly KeyRange[];
  /** Packed query rows of a row tile. */
  readonly rows: number;
  /** Its step, in which masks are classified, and what its loops take. */
  readonly loops: LoopCounts;
  /** Ways of partitioning its work; with several, the cheapest is taken. */
  readonly partitions: readonly Partition[];
  /** By what they are compared. */
  readonly model: CostModel;
  /** Iterations of its loops that an invocation may take. */
  readonly maxLoopIterations: number;
}

/** What the words of one kernel's work mean. */
export interface ScheduledWork {
  /** First word of its work tiles. */
  readonly tilesAt: number;
  /** Its work tiles. */
  readonly tileCount: number;
  /** Stream-K: first word of the workers, and how many they are. */
  readonly workers: { readonly at: number; readonly count: number } | undefined;
  /** Whether it writes partial states, so that a merge follows. */
  readonly partial: boolean;
  /** How its work is partitioned. */
  readonly partition: string;
  /** What the partitions were expected to cost, where there was a choice. */
  readonly costs: readonly PartitionCost[];
  /** The row tiles that were partitioned. */
  readonly rowTiles: readonly RowTile[];
  /** What became of them, in the order of the words. */
  readonly workTiles: readonly WorkTile[];
}

/** The words of one merge. */
export interface ScheduledMerge {
  /** First word of its tiles. */
  readonly tilesAt: number;
  /** Its tiles. */
  readonly tileCount: number;
  /** Whether each tile has a kv head of its own, or is for all. */
  readonly ownHeads: boolean;
}

/** A written schedule. */
export interface Schedule {
  /** What goes into the `schedule` binding. */
  readonly words: Uint32Array;
  /** First word of the sequence records. */
  readonly sequencesAt: number;
  /** First word of a block table that the device writes, where one does. */
  readonly deviceTableAt: number | undefined;
  /** One entry a kernel, in order. */
  readonly kernels: readonly ScheduledWork[];
  /** The merges that follow, if any. */
  readonly merges: readonly ScheduledMerge[];
  /** Rows of partial states. */
  readonly stateRows: number;
  /** Whether runs differ by kv head. */
  readonly runsPerHead: boolean;
  /** What was skipped. */
  readonly tiles: TileCounts;
  /** What the device writes, where it selects blocks. */
  readonly selection: Selection | undefined;
}

/** What the merge kernel may do. */
export interface MergeLimits {
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** Iterations of its loops that an invocation may take. */
  readonly maxLoopIterations: number;
}

/** What may differ from forward's schedule. */
export interface ScheduleOptions {
  /** Which keys a row tile visits: those that the masks leave it, by default. */
  readonly runs?: RunSource;
  /** Elements of a row's partial state; those of a value row by default. */
  readonly stateElements?: number;
  /** Whether a row's result is a partial state, even if it has but one. */
  readonly partial?: boolean;
  /** Words that the schedule begins with; none by default. */
  readonly before?: Uint32Array;
}

/**
 * Writes the schedule of a problem whose work is divided among kernels.
 *
 * @throws {UnsupportedError} if a row has more states than can be merged
 */
export function buildSchedule(
  problem: AttentionProblem,
  work: Work,
  kernels: readonly KernelWork[],
  limits: MergeLimits = { lanes: 1, maxLoopIterations: Infinity },
  options: ScheduleOptions = {},
): Schedule {
  const writer = new ScheduleWriter(problem, work, limits, options);
  return writer.finish(kernels.map((kernel) => writer.write(kernel)));
}

class ScheduleWriter {
  readonly #problem: AttentionProblem;
  readonly #work: Work;
  readonly #keyRuns: RunSource;
  readonly #lists = new Words();
  readonly #tiles = new Words();
  readonly #written = new Map<string, number>();
  readonly #merges = new Merges();
  readonly #shared: ReadonlySet<KeyRange>;
  readonly #counts = { total: 0, visited: 0, full: 0 };
  readonly #limits: MergeLimits;
  readonly #selected: SelectedLists | undefined;
  readonly #stateElements: number;
  readonly #partial: boolean;
  #stateRows = 0;

  constructor(
    problem: AttentionProblem,
    work: Work,
    limits: MergeLimits,
    { runs, stateElements, partial = false, before }: ScheduleOptions,
  ) {
    this.#problem = problem;
    this.#limits = limits;
    this.#work = work;
    this.#shared = new Set(work.shared);
    this.#keyRuns = runs ?? new KeyRuns(problem);
    this.#stateElements = stateElements ?? problem.valueHeadDim;
    this.#partial = partial;
    if (before) this.#lists.append(before);
    this.#selected = problem.selection &&
      new SelectedLists(problem.selection.grid, problem, {
        along: this.#keyRuns.along,
        runsPerHead: this.#keyRuns.perHead,
        maxLoopIterations: limits.maxLoopIterations,
      });
  }

  write(kernel: KernelWork): ScheduledWork {
    const rowTiles = kernel.ranges.flatMap((range) =>
      this.#rowTiles(kernel, range)
    );
    const { work, text, partial, costs } = this.#partition(kernel, rowTiles);
    const states = partial ? this.#states(kernel, rowTiles, work) : undefined;
    const tilesAt = this.#tiles.length;
    work.tiles.forEach((tile, i) => {
      const { range, row, rows } = rowTiles[tile.rowTile];
      const place = this.#selected?.reserve({
        ...tile,
        record: this.#work.records[range.record],
        row,
        rows,
        step: kernel.loops.step,
      });
      this.#tiles.append(SELECTED_TILE.pack({
        sequence: range.record,
        first_row: row,
        runs_at: this.#writeRuns(tile.runs),
        state_row: states?.[i].at ?? 0,
        state_stride: states?.[i].stride ?? 0,
        kv_head: tile.kvHead ?? 0,
        selected_at: place?.at ?? 0,
        selected_stride: place?.stride ?? 0,
      }));
    });
    return {
      tilesAt,
      tileCount: work.tiles.length,
      workers: work.workers && {
        at: this.#lists.append(work.workers),
        count: work.workers.length - 1,
      },
      partial,
      partition: text,
      costs,
      rowTiles,
      workTiles: work.tiles,
    };
  }

  finish(kernels: readonly ScheduledWork[]): Schedule {
    const { keys } = this.#problem;
    const { records, listed } = this.#work;
    const merges = this.#writeMerges();
    const queries = new Words();
    const listedAt = records.map((record) =>
      listed && record.queries
        ? queries.append(record.queries.flatMap((query) => QUERY.pack(query)))
        : 0
    );
    const lists = this.#lists.view();
    const tiles = this.#tiles.view();
    const tilesAt = lists.length;
    const sequencesAt = tilesAt + tiles.length;
    const queriesAt = sequencesAt + records.length * SEQUENCE.words;
    const tableAt = queriesAt + queries.length;
    const table = keys.kind === "paged" ? keys.blockTable : new Uint32Array(0);
    const onHost = table instanceof Uint32Array;
    const words = new Uint32Array(
      // Tensors are copied in whole vec4s, of which there is one at least.
      tableAt +
        (onHost ? table.length : 4 * Math.ceil(Math.max(1, table.size) / 4)),
    );
    words.set(lists);
    words.set(tiles, tilesAt);
    records.forEach((record, index) => {
      words.set(
        SEQUENCE.pack({
          query_start: record.queryStart,
          query_count: record.queryCount,
          key_start: record.keyStart + (keys.kind === "paged" ? tableAt : 0),
          key_count: record.keyCount,
          query_offset: record.queryOffset,
          batch: record.batch,
          queries_at: queriesAt + listedAt[index],
        }),
        sequencesAt + index * SEQUENCE.words,
      );
    });
    words.set(queries.view(), queriesAt);
    if (onHost) words.set(table, tableAt);
    const moved = <P extends { readonly tilesAt: number }>(part: P): P => ({
      ...part,
      tilesAt: part.tilesAt + tilesAt,
    });
    return {
      words,
      sequencesAt,
      deviceTableAt: onHost ? undefined : tableAt,
      kernels: kernels.map(moved),
      merges: merges.map(moved),
      stateRows: this.#stateRows,
      runsPerHead: this.#keyRuns.perHead,
      tiles: this.#counts,
      selection: this.#selected?.selection,
    };
  }

  /** The row tiles of a key range, with the keys that each visits. */
  #rowTiles({ rows, loops }: KernelWork, range: KeyRange): RowTile[] {
    const { step } = loops;
    const record = this.#work.records[range.record];
    const tiles: RowTile[] = [];
    for (let row = 0; row < range.rows; row += rows) {
      const end = Math.min(row + rows, range.rows);
      const runs = this.#keyRuns.of(record, range, { row, end, step });
      tiles.push({ range, row, rows: end - row, runs });
      this.#count(runs, range, step);
    }
    return tiles;
  }

  #count(runs: HeadRuns, { from, end }: KeyRange, step: number): void {
    for (const list of runs) {
      this.#counts.total += Math.ceil((end - from) / step);
      this.#counts.visited += stepsOf(list.filter(({ blank }) => !blank), step);
      this.#counts.full += stepsOf(list.filter(({ full }) => full), step);
    }
  }

  /** The cheapest partition; of equal ones the first. */
  #partition(kernel: KernelWork, rowTiles: readonly RowTile[]) {
    const { partitions, loops, ranges, model, maxLoopIterations } = kernel;
    const { kvHeads } = this.#problem;
    const { step } = loops;
    const shared = this.#partial ||
      ranges.some((range) =>
        this.#shared.has(range) || range.prefixes.length > 0
      );
    const options = partitions.map((partition) => {
      const whole = partitionWork(rowTiles, partition, { step, kvHeads });
      const work = withinLoopLimit(whole, maxLoopIterations, loops);
      const partial = shared || work.workers !== undefined ||
        work.tiles.length > rowTiles.length;
      const cut = work.tiles.length > whole.tiles.length;
      const text = cut
        ? `${partition.text}, cut for its loops`
        : partition.text;
      return { work, text, partial };
    });
    if (options.length === 1) return { ...options[0], costs: [] };
    const costs = options.map(({ work, text, partial }) =>
      partitionCost(work, { text, step, kvHeads, partial, model })
    );
    const totals = costs.map(totalCost);
    const best = totals.indexOf(Math.min(...totals));
    return { ...options[best], costs };
  }

  /** Gives every work tile its state rows, and notes what is to be merged. */
  #states(
    kernel: KernelWork,
    rowTiles: readonly RowTile[],
    { tiles, workers }: PartitionedWork,
  ): StateRows[] {
    const { kvHeads } = this.#problem;
    const heads = workers ? kvHeads : 1;
    const merged = Array.from(
      { length: rowTiles.length * heads },
      (): StateRows[] => [],
    );
    const states = tiles.map(({ rowTile, kvHead = 0 }) => {
      const { rows } = rowTiles[rowTile];
      const state = { at: this.#stateRows, stride: workers ? 0 : rows };
      this.#stateRows += workers ? rows : rows * kvHeads;
      merged[rowTile * heads + kvHead].push(state);
      return state;
    });
    merged.forEach((own, i) => {
      const { range, row, rows } = rowTiles[Math.floor(i / heads)];
      const kvHead = workers ? i % heads : undefined;
      this.#merges.add(range, kernel.rows, { row, rows, kvHead, states: own });
    });
    return states;
  }

  #writeMerges(): ScheduledMerge[] {
    const all: number[][] = [];
    const own: number[][] = [];
    for (const range of this.#work.own) {
      for (const rows of this.#merges.of(range)) {
        const tiles = rows.kvHead === undefined ? all : own;
        for (
          const chunk of chunksOf(rows, this.#stateElements, this.#limits)
        ) {
          tiles.push(this.#mergeTile(range, chunk));
        }
      }
    }
    return [all, own].map((tiles, i) => {
      const tilesAt = this.#tiles.length;
      for (const tile of tiles) this.#tiles.append(tile);
      return { tilesAt, tileCount: tiles.length, ownHeads: i === 1 };
    }).filter(({ tileCount }) => tileCount > 0);
  }

  #mergeTile({ record }: KeyRange, partial: PartialRows): number[] {
    const { row, rows, kvHead, states } = partial;
    const at = this.#lists.append(
      states.flatMap(({ at: row, stride }) => STATE.pack({ row, stride })),
    );
    return MERGE_TILE.pack({
      sequence: record,
      first_row: row,
      states_at: at,
      state_count: states.length,
      row_count: rows,
      kv_head: kvHead ?? 0,
    });
  }

  /** Writes run lists and their runs; equal ones are shared. */
  #writeRuns(lists: HeadRuns): number {
    const key = lists.map((runs) =>
      runs.map((run) => `${run.first}-${run.end}${kindOf(run)}`).join()
    ).join(";");
    let at = this.#written.get(key);
    if (at === undefined) {
      at = this.#lists.length;
      let next = at + RUN_LIST.words * lists.length;
      for (const runs of lists) {
        this.#lists.append(
          RUN_LIST.pack({ runs_at: next, count: runs.length }),
        );
        next += KEY_RUN.words * runs.length;
      }
      for (const run of lists.flat()) {
        this.#lists.append(
          KEY_RUN.pack({
            first_key: run.first,
            end_key: run.end,
            full: kindOf(run),
          }),
        );
      }
      this.#written.set(key, at);
    }
    return at;
  }
}

/** What a run's `full` is on the device. */
function kindOf({ full, blank }: KeyRun): number {
  if (blank) return BLANK_RUN;
  return full ? 1 : 0;
}

/** Words of state that a merge tile reads: what has many is merged by many. */
const MERGE_WORDS = 2 ** 17;

/** Rows of a merge in chunks, of one row at least. */
function chunksOf(
  partial: PartialRows,
  elements: number,
  { lanes, maxLoopIterations }: MergeLimits,
): PartialRows[] {
  const { row, rows, states } = partial;
  const words = Math.max(1, states.length) * (elements + 4);
  // Each of a lane's vec4s goes along the states twice.
  const vecs = Math.floor((maxLoopIterations - 2) / (2 * states.length + 3));
  const rowVecs = vecsOf(elements);
  if (vecs < Math.ceil(rowVecs / lanes)) {
    throw new UnsupportedError(
      `merge ${states.length} states of a row`,
      `its loops take more iterations than the ${maxLoopIterations} after which this adapter ends them; use fewer splits`,
    );
  }
  const size = Math.max(
    1,
    Math.floor(Math.min(MERGE_WORDS / words, vecs * lanes / rowVecs)),
  );
  if (size >= rows) return [partial];
  const chunks: PartialRows[] = [];
  for (let at = 0; at < rows; at += size) {
    chunks.push({
      ...partial,
      row: row + at,
      rows: Math.min(size, rows - at),
      states: states.map((state) => ({ ...state, at: state.at + at })),
    });
  }
  return chunks;
}
