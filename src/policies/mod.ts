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

export {
  type PolicyReport,
  policyReport,
  type PolicyReportOptions,
} from "./report.ts";

export { type FallbackOptions, withFallback } from "./fallback.ts";

export {
  s2,
  type S2Band,
  type S2Coverage,
  type S2Heads,
  type S2Options,
  S2Policy,
} from "./s2/mod.ts";

export type { LongLoraGroupOptions } from "./longlora/groups.ts";
export {
  longlora,
  type LongLoraOptions,
  type LongLoraPolicy,
} from "./longlora/longlora.ts";
export {
  type LongLoraHalf,
  type LongLoraOutput,
  type LongLoraRagged,
  longloraRagged,
  type LongLoraRaggedOptions,
} from "./longlora/ragged.ts";

export {
  SeerDistillation,
  type SeerLoss,
} from "./seer/distill/distillation.ts";
export {
  initialSeerWeights,
  type InitialSeerWeightsOptions,
} from "./seer/distill/initial_weights.ts";
export type { SeerDistillationOptions } from "./seer/distill/options.ts";
export type { SeerExample } from "./seer/distill/pooled.ts";
export { SeerGate, type SeerSelectOptions } from "./seer/gate.ts";
export type { SeerGateOptions } from "./seer/gate_options.ts";
export type { SeerRotary } from "./seer/gate_sizes.ts";
export {
  SeerKeys,
  type SeerKeysOptions,
  type SeerStepOptions,
} from "./seer/keys.ts";
export { type SeerReport, SeerSelection } from "./seer/selection.ts";
export type { SeerWeights } from "./seer/weights.ts";

export {
  type CalibratedContext,
  calibrateSqueezed,
  type Calibration,
  type CalibrationOptions,
} from "./squeezed/calibrate.ts";
export {
  type ClusterLevel,
  type ClusterSizes,
  clusterSizes,
  type SqueezedClusters,
} from "./squeezed/clusters.ts";
export {
  SqueezedContext,
  type SqueezedContextOptions,
} from "./squeezed/context.ts";
export type { ContextKeys } from "./squeezed/fit/key_places.ts";
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
export { SqueezedStore, type StoredContexts } from "./squeezed/store.ts";

export type { PrFlashFamily } from "./prflash/keep_probability.ts";
export {
  experimentalPrFlash,
  type PrFlashOptions,
  type PrFlashPolicy,
} from "./prflash/prflash.ts";
