/**
 * What a Seer gate selects of one problem: a policy.
 *
 * @module
 */

import { checkRange, checkType } from "../../core/check.ts";
import {
  type BindingResource,
  type GpuTensor,
  Program,
  type ProgramParts,
  type ReadOptions,
} from "../../gpu/mod.ts";
import type { BlockMask } from "../../mods/mod.ts";
import { DeviceBlockMask } from "../../ops/block_mask/device_block_mask.ts";
import type {
  AttentionPolicy,
  PolicySelection,
  PolicyShape,
} from "../../ops/mod.ts";
import { checkOwnLayer } from "../own_layer.ts";
import { type GateParts, joined } from "./gate_parts.ts";
import { gateRow, type QueryBlocks, type SeerSequence } from "./gate_rows.ts";
import { scoreParts } from "./score_parts.ts";

/**
 * What a gate kept, read back; `policyReport()` counts its pairs and bytes, with
 * `selected: blocks`, and draws it.
 *
 * @category Policies
 */
export interface SeerReport {
  /** The blocks that are kept, of each sequence and query head. */
  readonly blocks: BlockMask;
  /** Of the blocks that rows may see, the part that is kept, in `[0, 1]`. */
  readonly density: number;
  /**
   * Rows of blocks of which the gate chose none: they would be empty, but for
   * what they keep in any case.
   */
  readonly forcedRows: number;
  /** All rows of blocks that may see any. */
  readonly rows: number;
}

/** Rows of queries and keys of a selection, and what becomes gate rows of them. */
export interface SelectionSource extends QueryBlocks {
  /** Queries of a sequence, of the longest. */
  readonly queries: number;
  /** Keys of a sequence that there is room for. */
  readonly keys: number;
  /** What it is for at first. */
  readonly sequences: readonly SeerSequence[];
  /** The dispatches that write `gate_query`, and `gate_key` where it must. */
  parts(sequences: readonly SeerSequence[]): ProgramParts;
  /** What they bind. */
  readonly resources: Readonly<Record<string, BindingResource>>;
  /** Throws unless a call's sequences are those that it can select for. */
  checkShape(sequences: readonly SeerSequence[]): void;
  /** Throws unless keys are there, before anything is recorded. */
  checkKeys(sequences: readonly SeerSequence[]): void;
  /** What it owns. */
  readonly owned: readonly { destroy(): void }[];
}

/**
 * Blocks that a gate selects, for `attention({ select })` and plans: each time
 * that attention runs, it looks at the same tensors anew, before. Its memory is
 * its own, to be freed by `destroy()`.
 *
 * @example What it says of a run
 * ```ts
 * import { attention, openGpu } from "@quire/attention";
 * import { SeerGate } from "@quire/attention/policies";
 *
 * using gpu = await openGpu();
 * const rows = gpu.tensor(new Float32Array(64 * 4).fill(1), [1, 64, 1, 4]);
 * const weights = { key: gpu.tensor(new Float32Array(12 * 4).fill(1), [1, 12, 4]) };
 * using gate = await SeerGate.create(gpu, {
 *   weights,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   block: 8,
 *   topK: 2,
 * });
 * using select = await gate.select({ query: rows, key: rows });
 * const call = { query: rows, key: rows, value: rows, causal: true };
 * await attention(gpu, { ...call, select });
 * console.log(await gpu.readOne(select.counts)); // 1, 2, 2, ... of each row
 * console.log((await select.mask.read()).density().ratio < 1); // true
 * ```
 *
 * @category Policies
 */
export class SeerSelection implements AttentionPolicy, Disposable {
  /** `"seer"`. */
  readonly name = "seer";
  /** The blocks, as the last run selected them. */
  readonly mask: DeviceBlockMask;
  /**
   * `[sequences, queryHeads, queryBlocks, keyBlocks]`: the share of each block,
   * as the last run had it; a row adds up to 1, and what it may not see is -1.
   */
  readonly scores: GpuTensor;
  /**
   * `[sequences, queryHeads, queryBlocks]`: how many blocks of each row were
   * chosen by their shares. Where it is 0, the row has only what it keeps in any
   * case.
   */
  readonly counts: GpuTensor;
  readonly #gate: GateParts;
  readonly #source: SelectionSource;
  readonly #program: Program;
  #sequences: readonly SeerSequence[];

  private constructor(made: {
    readonly gate: GateParts;
    readonly source: SelectionSource;
    readonly mask: DeviceBlockMask;
    readonly program: Program;
  }) {
    this.#gate = made.gate;
    this.#source = made.source;
    this.#sequences = made.source.sequences;
    this.#program = made.program;
    this.mask = made.mask;
    const { batch, heads, queryBlocks, keyBlocks } = made.mask.grid;
    const rows = [batch, heads, queryBlocks];
    const { gpu } = made.gate;
    this.scores = gpu.empty("f32", [...rows, keyBlocks], "seer scores");
    this.counts = gpu.empty("u32", rows, "seer counts");
  }

