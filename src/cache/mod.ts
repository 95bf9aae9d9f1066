/**
 * The paged KV cache's bookkeeping: a pool of blocks with reference counts,
 * block tables that fork and copy on write, and their packed form for kernels.
 *
 * @module
 */

export * from "./block_pool.ts";
export * from "./block_table.ts";
export {
  type ChainHash,
  chainHash,
  type DomainValue,
  type PrefixDomain,
} from "./prefix_hash.ts";
export type { PrefixCursor } from "./prefix_cursor.ts";
export * from "./prefix_index.ts";
export type { Pin } from "./prefix_pins.ts";
export * from "./kv_cache.ts";
export * from "./stats.ts";
export * from "./tables.ts";
export { OutOfBlocksError } from "../core/errors.ts";
