/**
 * The pooled keys of a Seer gate, kept while decoding.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import type { DType } from "../../core/dtype.ts";
import { checkOptions } from "../../core/options.ts";
import { type GpuTensor, Program, type ProgramParts } from "../../gpu/mod.ts";
import { checkTensor } from "../../ops/plan/tensors.ts";
import { checkLayer, type GateParts, gateTurns, joined } from "./gate_parts.ts";
import { placeOfBlock, type SeerSequence } from "./gate_rows.ts";
import { SeerSelection, type SelectionSource } from "./selection.ts";
import { sideBytes, sideParts } from "./side_parts.ts";

/**
 * Which keys are pooled.
 *
 * @category Policies
 */
export interface SeerKeysOptions {
  /** Sequences of the batch. */
  readonly sequences: number;
  /** Keys of a sequence that there is room for. */
  readonly capacity: number;
  /** Storage of the rows that are appended; f32 by default. */
  readonly dtype?: DType;
}

/**
 * A step's queries.
 *
 * @category Policies
 */
export interface SeerStepOptions {
  /**
   * `[sequences, queries, queryHeads, headDim]` before rotary embedding, on the
   * device: each query is a block of its own. It is read at each step anew.
   */
  readonly query: GpuTensor;
  /** The layer that they are of, where the gate is of one. */
  readonly layer?: number;
}

/**
 * The pooled keys of a layer's sequences, which grow as tokens are appended: a
 * step pools its own tokens alone, and its query looks at a row for each block.
 * In how many steps keys came changes no bit of what is selected.
 *
 * Attention's own keys may lie anywhere: in tensors, blocks or a cache. A length
 * is counted when its append is recorded; keys that were appended cannot be
 * taken back but by `clear()`, as a maximum forgets what it was of.
 *
 * @example A prompt of 16 tokens, then one more
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { SeerGate } from "@quire/attention/policies";
 *
 * using gpu = await openGpu();
 * const weights = { key: gpu.tensor(new Float32Array(12 * 4).fill(1), [1, 12, 4]) };
 * using gate = await SeerGate.create(gpu, {
 *   weights,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   block: 8,
 *   topK: 1,
 * });
 * using keys = await gate.keys({ sequences: 1, capacity: 64 });
 * const tokens = (count: number) =>
 *   gpu.tensor(new Float32Array(count * 4).fill(1), [1, count, 1, 4]);
 * gpu.submit("keys", (encoder) => {
 *   keys.append(encoder, tokens(16));
 *   keys.append(encoder, tokens(1));
 * });
 * console.log(keys.lengths); // [17]
 * using select = await keys.select({ query: tokens(1) }); // for attention()
 * console.log(select.name); // seer
 * ```
 *
 * @category Policies
 */
export class SeerKeys implements Disposable {
  readonly #gate: GateParts;
  readonly #program: Program;
  readonly #dtype: DType;
  readonly #capacity: number;
  readonly #lengths: number[];
  readonly #pooled: GpuTensor;
  readonly #rows: GpuTensor;
  readonly #turns: GpuTensor;

  private constructor(
    gate: GateParts,
    { sequences, capacity, dtype }: Required<SeerKeysOptions>,
    program: Program,
  ) {
    const { gpu, shape } = gate;
    const blocks = Math.ceil(capacity / shape.block);
    const bytes = sideBytes(shape, { side: "key", sequences, blocks });
    this.#gate = gate;
    this.#program = program;
    this.#dtype = dtype;
    this.#capacity = capacity;
    this.#lengths = new Array<number>(sequences).fill(0);
    this.#pooled = gpu.empty("f32", [bytes.pooled / 4], "seer pooled keys");
    this.#rows = gpu.empty("f32", [bytes.gate / 4], "seer gate keys");
    this.#turns = gateTurns(gpu, shape, blocks);
  }

