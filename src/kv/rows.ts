/**
 * What is written into a KV cache, and the checks before anything is recorded.
 *
 * @module
 */

import { SKIP_SLOT } from "../../kernels/cache/append.ts";
import { checkInteger, checkRange, checkType } from "../core/check.ts";
import type { DType } from "../core/dtype.ts";
import {
  describeHost,
  type HostBits,
  type HostTensor,
  uploadHost,
} from "../gpu/host_tensor.ts";
import type { Gpu, GpuTensor } from "../gpu/mod.ts";
import type { BlockCopy, Reservation } from "../cache/block/table_types.ts";

/**
 * Where new keys stand, for a cache that rotates them.
 *
 * @category Cache
 */
export interface KeyRotation {
  /** `u32[tokens]`: true positions, each a row of the table. */
  readonly positions: GpuTensor;
  /** `[positions, dim / 2, 2]`, f32: see {@linkcode rotaryTable}. */
  readonly table: GpuTensor;
}

/**
 * New keys and values of one layer, in the order of a step's sequences.
 *
 * @category Cache
 */
export interface LayerRows {
  /** The layer; 0 by default. */
  readonly layer?: number;
  /** `[tokens, kvHeads, headDim]`, on the device or on the host. */
  readonly key: GpuTensor | HostTensor | HostBits;
  /** `[tokens, kvHeads, valueHeadDim]`, on the device or on the host. */
  readonly value: GpuTensor | HostTensor | HostBits;
  /** For a cache with `rope`: how to rotate the keys. */
  readonly rotation?: KeyRotation;
}

/** Rows that are all on the device. */
export interface DeviceRows extends LayerRows {
  readonly key: GpuTensor;
  readonly value: GpuTensor;
}

/**
 * New keys and values of all layers, the first layer's first.
 *
 * @category Cache
 */
export interface AllLayerRows {
  /** As many as the cache has layers. */
  readonly layers: readonly Omit<LayerRows, "layer">[];
}

/** What the checks need to know of a cache; a `KvArenas` is one. */
export interface CacheShape {
  readonly gpu: Gpu;
  readonly numBlocks: number;
  readonly firstBlock: number;
  readonly blockSize: number;
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly valueHeadDim: number;
  readonly dtype: DType;
  readonly ropeDim: number;
}

/**
 * Throws unless slots are of the cache, or skipped.
 *
 * @throws {RangeError} naming the first that is not
 */
export function checkSlots(
  { numBlocks, blockSize }: CacheShape,
  slots: Uint32Array,
): void {
  const capacity = numBlocks * blockSize;
  const bad = slots.findIndex((slot) => slot >= capacity && slot !== SKIP_SLOT);
  checkRange(
    bad < 0,
    `slots[${bad}]`,
    `must be < ${capacity}, the slots of ${numBlocks} blocks`,
    slots[bad],
  );
}

/**
 * Throws unless copies are of blocks of the cache.
 *
 * @throws {RangeError} naming the first that is not
 */
export function checkCopies(
  { firstBlock, numBlocks, blockSize }: CacheShape,
  copies: readonly BlockCopy[],
): void {
  copies.forEach(({ source, destination, rows }, i) => {
    const last = numBlocks - 1;
    checkInteger(`copies[${i}].source`, source, 0, last);
    checkInteger(`copies[${i}].destination`, destination, firstBlock, last);
    checkInteger(`copies[${i}].rows`, rows, 0, blockSize);
  });
}

/**
 * Throws where a reservation would copy rows that an earlier one is yet to write:
 * all copies come before all rows.
 *
 * @throws {RangeError} naming the reservation
 */
export function checkOrder(
  { blockSize }: CacheShape,
  reservations: readonly Reservation[],
): void {
  reservations.forEach(({ copies }, i) => {
    const read = new Set(
      copies.flatMap(({ source, rows }) =>
        Array.from({ length: rows }, (_, row) => source * blockSize + row)
      ),
    );
    if (read.size === 0) return;
    for (const { slots } of reservations.slice(0, i)) {
      const early = slots.find((slot) => read.has(slot));
      checkRange(
        early === undefined,
        `reservations[${i}].copies`,
        "must not read a slot that the same call writes",
        early,
      );
    }
  });
}

/**
 * Throws unless new rows fit the cache.
 *
 * @param tokens How many tokens they are of.
 * @param at What stands before the names of the rows in an error.
 * @throws {TypeError} for a tensor of another device, dtype or size
 * @throws {RangeError} for a layer that does not exist
 */
export function checkLayerRows(
  cache: CacheShape,
  rows: LayerRows,
  { tokens, at = "" }: { readonly tokens: number; readonly at?: string },
): void {
  checkType(
    typeof rows === "object" && rows !== null,
    at === "" ? "rows" : at.slice(0, -1),
    "must be an object",
    rows,
  );
  const { layer = 0, key, value, rotation } = rows;
  checkInteger(`${at}layer`, layer, 0, cache.layers - 1);
  const rowsOf = (width: number) => tokens * cache.kvHeads * width;
  checkRows(cache, `${at}key`, key, {
    dtype: cache.dtype,
    size: rowsOf(cache.headDim),
  });
  checkRows(cache, `${at}value`, value, {
    dtype: cache.dtype,
    size: rowsOf(cache.valueHeadDim),
  });
  checkRotation(cache, rotation, { tokens, at });
}

