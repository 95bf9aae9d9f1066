/**
 * Where the keys of a context lie: in a tensor, whatever its strides, or in the
 * arenas of a cache.
 *
 * @module
 */

import {
  type RowFormat,
  rowFormat,
} from "../../../../kernels/fragments/rows.ts";
import { checkInteger, checkType } from "../../../core/check.ts";
import type { DType } from "../../../core/dtype.ts";
import { uploadHost } from "../../../gpu/host_tensor.ts";
import type {
  BindingResource,
  Gpu,
  GpuTensor,
  HostBits,
  HostTensor,
} from "../../../gpu/mod.ts";
import type { ContiguousCache, KvCache } from "../../../kv/mod.ts";
import {
  describeStrided,
  isStrided,
  storageOf,
  type StridedTensor,
} from "../../../ops/strided.ts";
import { describeTensor } from "../../../ops/tensors.ts";

/**
 * The keys of one sequence, as a cache holds them: rotated, and not normalised.
 *
 * @category Policies
 */
export interface ContextKeys {
  /**
   * `[1, keys, kvHeads, headDim]` or `[keys, kvHeads, headDim]`, f32 or f16, on
   * the device or on the host, or a view of either with strides.
   */
  readonly key?: GpuTensor | HostTensor | HostBits | StridedTensor | undefined;
  /** Instead of `key`: a cache of ours that holds them. */
  readonly cache?: KvCache | ContiguousCache | undefined;
  /** With `cache`: the sequence, its own or a manager's; its committed tokens. */
  readonly sequence?: unknown;
  /** With `cache`: the layer; 0 by default. */
  readonly layer?: number | undefined;
  /** With `cache`: the layer group of a manager's sequence; 0 by default. */
  readonly group?: number | undefined;
}

/** Keys that lie in one buffer. */
export interface KeyPart {
  /** The buffer. */
  readonly source: BindingResource;
  /** The key's number among those asked for, and where its first head begins. */
  readonly places: Uint32Array;
}

/** Keys that can be read. */
export interface KeyPlaces {
  /** How many there are. */
  readonly keys: number;
  /** Their heads. */
  readonly kvHeads: number;
  /** Their elements. */
  readonly headDim: number;
  /** How a row is read. */
  readonly format: RowFormat;
  /** Storage units from a head's row to the next. */
  readonly headStride: number;
  /** Where keys from one on and before another are, buffer by buffer. */
  parts(first: number, end: number): KeyPart[];
  /** Frees what was uploaded for it. */
  destroy(): void;
}

/** The names that say where keys are. */
export const KEY_OPTIONS = ["key", "cache", "sequence", "layer", "group"];

/** What other names of them are here. */
export const KEY_HINTS = {
  keys: "write key",
  k: "write key",
  kv: "write key, or cache and sequence",
  sequences: "write sequence; a context is one",
};

/**
 * Where keys lie.
 *
 * @param policy What an error names.
 * @throws {TypeError} if they are none, or of another device
 * @throws {RangeError} if a number is out of range
 */
export function keyPlaces(
  gpu: Gpu,
  keys: ContextKeys,
  policy: string,
): KeyPlaces {
  const { key, cache } = keys;
  checkType(
    (key === undefined) !== (cache === undefined),
    "key",
    `of ${policy} must be given, or cache and sequence, and not both`,
    key,
  );
  if (cache !== undefined) return placesInCache(gpu, keys, cache, policy);
  for (const name of ["sequence", "layer", "group"] as const) {
    checkType(
      keys[name] === undefined,
      name,
      `of ${policy} must be given with cache only`,
      keys[name],
    );
  }
  return placesInTensor(gpu, key!);
}