  /** See `SeerGate.keys()`, which makes them. */
  static async create(
    gate: GateParts,
    options: SeerKeysOptions,
  ): Promise<SeerKeys> {
    checkOptions("SeerGate.keys()", options, {
      known: ["sequences", "capacity", "dtype"],
      hints: {
        batch: "write sequences",
        maxLength: "write capacity",
        keys: "write capacity, and append them",
      },
    });
    const { sequences, capacity, dtype = "f32" } = options;
    checkInteger("sequences", sequences, 1, 2 ** 20);
    checkInteger("capacity", capacity, 1, 2 ** 31 - 1);
    checkType(
      dtype === "f32" || dtype === "f16",
      "dtype",
      'must be "f32" or "f16"',
      dtype,
    );
    const checked = { sequences, capacity, dtype };
    checkRoom(gate, checked);
    const program = new Program(gate.gpu, "seer keys");
    try {
      const { dispatches } = appendParts(gate, checked, {
        lengths: new Array<number>(sequences).fill(0),
        counts: new Array<number>(sequences).fill(1),
        tokens: 1,
      });
      await program.compile(dispatches.map(({ source }) => source));
      return new SeerKeys(gate, checked, program);
    } catch (error) {
      program.destroy();
      throw error;
    }
  }

  /** How many keys of each sequence are pooled. */
  get lengths(): readonly number[] {
    return [...this.#lengths];
  }

  /**
   * Records the pooling of new keys. Nothing is submitted.
   *
   * @param key `[sequences, tokens, kvHeads, headDim]`, before rotary embedding.
   * @param counts How many of the tokens each sequence has; all by default.
   * @throws {TypeError} if it is of another device, dtype or shape
   * @throws {RangeError} if a sequence would have more than there is room for
   */
  append(
    encoder: GPUCommandEncoder,
    key: GpuTensor,
    counts?: readonly number[],
  ): void {
    const { shape, weights } = this.#gate;
    const sequences = this.#lengths.length;
    const tokens = this.#tokensOf("key", key, shape.kvHeads);
    const own = counts ?? new Array<number>(sequences).fill(tokens);
    checkType(
      own.length === sequences,
      "counts.length",
      `must be the number of sequences (${sequences})`,
      own.length,
    );
    own.forEach((count, i) => {
      checkInteger(`counts[${i}]`, count, 0, tokens);
      checkRange(
        this.#lengths[i] + count <= this.#capacity,
        `keys of sequence ${i}`,
        `must fit the ${this.#capacity} that SeerGate.keys() made room for`,
        this.#lengths[i] + count,
      );
    });
    const options = {
      sequences,
      capacity: this.#capacity,
      dtype: this.#dtype,
    };
    this.#program.update(
      appendParts(this.#gate, options, {
        lengths: this.#lengths,
        counts: own,
        tokens,
      }),
    );
    this.#program.encode(encoder, {
      key,
      key_weight: weights.key,
      pooled_key: this.#pooled,
      gate_key: this.#rows,
      turns: this.#turns,
    });
    own.forEach((count, i) => this.#lengths[i] += count);
  }

  /**
   * Makes the policy of a step's queries over the keys that are pooled by then.
   * `denseRows` does not hold for it.
   *
   * @throws {TypeError} for a tensor of other heads or sizes, or another layer
   */
  async select(options: SeerStepOptions): Promise<SeerSelection> {
    checkOptions("SeerKeys.select()", options, {
      known: ["query", "layer"],
      hints: { key: "append it: the keys are here", q: "write query" },
    });
    const { query, layer } = options;
    void this.#rows.buffer;
    const { shape } = this.#gate;
    checkLayer(shape, layer);
    return await SeerSelection.create(this.#gate, this.#source(query));
  }

  /** Forgets the keys of a sequence, or of all. */
  clear(sequence?: number): void {
    if (sequence === undefined) return void this.#lengths.fill(0);
    checkInteger("sequence", sequence, 0, this.#lengths.length - 1);
    this.#lengths[sequence] = 0;
  }

  /** Frees its memory; further calls do nothing. */
  destroy(): void {
    this.#program.destroy();
    this.#pooled.destroy();
    this.#rows.destroy();
    this.#turns.destroy();
  }

  /** The same as {@linkcode SeerKeys.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #source(query: GpuTensor): SelectionSource {
    const { gpu, shape } = this.#gate;
    const { queryHeads, headDim, block } = shape;
    const count = this.#lengths.length;
    const queries = this.#tokensOf("query", query, queryHeads);
    checkRange(queries > 0, "queries", "must be at least one", queries);
    const capacity = this.#capacity;
    const blocks = { queryBlock: 1, block };
    const parts = (sequences: readonly SeerSequence[]) =>
      joined(
        sideParts(gpu, shape, {
          side: "query",
          dtype: this.#dtype,
          strides: { token: queryHeads * headDim, head: headDim },
          block: 1,
          blocks: queries,
          given: sequences.map((_, i) => ({
            at: i * queries * queryHeads * headDim,
            first: 0,
            count: queries,
          })),
          placeOf: (sequence, row) =>
            placeOfBlock(sequences[sequence], row, blocks),
        }),
        { dispatches: [], scratch: queryScratch(this.#gate, count, queries) },
      );
    const full = {
      queryCount: queries,
      keyCount: capacity,
      queryOffset: capacity - queries,
    };
    return {
      queries,
      keys: capacity,
      queryBlock: 1,
      denseRows: 0,
      sequences: new Array<SeerSequence>(count).fill(full),
      parts,
      resources: { query, gate_key: this.#rows, turns: this.#turns },
      checkShape: (sequences) => checkStep(sequences, { queries, capacity }),
      checkKeys: (sequences) => this.#checkKeys(sequences),
      owned: [],
    };
  }

  /** Tokens of each sequence in a tensor of their rows, which is checked. */
  #tokensOf(
    name: "query" | "key",
    rows: GpuTensor,
    heads: number,
  ): number {
    const { gpu, shape: { headDim } } = this.#gate;
    checkTensor(gpu, name, rows, { type: this.#dtype, size: rows?.size });
    const [sequences, tokens] = [this.#lengths.length, rows.shape[1]];
    checkType(
      rows.shape.join() === [sequences, tokens, heads, headDim].join(),
      `${name}.shape`,
      `must be [sequences, tokens, heads, headDim], ${
        [sequences, "tokens", heads, headDim].join(" x ")
      }`,
      rows.shape,
    );
    return tokens;
  }

  #checkKeys(sequences: readonly SeerSequence[]): void {
    sequences.forEach(({ keyCount }, i) =>
      checkRange(
        this.#lengths[i] === keyCount,
        `select (seer) keys of sequence ${i}`,
        `must be as many as SeerKeys.append() has pooled (${this.#lengths[i]})`,
        keyCount,
      )
    );
  }
}

/** Throws where the rows of one buffer would not fit a binding. */
function checkRoom(
  { gpu, shape }: GateParts,
  { sequences, capacity }: Required<SeerKeysOptions>,
): void {
  const blocks = Math.ceil(capacity / shape.block);
  const bytes = sideBytes(shape, { side: "key", sequences, blocks });
  const most = gpu.limits.maxStorageBufferBindingSize;
  checkRange(
    Math.max(bytes.pooled, bytes.gate) <= most,
    "capacity",
    `must leave the pooled blocks of all sequences (${sequences}) within one binding: maxStorageBufferBindingSize is ${most} bytes`,
    capacity,
  );
}

function queryScratch(
  { shape }: GateParts,
  sequences: number,
  blocks: number,
): Record<string, number> {
  const bytes = sideBytes(shape, { side: "query", sequences, blocks });
  return { pooled_query: bytes.pooled, gate_query: bytes.gate };
}

/** Throws unless a call is a step of these queries. */
function checkStep(
  sequences: readonly SeerSequence[],
  { queries, capacity }: {
    readonly queries: number;
    readonly capacity: number;
  },
): void {
  sequences.forEach(({ queryCount, keyCount, queryOffset }, i) => {
    checkType(
      queryCount === queries,
      `select (seer) queryCount of sequence ${i}`,
      `must be that of what the gate looks at (${queries})`,
      queryCount,
    );
    checkRange(
      keyCount <= capacity,
      `select (seer) keyCount of sequence ${i}`,
      `must be <= what SeerGate.keys() made room for (${capacity})`,
      keyCount,
    );
    checkRange(
      queryOffset + queryCount <= capacity,
      `select (seer) queryOffset of sequence ${i}`,
      `must place no query past what SeerGate.keys() made room for (${capacity})`,
      queryOffset,
    );
  });
}

/** The dispatches of an append. */
function appendParts(
  { gpu, shape }: GateParts,
  { capacity, dtype }: Required<SeerKeysOptions>,
  { lengths, counts, tokens }: {
    readonly lengths: readonly number[];
    readonly counts: readonly number[];
    readonly tokens: number;
  },
): ProgramParts {
  const { kvHeads, headDim, block } = shape;
  return sideParts(gpu, shape, {
    side: "key",
    dtype,
    strides: { token: kvHeads * headDim, head: headDim },
    block,
    blocks: Math.ceil(capacity / block),
    given: lengths.map((length, i) => ({
      at: i * tokens * kvHeads * headDim,
      first: length,
      count: counts[i],
    })),
    placeOf: (_, row) => row,
  });
}
