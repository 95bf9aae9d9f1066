/**
 * What the parts of a scheduler work on together.
 *
 * @module
 */

import type { CacheManager } from "../cache/mod.ts";
import type { KvMemory } from "./kv_memory.ts";
import type { FullPolicy } from "./policy.ts";
import type { RequestQueues } from "./request_queues.ts";

/** A scheduler's parts. */
export interface SchedulerParts {
  /** The blocks. */
  readonly cache: CacheManager;
  /** The rules. */
  readonly policy: FullPolicy;
  /** The live requests. */
  readonly queues: RequestQueues;
  /** Their keys and values. */
  readonly memory: KvMemory;
}