function placesInTensor(
  gpu: Gpu,
  key: NonNullable<ContextKeys["key"]>,
): KeyPlaces {
  const apart = isStrided(key);
  const { dtype, shape } = apart
    ? describeStrided("key", key)
    : describeTensor("key", key);
  const one = shape.length === 4 && shape[0] === 1;
  checkType(
    one || shape.length === 3,
    "key.shape",
    "must be [keys, kvHeads, headDim], or [1, keys, kvHeads, headDim]: one sequence",
    shape,
  );
  const [keys, kvHeads, headDim] = shape.slice(-3);
  checkSizes("key.shape", kvHeads, headDim);
  const { strides: [token, head], offset } = apart
    ? stridesOf(describeStrided("key", key).strided)
    : { strides: [kvHeads * headDim, headDim], offset: 0 };
  const { tensor, made } = uploadHost(gpu, apart ? storageOf(key) : key, {
    name: "key",
    label: "squeezed.key",
  });
  checkType(
    tensor.gpu === gpu,
    "key",
    "must be a GpuTensor of the same Gpu",
    tensor,
  );
  const format = rowFormat(dtype, headDim, token, head, offset);
  const unit = format.vector ? 4 : 1;
  return {
    keys,
    kvHeads,
    headDim,
    format,
    headStride: head / unit,
    parts: (first, end) => [{
      source: tensor,
      places: pairs(end - first, (i) => (offset + (first + i) * token) / unit),
    }],
    destroy: () => made && tensor.destroy(),
  };
}

/** Of tokens and of heads. */
function stridesOf(
  { strides, offset }: { readonly strides: readonly number[]; offset: number },
) {
  return { strides: strides.slice(-2), offset };
}

function placesInCache(
  gpu: Gpu,
  { sequence, layer = 0, group = 0 }: ContextKeys,
  cache: KvCache | ContiguousCache,
  policy: string,
): KeyPlaces {
  checkType(
    typeof cache?.keysOf === "function",
    "cache",
    "must be a KvCache or a ContiguousCache",
    cache,
  );
  checkType(cache.gpu === gpu, "cache", "must be of the same Gpu", cache);
  checkType(
    sequence !== undefined,
    "sequence",
    `of ${policy} must be given with cache`,
    sequence,
  );
  checkInteger("layer", layer, 0, cache.layers - 1);
  checkInteger("group", group, 0);
  const { kvHeads, headDim, blockSize, segmentBlocks } = cache;
  checkSizes("cache", kvHeads, headDim);
  const found = cache.keysOf([sequence] as never, { group });
  const slotOf = found.kind === "paged"
    ? (token: number) =>
      found.blockTable[Math.floor(token / blockSize)] * blockSize +
      token % blockSize
    : (token: number) => found.starts[0] + token;
  const format = rowFormat(cache.dtype as DType, headDim);
  const unit = format.vector ? 4 : 1;
  const arenas = cache.arenas(layer);
  return {
    // What is reserved and not written yet is no key.
    keys: Math.min(
      found.lengths[0],
      (sequence as { readonly committed: number }).committed,
    ),
    kvHeads,
    headDim,
    format,
    headStride: headDim / unit,
    parts(first, end) {
      // Rows of shared blocks may wait to be copied to where they are read.
      cache.copyPending();
      const places: number[][] = arenas.map(() => []);
      const perArena = segmentBlocks * blockSize;
      for (let token = first; token < end; token++) {
        const slot = slotOf(token);
        checkType(
          slot >= cache.firstBlock * blockSize,
          "sequence",
          `of ${policy} must hold all keys of the context; they were dropped`,
          `key ${token}`,
        );
        const arena = Math.floor(slot / perArena);
        const row = (slot - arena * perArena) * kvHeads * headDim;
        places[arena].push(token - first, row / unit);
      }
      return places.map((own, i) => ({
        source: arenas[i],
        places: Uint32Array.from(own),
      })).filter((part) => part.places.length > 0);
    },
    destroy: () => {},
  };
}

function checkSizes(name: string, kvHeads: number, headDim: number): void {
  checkInteger(`${name}: kvHeads`, kvHeads, 1);
  checkInteger(`${name}: headDim`, headDim, 1, 256);
}

function pairs(count: number, place: (i: number) => number): Uint32Array {
  const out = new Uint32Array(2 * count);
  for (let i = 0; i < count; i++) {
    out[2 * i] = i;
    out[2 * i + 1] = place(i);
  }
  return out;
}
