/**
 * Copies blocks of keys and values from one buffer to another, or within one:
 * copy-on-write in the paged cache, and its staging on the way to and from host
 * memory. `copies` holds (source, destination, rows) triples of blocks, each in
 * its buffer's own count; no destination may be another copy's source.
 *
 * A block is copied in chunks, a workgroup each: an invocation's loop takes as
 * many iterations as a chunk has units for it, and not as many as a block has,
 * whose size is the caller's. llvmpipe (Mesa 22.3) ends loops after 65,535.
 *
 * What is moved are integers, as WGSL lets floats change on the way: NaNs their
 * payload, denormals their value.
 *
 * @module
 */

import type { Binding, KernelSource } from "../../src/core/kernel.ts";
import { declareBindings, declareUniforms, indent, wgsl } from "../wgsl.ts";

/** Bytes that an invocation moves at once. */
export type CopyUnit = 16 | 8 | 4 | 2;

/** What the copy kernel's source depends on. */
export interface CopyBlocksSpec {
  /** Bytes moved at once, in which the uniforms count. */
  readonly unit: CopyUnit;
  /** Whether source and destination are different buffers. */
  readonly crossing: boolean;
}

/**
 * The copy kernel's uniforms: the first of its triples; then in units a chunk;
 * a token's keys and values; and of either buffer what lies from one block to
 * the next, and where the first block's values are. Its keys are at 0.
 */
export const COPY_PARAMS = {
  first_copy: "u32",
  chunk: "u32",
  key_row: "u32",
  value_row: "u32",
  source_key_block: "u32",
  source_value_block: "u32",
  source_value_at: "u32",
  destination_key_block: "u32",
  destination_value_block: "u32",
  destination_value_at: "u32",
} as const;

/** Invocations of a workgroup. */
export const COPY_LANES = 64;

/** The widest unit in which a token's keys and values, in bytes, are whole. */
export function copyUnit(row: { key: number; value: number }): CopyUnit {
  const units = [16, 8, 4] as const;
  return units.find((unit) => row.key % unit + row.value % unit === 0) ?? 2;
}

/** Units of a chunk, as long as a grid has room for all chunks of a block. */
const COPY_CHUNK = 128 * COPY_LANES;

/**
 * How a block is divided: units of a chunk, and chunks.
 *
 * @param units Those of the block's keys or values, whichever are more.
 * @param most Workgroups of a grid's dimension.
 */
export function copyChunks(
  units: number,
  most: number,
): { chunk: number; chunks: number } {
  const least = Math.ceil(units / most / COPY_LANES) * COPY_LANES;
  const chunk = Math.max(COPY_CHUNK, least);
  return { chunk, chunks: Math.ceil(units / chunk) };
}

/** The copy kernel; one workgroup a (copy, chunk). */
export function copyBlocksKernel(spec: CopyBlocksSpec): KernelSource {
  const { unit, crossing } = spec;
  const source = crossing ? "source" : "destination";
  const { read, write, copyUnits } = unit === 2
    ? halves(source, crossing)
    : words(source, unit);
  const bindings: Binding[] = [
    { name: "copies", type: "array<u32>", access: "read" },
    ...(crossing
      ? [{ name: "source", type: read, access: "read" } as const]
      : []),
    { name: "destination", type: write, access: "read_write" },
    { name: "params", type: "Params", access: "uniform" },
  ];
  const code = wgsl`${declareUniforms("Params", COPY_PARAMS)}

${declareBindings(bindings)}

${copyUnits}

fn copy_chunk(from_at: u32, to_at: u32, count: u32, first: u32, lane: u32) {
if (first < count) {
copy_units(from_at + first, to_at + first, min(params.chunk, count - first), lane);
}
}

@compute @workgroup_size(${COPY_LANES})
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
let at = 3u * (params.first_copy + group_id.x);
let from_block = copies[at];
let to_block = copies[at + 1u];
let rows = copies[at + 2u];
let first = group_id.y * params.chunk;
copy_chunk(from_block * params.source_key_block, to_block * params.destination_key_block,
rows * params.key_row, first, lane);
copy_chunk(params.source_value_at + from_block * params.source_value_block,
params.destination_value_at + to_block * params.destination_value_block,
rows * params.value_row, first, lane);
}
`;
  return {
    label: `cache.copy_blocks/${unit}`,
    code: indent(code),
    bindings,
    uniforms: COPY_PARAMS,
    features: [],
  };
}

/** How units of one size are copied, and the types of the buffers. */
interface UnitCopy {
  readonly read: string;
  readonly write: string;
  readonly copyUnits: string;
}

function words(source: string, unit: 16 | 8 | 4): UnitCopy {
  const type = unit === 4 ? "array<u32>" : `array<vec${unit / 4}<u32>>`;
  const copyUnits =
    `fn copy_units(from_at: u32, to_at: u32, count: u32, lane: u32) {
for (var i = lane; i < count; i += ${COPY_LANES}u) {
destination[to_at + i] = ${source}[from_at + i];
}
}`;
  return { read: type, write: type, copyUnits };
}

/**
 * Where a row ends within a word, its other half is another row's, which
 * another workgroup may write at the same time: each changes its bits alone.
 */
function halves(source: string, crossing: boolean): UnitCopy {
  const load = (at: string) =>
    crossing ? `${source}[${at}]` : `atomicLoad(&${source}[${at}])`;
  const copyUnits =
    `fn copy_units(from_at: u32, to_at: u32, count: u32, lane: u32) {
for (var word = to_at / 2u + lane; 2u * word < to_at + count; word += ${COPY_LANES}u) {
var bits = 0u;
var mask = 0u;
for (var half = 0u; half < 2u; half++) {
// Before the first unit this wraps around, past the last one.
let i = 2u * word + half - to_at;
if (i < count) {
let pair = ${load("(from_at + i) / 2u")};
bits |= extractBits(pair, 16u * ((from_at + i) % 2u), 16u) << (16u * half);
mask |= 0xffffu << (16u * half);
}
}
atomicAnd(&destination[word], ~mask);
atomicOr(&destination[word], bits);
}
}`;
  return {
    read: "array<u32>",
    write: "array<atomic<u32>>",
    copyUnits,
  };
}