/**
 * The rows of each layer; throws unless they are of all layers and fit.
 *
 * @throws {TypeError} for a tensor of another device, dtype or size, or not as
 * many rows as the cache has layers
 */
export function checkAllRows(
  cache: CacheShape,
  rows: LayerRows | AllLayerRows,
  tokens: number,
): LayerRows[] {
  const several = rows !== null && typeof rows === "object" &&
    "layers" in rows;
  if (!several) {
    checkType(
      cache.layers === 1,
      "rows",
      `must be { layers: [...] } for the cache's ${cache.layers} layers (or reserve(), write() each, commit())`,
      rows,
    );
    checkLayerRows(cache, rows, { tokens });
    return [rows];
  }
  const { layers } = rows;
  checkType(
    Array.isArray(layers) && layers.length === cache.layers,
    "rows.layers",
    `must be rows of each of the cache's ${cache.layers} layers`,
    layers,
  );
  return layers.map((own, layer) => {
    const at = `rows.layers[${layer}].`;
    checkLayerRows(cache, { ...own, layer }, { tokens, at });
    return { ...own, layer };
  });
}

function checkRotation(
  cache: CacheShape,
  rotation: KeyRotation | undefined,
  { tokens, at }: { readonly tokens: number; readonly at: string },
): void {
  const { ropeDim } = cache;
  const name = `${at}rotation`;
  checkType(
    (rotation !== undefined) === (ropeDim > 0),
    name,
    ropeDim > 0
      ? "must be given, as the cache rotates keys"
      : "must not be given, as the cache does not rotate keys",
    rotation,
  );
  if (!rotation) return;
  const { positions, table } = rotation;
  checkTensor(cache, `${name}.positions`, positions, {
    dtype: "u32",
    size: tokens,
  });
  checkTensor(cache, `${name}.table`, table, { dtype: "f32" });
  checkType(
    table.shape.length === 3 && table.shape[1] === ropeDim / 2 &&
      table.shape[2] === 2,
    `${name}.table.shape`,
    `must be [positions, ${ropeDim / 2}, 2]`,
    table.shape,
  );
}

/**
 * Checked rows on the device: what is on the host is uploaded.
 *
 * @returns The rows, and what was made for them and is to be destroyed.
 * @throws {RangeError} if a bf16 is too large for f16
 */
export function uploadRows(
  gpu: Gpu,
  { key, value, ...rest }: LayerRows,
): { readonly rows: DeviceRows; readonly made: GpuTensor[] } {
  const made: GpuTensor[] = [];
  const onDevice = (name: string, tensor: LayerRows["key"]) => {
    const uploaded = uploadHost(gpu, tensor, { name, label: `kv.${name}` });
    if (uploaded.made) made.push(uploaded.tensor);
    return uploaded.tensor;
  };
  try {
    const rows = {
      ...rest,
      key: onDevice("key", key),
      value: onDevice("value", value),
    };
    return { rows, made };
  } catch (error) {
    for (const tensor of made) tensor.destroy();
    throw error;
  }
}

/** Whether rows are on the host. */
export function isHost(
  rows: LayerRows["key"],
): rows is HostTensor | HostBits {
  return typeof rows === "object" && rows !== null && "data" in rows;
}

/** Rows on either side; see {@linkcode checkTensor}. */
function checkRows(
  cache: CacheShape,
  name: string,
  rows: LayerRows["key"],
  { dtype, size }: { readonly dtype: string; readonly size: number },
): void {
  if (!isHost(rows)) {
    checkType(
      typeof rows === "object" && rows !== null,
      name,
      "must be a tensor of the cache's Gpu or { data, shape }",
      rows,
    );
    checkTensor(cache, name, rows, { dtype, size });
    return;
  }
  const own = describeHost(name, rows);
  checkType(
    own.dtype === dtype,
    `${name}.dtype`,
    `must be ${dtype}`,
    own.dtype,
  );
  checkType(
    rows.data.length === size,
    `${name}.data.length`,
    `must be ${size}, for the tokens that are reserved`,
    rows.data.length,
  );
}

function checkTensor(
  cache: CacheShape,
  name: string,
  tensor: GpuTensor,
  { dtype, size }: { readonly dtype: string; readonly size?: number },
): void {
  checkType(
    tensor?.gpu === cache.gpu,
    name,
    "must be a tensor of the cache's Gpu",
    tensor,
  );
  checkType(
    tensor.dtype === dtype,
    `${name}.dtype`,
    `must be ${dtype}`,
    tensor.dtype,
  );
  checkType(
    size === undefined || tensor.size === size,
    `${name}.size`,
    `must be ${size}, for the tokens that are reserved`,
    tensor.size,
  );
  void tensor.buffer; // Throws where it is destroyed.
}
