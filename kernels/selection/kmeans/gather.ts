/**
 * Keys as k-means takes them: of each head side by side, in f32, and what each
 * is to be multiplied by to be one long. They are read where they lie: in a
 * tensor with strides of its own, or in the arena of a cache.
 *
 * A key's largest element is taken out before it is squared, so that keys of any
 * size have a direction; a key of zeros has none, and is multiplied by 0.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { invocationEntry } from "../../entry.ts";
import { kernelOf } from "../../fragment.ts";
import { loadRow, rowBinding, type RowFormat } from "../../fragments/rows.ts";
import { wgsl } from "../../wgsl.ts";
import { type KmeansSpec, sizes, storedRows } from "./members.ts";

/** Invocations of a workgroup, a key of a head each. */
export const GATHER_LANES = 64;

/**
 * What the kernel's source depends on.
 *
 * @category Kernels
 */
export interface GatherSpec extends KmeansSpec {
  /** The format of the keys as they lie. */
  readonly source: RowFormat;
}

/**
 * The kernel that gathers keys; an invocation a key of a head. `places` names
 * the member that a key becomes, and where its first head's row begins.
 *
 * @example What it binds
 * ```ts
 * import { kmeansGatherKernel, rowFormat } from "@quire/attention/kernels";
 *
 * const format = rowFormat("f32", 64);
 * const { bindings } = kmeansGatherKernel({ format, source: rowFormat("f16", 64) });
 * console.log(bindings.map(({ name }) => name));
 * // source rows places scales params
 * ```
 *
 * @category Kernels
 */
export function kmeansGatherKernel(
  { format, source }: GatherSpec,
): KernelSource {
  return kernelOf({
    label: `selection.kmeans.gather/${source.dtype}`,
    fragments: [
      loadRow({
        name: "load_source",
        bindings: [rowBinding("source", source)],
        format: source,
        dim: "head_dim",
      }),
      storedRows("row", "rows", format),
      sizes,
      {
        bindings: [
          { name: "places", type: "array<vec2<u32>>", access: "read" },
          { name: "scales", type: "array<f32>", access: "read_write" },
        ],
        uniforms: {
          // Keys of this dispatch, and what is from a head's row to the next.
          count: "u32",
          first_head: "u32",
          head_stride: "u32",
        },
      },
    ],
    main: invocationEntry(GATHER_LANES, wgsl(GATHER)),
  });
}

const GATHER = `
if (index >= params.heads * params.count) {
  return;
}
let head = index / params.count;
let place = places[index - head * params.count];
let source_at = place.y + (params.first_head + head) * params.head_stride;
let member = head * params.members + place.x;
var largest = 0.0;
for (var vec = 0u; vec < params.head_vecs; vec++) {
  let key = load_source(source_at, vec);
  store_row(member * params.row_stride, vec, key);
  let size = abs(key);
  largest = max(largest, max(max(size.x, size.y), max(size.z, size.w)));
}
var scale = 0.0;
if (largest > 0.0) {
  var squares = 0.0;
  for (var vec = 0u; vec < params.head_vecs; vec++) {
    let key = load_source(source_at, vec) / largest;
    squares += dot(key, key);
  }
  scale = 1.0 / largest / sqrt(squares);
}
scales[member] = scale;
`;
