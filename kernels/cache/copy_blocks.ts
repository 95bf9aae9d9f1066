/**
 * Copies blocks of keys and values from one buffer to another, or within one:
 * copy-on-write in the paged cache, and its staging on the way to and from host
 * memory. `copies` holds (source, destination, rows) triples of blocks, each in
 * its buffer's own count; no destination may be another copy's source.
 *
 * What is moved are integers, as WGSL lets floats change on the way: NaNs their
 * payload, denormals their value.
 *
 * @module
 */

import type { Binding, KernelSource } from "../../src/core/kernel.ts";
import { kernelOf } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";

/**
 * Bytes that an invocation moves at once.
 *
 * @category Kernels
 */
export type CopyUnit = 16 | 8 | 4 | 2;

/**
 * What the copy kernel's source depends on.
 *
 * @category Kernels
 */
export interface CopyBlocksSpec {
  /** Bytes moved at once, in which the uniforms count. */
  readonly unit: CopyUnit;
  /** Whether source and destination are different buffers. */
  readonly crossing: boolean;
}

/** Invocations of a workgroup. */
const LANES = 64;

/** Units of a chunk, as long as a grid has room for all chunks of a block. */
const CHUNK = 128 * LANES;

/**
 * How a block is divided among workgroups, so that no invocation's loop grows
 * with it: units of a chunk, and chunks.
 *
 * @param units Those of the block's keys or values, whichever are more.
 * @param most Workgroups of a grid's dimension.
 */
export function copyChunks(
  units: number,
  most: number,
): { chunk: number; chunks: number } {
  const least = Math.ceil(units / most / LANES) * LANES;
  const chunk = Math.max(CHUNK, least);
  return { chunk, chunks: Math.ceil(units / chunk) };
}

/** The widest unit in which a token's keys and values, in bytes, are whole. */
export function copyUnit(row: { key: number; value: number }): CopyUnit {
  const units = [16, 8, 4] as const;
  return units.find((unit) => row.key % unit + row.value % unit === 0) ?? 2;
}

/**
 * The copy kernel; one workgroup a copy (x) and chunk of its block (y).
 *
 * @example Within one buffer, 16 bytes at once
 * ```ts
 * import { copyBlocksKernel } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { bindings } = copyBlocksKernel({ unit: 16, crossing: false });
 * assertEquals(bindings.map(({ name, type }) => `${name}: ${type}`), [
 *   "copies: array<u32>",
 *   "destination: array<vec4<u32>>",
 *   "params: Params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function copyBlocksKernel(spec: CopyBlocksSpec): KernelSource {
  const { unit, crossing } = spec;
  const halves = unit === 2;
  const words = unit <= 4 ? "array<u32>" : `array<vec${unit / 4}<u32>>`;
  const scope = {
    lanes: LANES,
    source: crossing ? "source" : "destination",
    crossing,
  };
  const source: Binding = { name: "source", type: words, access: "read" };
  return kernelOf({
    label: `cache.copy_blocks/${unit}`,
    fragments: [{
      bindings: [
        { name: "copies", type: "array<u32>", access: "read" },
        ...(crossing ? [source] : []),
        {
          name: "destination",
          type: halves ? "array<atomic<u32>>" : words,
          access: "read_write",
        },
      ],
      // In units, but for the first of the dispatch's triples.
      uniforms: {
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
      },
      code: wgsl(halves ? COPY_HALVES : COPY_WORDS, scope),
    }],
    main: wgsl(COPY, scope),
  });
}

const COPY = `
// Units of a chunk that begins at start, of count in all.
fn chunk_of(count: u32, start: u32) -> u32 {
  return min(count - min(count, start), params.chunk);
}

@compute @workgroup_size($lanes)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = 3u * (params.first_copy + group_id.x);
  let start = group_id.y * params.chunk;
  let from_block = copies[at];
  let to_block = copies[at + 1u];
  let rows = copies[at + 2u];
  copy_units(
    from_block * params.source_key_block + start,
    to_block * params.destination_key_block + start,
    chunk_of(rows * params.key_row, start), lane);
  copy_units(
    params.source_value_at + from_block * params.source_value_block + start,
    params.destination_value_at + to_block * params.destination_value_block + start,
    chunk_of(rows * params.value_row, start), lane);
}
`;

const COPY_WORDS = `
fn copy_units(from_at: u32, to_at: u32, count: u32, lane: u32) {
  for (var i = lane; i < count; i += $lanes) {
    destination[to_at + i] = $source[from_at + i];
  }
}
`;

// Where a row ends within a word, its other half is another row's, which
// another workgroup may write at the same time: each changes its bits alone.
const COPY_HALVES = `
fn copy_units(from_at: u32, to_at: u32, count: u32, lane: u32) {
  for (var word = to_at / 2u + lane; 2u * word < to_at + count; word += $lanes) {
    var bits = 0u;
    var mask = 0u;
    for (var half = 0u; half < 2u; half++) {
      // Before the first unit this wraps around, past the last one.
      let i = 2u * word + half - to_at;
      if (i < count) {
        @if crossing
        let pair = source[(from_at + i) / 2u];
        @else
        let pair = atomicLoad(&destination[(from_at + i) / 2u]);
        @end
        bits |= extractBits(pair, 16u * ((from_at + i) % 2u), 16u) << (16u * half);
        mask |= 0xffffu << (16u * half);
      }
    }
    atomicAnd(&destination[word], ~mask);
    atomicOr(&destination[word], bits);
  }
}
`;
