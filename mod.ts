/**
 * Quire: exact attention for WebGPU, with a paged KV cache.
 *
 * `attention()` computes dense, ragged and paged attention; `planAttention()`
 * records it into an encoder of yours; `KvCache` keeps keys and values in
 * blocks that are shared and copied on write; `Scheduler` says which tokens of
 * which requests are next. Sub-paths have everything else: `/ops`, `/mods`,
 * `/cache`, `/kv`, `/engine`, `/gpu`, `/kernels` and `/reference`.
 *
 * @module
 */

export {
  DeviceLostError,
  OutOfBlocksError,
  UnsupportedError,
} from "./src/core/errors.ts";
export {
  type DType,
  Gpu,
  GpuTensor,
  openGpu,
  type OpenGpuOptions,
} from "./src/gpu/mod.ts";
export {
  attention,
  type AttentionExplanation,
  type AttentionOptions,
  type AttentionPart,
  AttentionPlan,
  type AttentionProblem,
  attentionProblem,
  type AttentionResult,
  type AttentionRunOptions,
  type AttentionTensors,
  EMPTY_LSE,
  type HostMask,
  type HostTensor,
  mergeAttention,
  planAttention,
  type PlanChoices,
  rotaryTable,
  type TensorShape,
} from "./src/ops/mod.ts";
export {
  additiveBias,
  alibi,
  and,
  blockDiagonal,
  booleanMask,
  capture,
  causal,
  dilated,
  document,
  type MaskMod,
  maskMod,
  not,
  or,
  prefixLm,
  relativeBias,
  type ScoreMod,
  scoreMod,
  sinkWindow,
  slidingWindow,
  softcap,
  tree,
} from "./src/mods/mod.ts";
export {
  BlockTable,
  CacheManager,
  type CacheSequence,
  PrefixIndex,
} from "./src/cache/mod.ts";
export {
  type CacheStep,
  ContiguousCache,
  type ContiguousCacheOptions,
  KvCache,
  type KvCacheOptions,
  KvSwap,
} from "./src/kv/mod.ts";
export { Scheduler } from "./src/engine/mod.ts";
