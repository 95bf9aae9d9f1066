/**
 * Policies: which keys each row of an attention call keeps. Each is a small file
 * over the same parts (masks, blocks that the device selects, block tables), and
 * goes to `attention(gpu, { ..., select })`.
 *
 * What a policy keeps is exact for its mask; how far that is from dense attention
 * is another question, which each answers by a bound of its own.
 *
 * @module
 */

export type {
  AttentionPolicy,
  PolicyBlocks,
  PolicySelection,
  PolicyShape,
} from "../ops/mod.ts";
export type { LongLoraGroupOptions } from "./longlora/groups.ts";
export {
  longlora,
  type LongLoraOptions,
  type LongLoraPolicy,
} from "./longlora/longlora.ts";
export {
  type ClusterLevel,
  type ClusterSizes,
  clusterSizes,
  type SqueezedClusters,
} from "./squeezed/clusters.ts";
export type {
  SqueezedOptions,
  SqueezedThresholds,
} from "./squeezed/options.ts";
export {
  squeezedAttention,
  type SqueezedResult,
} from "./squeezed/squeezed_attention.ts";
export {
  type KeptKeys,
  planSqueezedAttention,
  SqueezedPlan,
  type SqueezedTensors,
} from "./squeezed/squeezed_plan.ts";
export {
  SqueezedPolicy,
  type SqueezedPolicyOptions,
} from "./squeezed/squeezed_policy.ts";
