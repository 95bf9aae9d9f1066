/**
 * Free space as runs of blocks, in order of place.
 *
 * @module
 */

/**
 * Consecutive blocks.
 *
 * @category Cache
 */
export interface BlockRun {
  /** The first block. */
  readonly start: number;
  /** How many. */
  readonly blocks: number;
}

/** The block past a run's last. */
export function endOf({ start, blocks }: BlockRun): number {
  return start + blocks;
}

/**
 * The free blocks of a pool as the longest possible runs: no two touch, as
 * what is given back merges with its free neighbours.
 */
export class FreeExtents {
  readonly #runs: BlockRun[];
  #blocks: number;

  /** Makes a list with the blocks `0..numBlocks - 1` free, as one run. */
  constructor(numBlocks: number) {
    this.#runs = [{ start: 0, blocks: numBlocks }];
    this.#blocks = numBlocks;
  }

  /** Free blocks. */
  get blocks(): number {
    return this.#blocks;
  }

  /** Blocks of the longest run; 0 if there is none. */
  get largest(): number {
    return this.#runs.reduce((most, { blocks }) => Math.max(most, blocks), 0);
  }

  /** The runs in order of place; not to be written. */
  get runs(): readonly BlockRun[] {
    return this.#runs;
  }

  /** The shortest run of at least `blocks`, the first of several. */
  bestFit(blocks: number): BlockRun | undefined {
    let best: BlockRun | undefined;
    for (const run of this.#runs) {
      if (run.blocks < blocks) continue;
      if (best === undefined || run.blocks < best.blocks) best = run;
    }
    return best;
  }

  /** Whether all blocks of a run are free. */
  covers(wanted: BlockRun): boolean {
    const run = this.#runs[this.#after(wanted.start) - 1];
    return run !== undefined && endOf(wanted) <= endOf(run);
  }

  /** Takes blocks that are free. */
  take(taken: BlockRun): void {
    if (taken.blocks === 0) return;
    const at = this.#after(taken.start) - 1;
    const run = this.#runs[at];
    const left = [
      { start: run.start, blocks: taken.start - run.start },
      { start: endOf(taken), blocks: endOf(run) - endOf(taken) },
    ];
    this.#runs.splice(at, 1, ...left.filter(({ blocks }) => blocks > 0));
    this.#blocks -= taken.blocks;
  }

  /** Gives back blocks that are not free. */
  give(given: BlockRun): void {
    if (given.blocks === 0) return;
    const at = this.#after(given.start);
    const before = this.#runs[at - 1];
    const after = this.#runs[at];
    const joinsBefore = before !== undefined && endOf(before) === given.start;
    const joinsAfter = after !== undefined && endOf(given) === after.start;
    const start = joinsBefore ? before.start : given.start;
    const end = joinsAfter ? endOf(after) : endOf(given);
    this.#runs.splice(
      joinsBefore ? at - 1 : at,
      Number(joinsBefore) + Number(joinsAfter),
      { start, blocks: end - start },
    );
    this.#blocks += given.blocks;
  }

  /** How many runs start at `block` or before. */
  #after(block: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#runs[middle].start <= block) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
