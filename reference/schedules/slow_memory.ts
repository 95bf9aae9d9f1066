/**
 * A memory that counts: every element that is loaded from it or stored to it,
 * by tensor, and how much fast memory is held meanwhile.
 *
 * @module
 */

/**
 * Elements that moved each way.
 *
 * @category Schedules
 */
export interface CountedMoves {
  /** From slow memory. */
  reads: number;
  /** To slow memory. */
  writes: number;
}

/** A matrix in slow memory. */
export interface SlowMatrix {
  /** The tensor that it is part of: what it is counted under. */
  readonly tensor: string;
  /** `[rows, columns]`. */
  readonly data: Float32Array;
  /** Elements of a row. */
  readonly columns: number;
}

/** Part of a matrix in fast memory. */
export interface FastTile {
  /** Rows. */
  readonly rows: number;
  /** Elements of a row. */
  readonly columns: number;
  /** `[rows, columns]`. */
  readonly data: Float32Array;
}

/** Which part of a matrix; by default all columns. */
export interface Part {
  /** First row. */
  readonly row: number;
  /** Rows. */
  readonly rows: number;
  /** First column. */
  readonly column?: number;
  /** Columns. */
  readonly columns?: number;
}

/** Slow memory, and what is held of fast memory. */
export class SlowMemory {
  readonly #moves = new Map<string, CountedMoves>();
  readonly #held = new Set<FastTile>();
  #now = 0;
  #peak = 0;

  /** What moved, by tensor. */
  get traffic(): Record<string, CountedMoves> {
    return Object.fromEntries(
      [...this.#moves].map(([tensor, moves]) => [tensor, { ...moves }]),
    );
  }

  /** The most elements of fast memory that were held at once. */
  get peakElements(): number {
    return this.#peak;
  }

  /** A matrix of zeros; making it moves nothing. */
  matrix(tensor: string, rows: number, columns: number): SlowMatrix {
    return { tensor, columns, data: new Float32Array(rows * columns) };
  }

  /** Zeros in fast memory. */
  hold(rows: number, columns: number): FastTile {
    const tile = { rows, columns, data: new Float32Array(rows * columns) };
    this.#held.add(tile);
    this.#now += rows * columns;
    this.#peak = Math.max(this.#peak, this.#now);
    return tile;
  }

  /** Lets fast memory go. */
  drop(...tiles: readonly FastTile[]): void {
    for (const tile of tiles) {
      if (!this.#held.delete(tile)) throw new Error("A tile is dropped twice");
      this.#now -= tile.rows * tile.columns;
    }
  }

  /** Reads a part of a matrix into fast memory. */
  load(matrix: SlowMatrix, part: Part): FastTile {
    const { row, rows, column = 0, columns = matrix.columns } = part;
    const tile = this.hold(rows, columns);
    for (let r = 0; r < rows; r++) {
      const at = (row + r) * matrix.columns + column;
      tile.data.set(matrix.data.subarray(at, at + columns), r * columns);
    }
    this.#of(matrix).reads += rows * columns;
    return tile;
  }

  /** Writes a tile to where it belongs. */
  store(
    matrix: SlowMatrix,
    { row, column = 0 }: Pick<Part, "row" | "column">,
    tile: FastTile,
  ): void {
    for (let r = 0; r < tile.rows; r++) {
      matrix.data.set(
        tile.data.subarray(r * tile.columns, (r + 1) * tile.columns),
        (row + r) * matrix.columns + column,
      );
    }
    this.#of(matrix).writes += tile.rows * tile.columns;
  }

  #of({ tensor }: SlowMatrix): CountedMoves {
    const moves = this.#moves.get(tensor) ?? { reads: 0, writes: 0 };
    this.#moves.set(tensor, moves);
    return moves;
  }
}
