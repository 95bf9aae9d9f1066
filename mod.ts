/**
 * Quire: exact attention for WebGPU, with a paged KV cache.
 *
 * {@linkcode attention} computes dense, ragged and paged attention;
 * {@linkcode planAttention} records it into an encoder of yours;
 * {@linkcode KvCache} keeps keys and values in blocks that are shared and
 * copied on write; {@linkcode Scheduler} says which tokens of which requests
 * are next. Masks and scores of your own are expressions:
 * {@linkcode maskMod}, {@linkcode scoreMod}.
 *
 * @example Causal attention of host arrays
 * ```ts
 * import { attention, openGpu } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const shape = [1, 512, 8, 64]; // batch, sequence, heads, headDim
 * const noise = () =>
 *   Float32Array.from({ length: 512 * 8 * 64 }, () => Math.random() - 0.5);
 * const { output } = await attention(gpu, {
 *   query: { data: noise(), shape },
 *   key: { data: noise(), shape },
 *   value: { data: noise(), shape },
 *   causal: true,
 * });
 * console.log(output.shape); // [1, 512, 8, 64]
 * ```
 *
 * Sub-paths have everything else: `/ops` the types of plans and `explain()`,
 * `/mods` expressions and pictures of masks, `/cache` who owns which block,
 * `/kv` what caches take and give, `/engine` the scheduler's requests and
 * steps, `/gpu` buffers and programs, `/kernels` WGSL, `/reference` the oracle.
 *
 * @module
 */

export {
  attention,
  attentionBackward,
  type AttentionExplanation,
  type AttentionGradients,
  type AttentionOptions,
  type AttentionPart,
  AttentionPlan,
  type AttentionProblem,
  attentionProblem,
  type AttentionResult,
  type AttentionRunOptions,
  type AttentionTensors,
  EMPTY_LSE,
  type HostBits,
  type HostMask,
  type HostTensor,
  linearAttention,
  linearAttentionBackward,
  LinearAttentionBackwardPlan,
  type LinearAttentionGradients,
  type LinearAttentionOptions,
  LinearAttentionPlan,
  type LinearAttentionResult,
  mergeAttention,
  planAttention,
  planAttentionBackward,
  type PlanChoices,
  planLinearAttention,
  planLinearAttentionBackward,
  rotaryTable,
  SavedAttention,
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
  type CacheStep,
  ContiguousCache,
  type ContiguousCacheOptions,
  KvCache,
  type KvCacheOptions,
  KvSwap,
} from "./src/kv/mod.ts";
export {
  BlockTable,
  CacheManager,
  type CacheSequence,
  PrefixIndex,
} from "./src/cache/mod.ts";
export { Scheduler } from "./src/engine/mod.ts";
export {
  type DType,
  Gpu,
  GpuTensor,
  openGpu,
  type OpenGpuOptions,
} from "./src/gpu/mod.ts";
export {
  DeviceLostError,
  OutOfBlocksError,
  UnsupportedError,
} from "./src/core/errors.ts";
