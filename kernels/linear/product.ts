/**
 * The product of matrices for each chunk and head, which linear attention's
 * kernels are instances of.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { productKernel, type ProductParts } from "../product.ts";
import { wgsl } from "../wgsl.ts";
import { chunks, heads } from "./chunks.ts";

/**
 * The kernel of a product; names that it has besides are `chunk_index`, `chunk`
 * and `head`, which is one of the grid's: of states, of outputs, or others.
 */
export function chunkProductKernel(
  parts: Omit<ProductParts, "places">,
): KernelSource {
  return productKernel({
    ...parts,
    fragments: [
      chunks,
      heads,
      ...parts.fragments,
      { uniforms: { grid_heads: "u32" } },
    ],
    places: wgsl(CHUNKS),
  });
}

const CHUNKS = `
let head = place % params.grid_heads;
let chunk_index = place / params.grid_heads;
if (chunk_index >= params.chunk_count) {
  return;
}
let chunk = chunk_of(chunk_index);
`;
