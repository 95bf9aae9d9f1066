/**
 * Copies blocks of the paged cache, keys and values alike: what copy-on-write
 * asks for. `copies` holds (source, destination, rows) triples of blocks local
 * to their arenas; no destination may be another copy's source.
 *
 * @module
 */

import type { Binding, KernelSource } from "../../src/core/kernel.ts";
import { type RowFormat, storageType } from "../fragments/rows.ts";
import { declareBindings, declareUniforms, indent, wgsl } from "../wgsl.ts";

/** What the copy kernel's source depends on. */
export interface CopyBlocksSpec {
  /** Rows of the arenas. */
  readonly format: RowFormat;
  /** Whether source and destination are different arenas. */
  readonly crossing: boolean;
}

/** The copy kernel's uniforms. */
export const COPY_PARAMS = {
  key_block: "u32",
  value_block: "u32",
  key_row: "u32",
  value_row: "u32",
  value_at: "u32",
} as const;

/** Invocations of a workgroup. */
export const COPY_LANES = 64;

/** The copy kernel; one workgroup a copy. */
export function copyBlocksKernel(spec: CopyBlocksSpec): KernelSource {
  const type = storageType(spec.format);
  const source = spec.crossing ? "source" : "destination";
  const bindings: Binding[] = [
    { name: "copies", type: "array<u32>", access: "read" },
    ...(spec.crossing
      ? [{ name: "source", type, access: "read" } as const]
      : []),
    { name: "destination", type, access: "read_write" },
    { name: "params", type: "Params", access: "uniform" },
  ];
  const half = spec.format.dtype === "f16";
  const copy = (part: "key" | "value", base: string) =>
    `for (var i = lane; i < rows * params.${part}_row; i += ${COPY_LANES}u) {
destination[${base}target_block * params.${part}_block + i] = ${source}[${base}source_block * params.${part}_block + i];
}`;
  const code = wgsl`${half ? "enable f16;\n" : ""}
${declareUniforms("Params", COPY_PARAMS)}

${declareBindings(bindings)}

@compute @workgroup_size(${COPY_LANES})
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
let at = 3u * group_id.x;
let source_block = copies[at];
let target_block = copies[at + 1u];
let rows = copies[at + 2u];
${copy("key", "")}
${copy("value", "params.value_at + ")}
}
`;
  return {
    label: `cache.copy_blocks/${spec.format.dtype}`,
    code: indent(code),
    bindings,
    features: half ? ["shader-f16"] : [],
  };
}
