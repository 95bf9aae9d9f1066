/**
 * Rows on the device that k-means groups: keys, gathered from where they lie.
 *
 * @module
 */

import {
  type RowFormat,
  rowFormat,
  rowStride,
} from "../../../../kernels/fragments/rows.ts";
import {
  GATHER_LANES,
  kmeansGatherKernel,
} from "../../../../kernels/selection/kmeans/gather.ts";
import { foldGrid } from "../../../gpu/program/dispatch.ts";
import { type Gpu, type GpuTensor, Program } from "../../../gpu/mod.ts";
import type { KeyPart } from "./key_places.ts";

/** How many rows there are. */
export interface MemberSizes {
  /** Heads, each with rows of its own. */
  readonly heads: number;
  /** Rows of a head. */
  readonly members: number;
  /** Elements of a row. */
  readonly headDim: number;
}

/** Rows, and what each is to be multiplied by to be one long. */
export interface Members extends MemberSizes {
  /** `[heads, members, headDim]`, f32. */
  readonly rows: GpuTensor;
  /** `[heads, members]`, f32; 0 for a row of zeros. */
  readonly scales: GpuTensor;
  /** Frees both. */
  destroy(): void;
}

/** Rows as they are read, wherever they are. */
export interface RowSource {
  /** Their format. */
  readonly format: RowFormat;
  /** Storage units from a head's row to the next. */
  readonly headStride: number;
  /** The head that becomes the first. */
  readonly firstHead: number;
  /** Their places, buffer by buffer; of all members. */
  readonly parts: readonly KeyPart[];
}

/** The uniforms that all kernels of k-means take. */
export function memberUniforms(
  { heads, members, headDim }: MemberSizes,
): Record<string, number> {
  return {
    heads,
    members,
    row_stride: rowStride(rowFormat("f32", headDim), headDim),
    head_vecs: Math.ceil(headDim / 4),
    head_dim: headDim,
  };
}

/** Gathers rows; submits, and waits for nothing. */
export async function gatherMembers(
  gpu: Gpu,
  sizes: MemberSizes,
  { format, headStride, firstHead, parts }: RowSource,
): Promise<Members> {
  const { heads, members, headDim } = sizes;
  const names = parts.map((_, i) => `places_${i}`);
  const program = await Program.create(gpu, "kmeans.gather", {
    dispatches: parts.map(({ places }, i) => {
      const count = places.length / 2;
      const groups = Math.ceil(heads * count / GATHER_LANES);
      return {
        source: kmeansGatherKernel({
          format: rowFormat("f32", headDim),
          source: format,
        }),
        uniforms: {
          ...memberUniforms(sizes),
          count,
          first_head: firstHead,
          head_stride: headStride,
        },
        grid: foldGrid(groups, gpu.limits),
        aliases: { places: names[i], source: `source_${i}` },
      };
    }),
    words: Object.fromEntries(parts.map(({ places }, i) => [names[i], places])),
  });
  const made: GpuTensor[] = [];
  const destroy = () => made.forEach((tensor) => tensor.destroy());
  try {
    made.push(gpu.empty("f32", [heads, members, headDim], "kmeans.rows"));
    made.push(gpu.empty("f32", [heads, members], "kmeans.scales"));
    const [rows, scales] = made;
    const sources = parts.map(({ source }, i) => [`source_${i}`, source]);
    gpu.submit("kmeans.gather", (encoder) =>
      program.encode(encoder, {
        rows,
        scales,
        ...Object.fromEntries(sources),
      }));
    return { ...sizes, rows, scales, destroy };
  } catch (error) {
    destroy();
    throw error;
  } finally {
    program.destroy();
  }
}
