/**
 * Quire: exact attention for WebGPU, with a paged KV cache.
 *
 * `attention()` computes dense, ragged and paged attention; `planAttention()`
 * records it into an encoder of yours; `KvCache` keeps keys and values in
 * blocks that are shared and copied on write. Sub-paths have the parts:
 * `/kernels`, `/reference`, `/mods`, `/gpu` and `/cache`.
 *
 * @module
 */

export * from "./src/core/errors.ts";
export * from "./src/gpu/mod.ts";
export * from "./src/mods/mod.ts";
export * from "./src/ops/mod.ts";
export * from "./src/cache/mod.ts";
export * from "./src/kv/mod.ts";
