/**
 * Room for the run lists that the device writes, where it selects blocks
 * (`kernels/fragments/selection.ts` has what lies in it).
 *
 * @module
 */

import { KEY_RUN, RUN_LIST } from "../../../../kernels/fragments/schedule.ts";
import { bitWords } from "../../../../kernels/fragments/selection.ts";
import { BLOCK_RUN_LANES } from "../../../../kernels/selection/block_runs.ts";
import { UnsupportedError } from "../../../core/errors.ts";
import type { BlockGrid } from "../../../mods/mod.ts";
import type { AttentionProblem } from "../problem.ts";
import type { SequenceRecord } from "./key_ranges.ts";
import { type HeadRuns, type KeyRun, stepsOf } from "./key_runs.ts";

/** What the device writes of a work tile, and where. */
export interface SelectedPlace {
  /** First word of its first list. */
  readonly at: number;
  /** Words from one list to the next. */
  readonly stride: number;
}

/** What the device writes of all work tiles. */
export interface Selection {
  /** Words in all. */
  readonly words: number;
  /** Lists. */
  readonly lists: number;
  /** Whether a work tile for all kv heads has a list for each. */
  readonly perHead: boolean;
}

/** A work tile as its lists depend on it. */
export interface SelectedWork {
  /** Its sequence. */
  readonly record: SequenceRecord;
  /** First packed row. */
  readonly row: number;
  /** Rows. */
  readonly rows: number;
  /** The runs that the CPU found. */
  readonly runs: HeadRuns;
  /** Its kv head, if it has one of its own. */
  readonly kvHead: number | undefined;
  /** Keys of its kernel's step. */
  readonly step: number;
}

/** Query heads of one of a mask's. */
export function maskGroup(grid: BlockGrid, queryHeads: number): number {
  return queryHeads / grid.heads;
}

/** Gives each work tile its room. */
export class SelectedLists {
  readonly #grid: BlockGrid;
  readonly #group: number;
  readonly #kvHeads: number;
  readonly #heads: number;
  readonly #perHead: boolean;
  readonly #maxLoopIterations: number;
  #words = 0;
  #lists = 0;

  /** None yet; `runsPerHead` says whether the CPU's lists differ by kv head. */
  constructor(
    grid: BlockGrid,
    { queryHeads, kvHeads }: AttentionProblem,
    { runsPerHead, maxLoopIterations }: {
      readonly runsPerHead: boolean;
      readonly maxLoopIterations: number;
    },
  ) {
    this.#grid = grid;
    this.#group = queryHeads / kvHeads;
    this.#kvHeads = kvHeads;
    const of = maskGroup(grid, queryHeads);
    this.#heads = Array.from({ length: kvHeads }, (_, kvHead) => {
      const first = kvHead * this.#group;
      const last = first + this.#group - 1;
      return Math.floor(last / of) - Math.floor(first / of) + 1;
    }).reduce((most, heads) => Math.max(most, heads), 1);
    this.#perHead = runsPerHead || grid.heads > 1;
    this.#maxLoopIterations = maxLoopIterations;
  }

  /** What has been given out. */
  get selection(): Selection {
    return {
      words: this.#words,
      lists: this.#lists,
      perHead: this.#perHead,
    };
  }

  /**
   * Room for the lists of a work tile.
   *
   * @throws {UnsupportedError} if the adapter would end the loops that write
   * them
   */
  reserve(work: SelectedWork): SelectedPlace {
    const rows = this.#rowsOf(work) * this.#heads;
    const bits = rows * bitWords(this.#grid.keyBlocks);
    this.#checkLoops(work, rows, bits);
    const most = Math.max(
      ...work.runs.map((runs) => this.#runsOf(runs, work.step)),
    );
    const stride = RUN_LIST.words + bits + KEY_RUN.words * most;
    const lists = this.#perHead && work.kvHead === undefined
      ? this.#kvHeads
      : 1;
    const at = this.#words;
    this.#words += lists * stride;
    this.#lists += lists;
    return { at, stride };
  }

  /** Rows of blocks that a work tile's rows are in. */
  #rowsOf({ record, row, rows }: SelectedWork): number {
    const { rowsBy, queryBlock, queryOffset } = this.#grid;
    const origin = rowsBy === "position" ? queryOffset : record.queryOffset;
    const blockOf = (packed: number) =>
      Math.floor(
        (Math.floor(packed / this.#group) + record.queryOffset - origin) /
          queryBlock,
      );
    return blockOf(row + rows - 1) - blockOf(row) + 1;
  }

  /**
   * Runs that there can be: one begins where blocks change, so at most one a
   * block, two where a step may reach into two, and never more than steps.
   */
  #runsOf(runs: readonly KeyRun[], step: number): number {
    const { keyBlock } = this.#grid;
    const blocks = runs.reduce(
      (sum, { first, end }) =>
        sum + Math.floor((end - 1) / keyBlock) - Math.floor(first / keyBlock) +
        1,
      0,
    );
    return Math.min(
      stepsOf(runs, step),
      keyBlock % step === 0 ? blocks : 2 * blocks,
    );
  }

  #checkLoops({ runs, step }: SelectedWork, rows: number, bits: number): void {
    const { keyBlock } = this.#grid;
    const blocks = Math.floor((step + keyBlock - 2) / keyBlock) + 1;
    const words = Math.floor((blocks + 30) / 32) + 1;
    const chunk = 2 + rows * (words + 2) + Math.log2(BLOCK_RUN_LANES) + 1;
    const loops = Math.max(...runs.map((list) =>
      list.reduce(
        (sum, run) =>
          sum + 2 +
          Math.ceil((run.end - run.first) / step / BLOCK_RUN_LANES) * chunk,
        Math.ceil(bits / BLOCK_RUN_LANES) + 2,
      )
    ));
    if (loops <= this.#maxLoopIterations) return;
    throw new UnsupportedError(
      `select among blocks of ${keyBlock} keys and ${this.#grid.queryBlock} queries`,
      `its loops take up to ${loops} iterations, and this adapter ends them after ${this.#maxLoopIterations}; use larger blocks`,
    );
  }
}
