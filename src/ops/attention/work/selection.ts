/**
 * Room for the run lists that the device writes, where it selects blocks
 * (`kernels/fragments/selection.ts` has what lies in it).
 *
 * @module
 */

import { KEY_RUN, RUN_LIST } from "../../../../kernels/fragments/schedule.ts";
import {
  bitWords,
  BLOCKS_A_WORD,
} from "../../../../kernels/fragments/selection.ts";
import {
  BLOCK_RUN_LANES,
  type BlockRunsSpec,
} from "../../../../kernels/selection/block_runs.ts";
import { UnsupportedError } from "../../../core/errors.ts";
import { blockRows } from "../../../mods/block_mask/geometry.ts";
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
  /** What its runs are of. */
  readonly along: BlockRunsSpec["along"];
  /** Words in all, after which the bits follow. */
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
  /** Its first row: a packed one, or where runs are of rows, a key. */
  readonly row: number;
  /** Rows. */
  readonly rows: number;
  /** The runs that the CPU found. */
  readonly runs: HeadRuns;
  /** Its kv head, if it has one of its own. */
  readonly kvHead: number | undefined;
  /** Keys, or rows, of its kernel's step. */
  readonly step: number;
}

/** What lists depend on besides the mask and the problem. */
export interface SelectedListsOptions {
  /** What runs are of. */
  readonly along: BlockRunsSpec["along"];
  /** Whether the CPU's lists differ by kv head. */
  readonly runsPerHead: boolean;
  /** Iterations of its loops that an invocation may take. */
  readonly maxLoopIterations: number;
}

/** Query heads of one of a mask's. */
export function maskGroup(grid: BlockGrid, queryHeads: number): number {
  return queryHeads / grid.heads;
}

/** Words of all bits of a mask. */
export function maskWords(grid: BlockGrid): number {
  return blockRows(grid) * bitWords(grid.keyBlocks);
}

/** Blocks that so many neighbours are in, at most. */
function mostBlocks(count: number, block: number): number {
  return Math.floor((count + block - 2) / block) + 1;
}

/** Gives each work tile its room. */
export class SelectedLists {
  readonly #grid: BlockGrid;
  readonly #group: number;
  readonly #kvHeads: number;
  readonly #heads: number;
  readonly #perHead: boolean;
  readonly #options: SelectedListsOptions;
  #words = 0;
  #lists = 0;

  /** None yet. */
  constructor(
    grid: BlockGrid,
    { queryHeads, kvHeads }: AttentionProblem,
    options: SelectedListsOptions,
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
    this.#perHead = options.runsPerHead || grid.heads > 1;
    this.#options = options;
  }

  /** What has been given out. */
  get selection(): Selection {
    return {
      along: this.#options.along,
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
    this.#checkLoops(work);
    const most = Math.max(...work.runs.map((runs) => this.#runsOf(runs, work)));
    const stride = RUN_LIST.words + KEY_RUN.words * most;
    const lists = this.#perHead && work.kvHead === undefined
      ? this.#kvHeads
      : 1;
    const at = this.#words;
    this.#words += lists * stride;
    this.#lists += lists;
    return { at, stride };
  }

  /**
   * Runs that there can be: one begins where blocks change, so at most one a
   * block, two where a step may reach into two, and never more than steps.
   */
  #runsOf(runs: readonly KeyRun[], { record, step }: SelectedWork): number {
    const { blockOf, aligned } = this.#options.along === "key"
      ? this.#keyBlocks(step)
      : this.#rowBlocks(record, step);
    const blocks = runs.reduce(
      (sum, { first, end }) => sum + blockOf(end - 1) - blockOf(first) + 1,
      0,
    );
    return Math.min(stepsOf(runs, step), aligned ? blocks : 2 * blocks);
  }

  #keyBlocks(step: number) {
    const { keyBlock } = this.#grid;
    return {
      blockOf: (key: number) => Math.floor(key / keyBlock),
      aligned: keyBlock % step === 0,
    };
  }

  /** The same of packed rows, whose blocks may begin before them. */
  #rowBlocks({ queryOffset: offset }: SequenceRecord, step: number) {
    const { rowsBy, queryBlock, queryOffset } = this.#grid;
    const before = rowsBy === "position" ? offset - queryOffset : 0;
    return {
      blockOf: (row: number) =>
        Math.floor((Math.floor(row / this.#group) + before) / queryBlock),
      aligned: queryBlock * this.#group % step === 0 &&
        before * this.#group % step === 0,
    };
  }

  #checkLoops({ runs, rows, step }: SelectedWork): void {
    const { keyBlock, queryBlock } = this.#grid;
    const { along, maxLoopIterations: limit } = this.#options;
    const [packed, keys] = along === "key" ? [rows, step] : [step, rows];
    const queries = mostBlocks(mostBlocks(packed, this.#group), queryBlock);
    const words = mostBlocks(mostBlocks(keys, keyBlock), BLOCKS_A_WORD);
    const chunk = 3 + this.#heads * (queries * (words + 2) + 2) +
      Math.log2(BLOCK_RUN_LANES) + 1;
    const loops = Math.max(...runs.map((list) =>
      list.reduce(
        (sum, run) =>
          sum + 2 +
          Math.ceil((run.end - run.first) / step / BLOCK_RUN_LANES) * chunk,
        2,
      )
    ));
    if (loops <= limit) return;
    throw new UnsupportedError(
      `select among blocks of ${keyBlock} keys and ${queryBlock} queries`,
      `its loops take up to ${loops} iterations, and this adapter ends them after ${limit}; use larger blocks`,
    );
  }
}