  /**
   * A selection; `SeerGate.select()` and `SeerKeys.select()` make them. It owns
   * the source, and frees it where it cannot be made.
   */
  static async create(
    gate: GateParts,
    source: SelectionSource,
  ): Promise<SeerSelection> {
    const made: { destroy(): void }[] = [...source.owned];
    const keep = <T extends { destroy(): void }>(one: T): T => {
      made.push(one);
      return one;
    };
    try {
      const { gpu, shape } = gate;
      const { sequences, queryBlock, queries, keys } = source;
      const mask = keep(
        await DeviceBlockMask.create(gpu, {
          queries: Math.max(queries, 1),
          keys: Math.max(keys, 1),
          queryBlock,
          keyBlock: shape.block,
          batch: Math.max(sequences.length, 1),
          heads: shape.queryHeads,
        }),
      );
      const program = keep(
        await Program.create(
          gpu,
          "seer gate",
          partsOf(gate, source, { mask, sequences }),
        ),
      );
      return new SeerSelection({ gate, source, mask, program });
    } catch (error) {
      for (const one of made) one.destroy();
      throw error;
    }
  }

  /**
   * What it keeps of a call.
   *
   * @throws {TypeError} if it is destroyed, or for other heads, head dims or
   * sequences
   * @throws {RangeError} if a query would stand past the keys, or keys are those
   * of another layer of a cache
   */
  select(shape: PolicyShape): PolicySelection {
    void this.scores.buffer;
    const { shape: gate } = this.#gate;
    for (const name of ["queryHeads", "kvHeads", "headDim"] as const) {
      checkType(
        shape[name] === gate[name],
        `select (${this.name}) ${name}`,
        `must be the Seer gate's (${gate[name]})`,
        shape[name],
      );
    }
    checkOwnLayer(this.name, gate.layer, shape);
    checkType(
      !gate.causal || shape.causal || shape.window?.right === 0,
      `select (${this.name}) causal`,
      "must be true, as it is the Seer gate's, which keeps no block past a row's own: give that causal: false for attention that sees both ways",
      shape.causal,
    );
    const { sequences } = shape;
    const wanted = this.#source.sequences.length;
    checkType(
      sequences.length === wanted,
      `select (${this.name}) sequences`,
      `must be as many as the selection is for (${wanted})`,
      sequences.length,
    );
    this.#source.checkShape(sequences);
    checkDensity(this.#gate, sequences);
    return {
      blocks: {
        mask: this.mask,
        encode: (encoder) => this.#encode(encoder, sequences),
      },
    };
  }

  /** Reads back what the last run kept: this waits. */
  async read(options: ReadOptions = {}): Promise<SeerReport> {
    const { gpu, shape } = this.#gate;
    const sequences = this.#sequences;
    const blocks = await this.mask.read(options);
    const counts = await gpu.readOne(this.counts, options);
    const { heads, queryBlocks, keyBlocks } = this.mask.grid;
    let [kept, visible, forcedRows, rows] = [0, 0, 0, 0];
    for (let row = 0; row < counts.length; row++) {
      const sequence = sequences[Math.floor(row / (heads * queryBlocks))];
      if (sequence === undefined) continue;
      const { seen } = gateRow(sequence, row % queryBlocks, {
        ...shape,
        ...this.#source,
      });
      if (seen === 0) continue;
      rows++;
      visible += seen;
      if (counts[row] === 0) forcedRows++;
      for (let block = 0; block < seen; block++) {
        if (blocks.levels[row * keyBlocks + block] !== 0) kept++;
      }
    }
    return {
      blocks,
      density: visible === 0 ? 1 : kept / visible,
      forcedRows,
      rows,
    };
  }

  /** Frees its memory; further calls do nothing. */
  destroy(): void {
    this.mask.destroy();
    this.scores.destroy();
    this.counts.destroy();
    this.#program.destroy();
    for (const one of this.#source.owned) one.destroy();
  }

  /** The same as {@linkcode SeerSelection.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #encode(
    encoder: GPUCommandEncoder,
    sequences: readonly SeerSequence[],
  ): void {
    this.#source.checkKeys(sequences);
    if (sequences !== this.#sequences) {
      const { mask } = this;
      this.#program.update(
        partsOf(this.#gate, this.#source, { mask, sequences }),
      );
      this.#sequences = sequences;
    }
    const { weights } = this.#gate;
    this.#program.encode(encoder, {
      ...this.#source.resources,
      key_weight: weights.key,
      query_weight: weights.query,
      scores: this.scores,
      blocks: this.mask.bits,
      counts: this.counts,
    });
  }
}

function partsOf(
  gate: GateParts,
  source: SelectionSource,
  { mask, sequences }: {
    readonly mask: DeviceBlockMask;
    readonly sequences: readonly SeerSequence[];
  },
): ProgramParts {
  checkDensity(gate, sequences);
  return joined(
    source.parts(sequences),
    scoreParts(gate.gpu, gate.shape, {
      grid: mask.grid,
      sequences,
      queryBlock: source.queryBlock,
      denseRows: source.denseRows,
    }),
  );
}

/** Throws where a density would be another number of blocks for each sequence. */
function checkDensity(
  { shape: { rule, block } }: GateParts,
  sequences: readonly SeerSequence[],
): void {
  const blocks = sequences.map(({ keyCount }) => Math.ceil(keyCount / block));
  const other = blocks.findIndex((count) => count !== blocks[0]);
  checkRange(
    rule.density === undefined || other < 0,
    "density",
    `must not be given for sequences of ${blocks[0]} and ${
      blocks[other]
    } blocks of keys, of which it is not the same number: give threshold or topK`,
    rule.density,
  );
}
