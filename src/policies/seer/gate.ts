/**
 * SeerAttention's gate (Gao et al. 2024): blocks that a small learned product
 * keeps, selected on the device before attention.
 *
 * @module
 */

import { checkRange, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { uploadHost } from "../../gpu/host_tensor.ts";
import type { Gpu, GpuTensor } from "../../gpu/mod.ts";
import { rowStrides } from "../../ops/attention/rows.ts";
import { type AttentionOptions, attentionProblem } from "../../ops/mod.ts";
import { checkGpu } from "../../ops/plan/plan_program.ts";
import type { HostBits, HostTensor } from "../../ops/tensors.ts";
import {
  type SeerGateOptions,
  type SeerShape,
  seerShape,
} from "./gate_options.ts";
import { checkLayer, type GateParts, gateTurns, joined } from "./gate_parts.ts";
import { placeOfBlock, type SeerSequence } from "./gate_rows.ts";
import { SeerKeys, type SeerKeysOptions } from "./keys.ts";
import { SeerSelection, type SelectionSource } from "./selection.ts";
import { sideBytes, sideParts } from "./side_parts.ts";
import type { SeerWeights } from "./weights.ts";

/**
 * Queries and keys that a gate looks at: as attention's own, but before rotary
 * embedding. They are always given, never taken from the call: rotated ones have
 * the same shape, and would select other blocks without a word.
 *
 * Blocks of queries count from the first that is given. A chunk of a prompt, with
 * all keys up to its end, is selected for as in the whole prompt where the gate is
 * causal and the chunk is of whole blocks, but for `denseRows` and `density`, which
 * go by what is given.
 *
 * @category Policies
 */
export interface SeerSelectOptions extends
  Pick<
    AttentionOptions,
    | "layout"
    | "cuSeqlens"
    | "cuSeqlensKey"
    | "keyLengths"
    | "queryOffset"
  > {
  /** `[batch, queries, queryHeads, headDim]`, or as `layout` or `cuSeqlens` say. */
  readonly query: GpuTensor | HostTensor | HostBits;
  /** `[batch, keys, kvHeads, headDim]`, likewise; not of a cache: see `keys()`. */
  readonly key: GpuTensor | HostTensor | HostBits;
  /** The layer that they are of, where the gate is of one. */
  readonly layer?: number;
}

const KNOWN = [
  "query",
  "key",
  "layout",
  "cuSeqlens",
  "cuSeqlensKey",
  "keyLengths",
  "queryOffset",
  "layer",
];

const HINTS = {
  q: "write query",
  k: "write key",
  value: "a gate looks at no values",
  causal: "give it to SeerGate.create()",
  cache: "for keys of a cache, keep their pooled blocks: SeerGate.keys()",
  threshold: "give it to SeerGate.create()",
  layerIdx: "write layer",
};

/**
 * A gate of one layer. It pools what queries and keys were before rotary
 * embedding to one row a block, projects these by its weights, rotates them at
 * the positions where blocks begin, and gives each block of keys its share of a
 * softmax; blocks of high shares are kept. All of that runs on the device, in
 * fixed order, before attention: nothing waits, and nothing is read back.
 *
 * Besides, a row of blocks always keeps those that its queries stand in (the
 * nearest, before and behind all keys), which the paper does not, so that none is
 * left without a key; and the last rows keep all, as in the paper's code. Attention is exact for the blocks that are kept.
 * How far it is from dense attention is up to the gate: at most
 * `2 (1 - mass) max |v|`, with the kept part of the row's softmax as its mass.
 *
 * Source: SeerAttention (Gao et al., 2024), the gate of section 3 and the
 * selection of its code.
 *
 * @category Policies
 *
 * @example Attention to the blocks that a gate keeps
 * ```ts
 * import { attention, openGpu } from "@quire/attention";
 * import { SeerGate } from "@quire/attention/policies";
 *
 * using gpu = await openGpu();
 * const tensor = (heads: number) => ({
 *   data: Float32Array.from({ length: 64 * heads * 4 }, (_, i) => Math.sin(i)),
 *   shape: [1, 64, heads, 4],
 * });
 * const [query, key, value] = [tensor(2), tensor(1), tensor(1)];
 * const identity = Float32Array.from(
 *   { length: 2 * 12 * 4 },
 *   (_, i) => Math.floor(i / 4) % 4 === i % 4 ? 1 : 0,
 * );
 * using gate = await SeerGate.create(gpu, {
 *   weights: { key: { data: identity, shape: [2, 12, 4] } },
 *   queryHeads: 2,
 *   kvHeads: 1,
 *   block: 8,
 *   threshold: 0.2,
 *   rotary: false,
 * });
 * using select = await gate.select({ query, key });
 * const { output } = await attention(gpu, {
 *   query,
 *   key,
 *   value,
 *   causal: true,
 *   select,
 * });
 * const { density, forcedRows } = await select.read();
 * console.log(output.shape, density < 1, forcedRows);
 * // [ 1, 64, 2, 4 ] true 6
 * ```
 */
export class SeerGate implements Disposable {
  /** Whose device it is on. */
  readonly gpu: Gpu;
  readonly #parts: GateParts;
  readonly #owned: readonly GpuTensor[];

  private constructor(parts: GateParts, owned: readonly GpuTensor[]) {
    this.gpu = parts.gpu;
    this.#parts = parts;
    this.#owned = owned;
  }

  /**
   * Takes a gate's weights to the device.
   *
   * @throws {TypeError} for wrong types and shapes
   * @throws {RangeError} for values out of range
   */
  static create(gpu: Gpu, options: SeerGateOptions): Promise<SeerGate> {
    return Promise.try(() => {
      checkGpu(gpu);
      const shape = seerShape(options);
      const owned: GpuTensor[] = [];
      const upload = (
        name: string,
        tensor: SeerGateOptions["weights"]["key"],
      ) => {
        const uploaded = uploadHost(gpu, tensor, { name, label: name });
        if (uploaded.made) owned.push(uploaded.tensor);
        checkType(
          uploaded.tensor.gpu === gpu,
          name,
          "must be of the gate's Gpu",
          uploaded.tensor,
        );
        return uploaded.tensor;
      };
      try {
        const { key, query } = options.weights;
        const weights: SeerWeights<GpuTensor> = {
          key: upload("weights.key", key),
          ...(query && { query: upload("weights.query", query) }),
        };
        return new SeerGate({ gpu, shape, weights }, owned);
      } catch (error) {
        for (const one of owned) one.destroy();
        throw error;
      }
    });
  }

  /**
   * Makes the policy of these queries and keys. Tensors on the device are read
   * each time that attention runs; those on the host are taken there now.
   *
   * @throws {TypeError} for tensors of other heads or sizes, or of another layer
   * @throws {RangeError} for values out of range
   * @throws {UnsupportedError} for f16 on a device without `shader-f16`
   */
  async select(options: SeerSelectOptions): Promise<SeerSelection> {
    this.#check();
    const { gpu, shape } = this.#parts;
    return await SeerSelection.create(
      this.#parts,
      givenSource(gpu, shape, options),
    );
  }

  /**
   * Makes room for the pooled keys of sequences that are decoded: their queries
   * come one at a time, and are not pooled.
   *
   * @throws {TypeError} for wrong types
   * @throws {RangeError} for values out of range
   * @throws {UnsupportedError} for f16 on a device without `shader-f16`
   */
  async keys(options: SeerKeysOptions): Promise<SeerKeys> {
    this.#check();
    return await SeerKeys.create(this.#parts, options);
  }

  /** Frees the weights that it took from the host; further calls do nothing. */
  destroy(): void {
    for (const one of this.#owned) one.destroy();
  }

  /** The same as {@linkcode SeerGate.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #check(): void {
    this.gpu.check();
    void this.#parts.weights.key.buffer;
    void this.#parts.weights.query?.buffer;
  }
}

/** Queries and keys that are all given at once. */
function givenSource(
  gpu: Gpu,
  shape: SeerShape,
  options: SeerSelectOptions,
): SelectionSource {
  checkOptions("SeerGate.select()", options, { known: KNOWN, hints: HINTS });
  const { layer, ...given } = options;
  checkLayer(shape, layer);
  const problem = attentionProblem({ ...given, value: given.key });
  for (const name of ["queryHeads", "kvHeads", "headDim"] as const) {
    checkType(
      problem[name] === shape[name],
      name,
      `must be the Seer gate's (${shape[name]})`,
      problem[name],
    );
  }
  const { sequences, dtype } = problem;
  const most = (name: "queryCount" | "keyCount") =>
    sequences.reduce((most, one) => Math.max(most, one[name]), 0);
  const [queries, keys] = [most("queryCount"), most("keyCount")];
  const { block } = shape;
  checkPlaces(sequences, block);
  const strides = rowStrides(problem);
  const side = (name: "query" | "key") => ({
    side: name,
    dtype,
    strides: strides[name],
    block,
    blocks: Math.ceil((name === "query" ? queries : keys) / block),
    given: sequences.map((sequence) => ({
      at: sequence[`${name}Start`] * strides[name].token,
      first: 0,
      count: sequence[`${name}Count`],
    })),
    placeOf: (sequence: number, row: number) =>
      name === "key"
        ? row
        : placeOfBlock(sequences[sequence], row, { block, queryBlock: block }),
  });
  const sides = (["key", "query"] as const).map(side);
  const parts = joined(
    ...sides.map((own) => sideParts(gpu, shape, own)),
    { dispatches: [], scratch: scratchOf(shape, sides) },
  );
  const owned: GpuTensor[] = [];
  const upload = (name: "query" | "key") => {
    const { tensor, made } = uploadHost(gpu, options[name], {
      name,
      label: `seer ${name}`,
    });
    if (made) owned.push(tensor);
    checkType(tensor.gpu === gpu, name, "must be of the gate's Gpu", tensor);
    return tensor;
  };
  try {
    const turns = gateTurns(gpu, shape, Math.max(1, Math.ceil(keys / block)));
    owned.push(turns);
    return {
      queries,
      keys,
      queryBlock: block,
      denseRows: shape.denseRows,
      sequences,
      parts: () => parts,
      resources: { query: upload("query"), key: upload("key"), turns },
      checkShape: (others) => checkSame(sequences, others),
      checkKeys: () => {},
      owned,
    };
  } catch (error) {
    for (const one of owned) one.destroy();
    throw error;
  }
}

/** What both sides write on the way to scores. */
function scratchOf(
  shape: SeerShape,
  sides: readonly {
    readonly side: "query" | "key";
    readonly blocks: number;
    readonly given: readonly unknown[];
  }[],
): Record<string, number> {
  return Object.fromEntries(sides.flatMap(({ side, blocks, given }) => {
    const bytes = sideBytes(shape, { side, blocks, sequences: given.length });
    return [[`pooled_${side}`, bytes.pooled], [`gate_${side}`, bytes.gate]];
  }));
}

/** Throws where a query stands past the blocks of its sequence's keys. */
function checkPlaces(sequences: readonly SeerSequence[], block: number): void {
  sequences.forEach(({ queryOffset, queryCount, keyCount }, i) => {
    const room = Math.ceil(keyCount / block) * block;
    checkRange(
      queryCount === 0 || queryOffset + queryCount <= room,
      `queryOffset of sequence ${i}`,
      `must place no query past its blocks of keys (${room})`,
      queryOffset,
    );
  });
}

/** Throws unless a call has the sequences that a selection is for. */
function checkSame(
  own: readonly SeerSequence[],
  others: readonly SeerSequence[],
): void {
  own.forEach((sequence, i) => {
    for (const name of ["queryCount", "keyCount", "queryOffset"] as const) {
      checkType(
        others[i][name] === sequence[name],
        `select (seer) ${name} of sequence ${i}`,
        `must be that of what the gate looks at (${sequence[name]})`,
        others[i][name],
      );
    }
  });
}
