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
  ExplainedPolicy,
  PolicyBlocks,
  PolicySelection,
  PolicyShape,
} from "../ops/mod.ts";
export { type FallbackOptions, withFallback } from "./fallback.ts";
export type { LongLoraGroupOptions } from "./longlora/groups.ts";
export {
  longlora,
  type LongLoraOptions,
  type LongLoraPolicy,
} from "./longlora/longlora.ts";
export {
  type PolicyReport,
  policyReport,
  type PolicyReportOptions,
} from "./report.ts";
export {
  type ClusterLevel,
  type ClusterSizes,
  clusterSizes,
  type SqueezedClusters,
} from "./squeezed/clusters.ts";
