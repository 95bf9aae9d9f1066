/**
 * Attention in plain TypeScript: what the kernels are held against, and the
 * place to learn how they work. Read `attention` first (the definition, in
 * float64), then `absorb` and `merge` (softmax of a stream), then
 * `shadowAttention` (the tile loop as the GPU runs it).
 *
 * Nothing here needs a GPU, and nothing here is fast.
 *
 * @example Causal attention of the last query over three keys
 * ```ts
 * import { attention } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { output } = attention({
 *   query: [1, 1],
 *   key: [0, 0, 0],
 *   value: [1, 3, 8],
 *   batch: 1,
 *   queryLength: 2,
 *   keyLength: 3,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 1,
 *   mask: (_batch, _head, query, key) => key <= query,
 * });
 * assertEquals([...output].map(Math.round), [2, 4]);
 * ```
 *
 * @module
 */

export { attention } from "./attention.ts";
export {
  attentionBackward,
  type BackwardProblem,
  type BackwardResult,
  type ScoreGradientVisitor,
  type UpstreamGradients,
} from "./attention_backward.ts";
export {
  pagedAttentionBackward,
  type PagedBackwardProblem,
  raggedAttentionBackward,
  type RaggedBackwardProblem,
} from "./ragged_backward.ts";
export { type Dropout, dropoutKeep } from "../src/core/dropout.ts";
export { type CaptureGradient, captureGradient } from "./capture_gradient.ts";
export {
  type LowPrecisionGradients,
  naiveAttentionBackward,
  type NaiveBackwardProblem,
} from "./naive_backward.ts";
export {
  shadowAttentionBackward,
  type ShadowBackwardOptions,
} from "./shadow_backward.ts";
export { captureGradientBound } from "./capture_gradient_bound.ts";
export {
  GRADIENT_GATES,
  type GradientBound,
  gradientBound,
  type GradientFloor,
  storedOutputError,
} from "./gradient_bound.ts";
export type {
  HeadOptions,
  KeepFunction,
  MaskFunction,
  ReferenceProblem,
  ReferenceResult,
  ScoreFunction,
} from "./problem.ts";
export { raggedAttention, type RaggedAttentionProblem } from "./ragged.ts";
export { pagedAttention, type PagedAttentionProblem } from "./paged.ts";
export { rope, type RopeOptions, type RopePairing } from "./rope.ts";
export {
  absorb,
  finish,
  identity,
  merge,
  mergeRows,
  type Row,
  type State,
} from "./online_softmax.ts";
export {
  type LowPrecisionResult,
  naiveAttention,
  type NaiveProblem,
  type Precision,
} from "./naive.ts";
export {
  shadowAttention,
  type ShadowOptions,
  type ShadowResult,
} from "./shadow.ts";
export {
  blockMask,
  type BlockMaskProblem,
  type TileKind,
} from "./block_mask.ts";
export {
  type BoundComparison,
  compareErrors,
  compareWithBound,
  type Difference,
  type ErrorComparison,
} from "./error.ts";
export { blockScores, blockScoresBound } from "./policies/block_scores.ts";
export {
  type ErrorBound,
  errorBound,
  type Gate,
  GATES,
} from "./error_bound.ts";
export type {
  DecayShape,
  LinearAttentionProblem,
  LinearAttentionResult,
  LinearHeadOptions,
  LinearRule,
} from "./linear/problem.ts";
export {
  LINEAR_GATES,
  type LinearErrorBound,
  linearErrorBound,
} from "./linear/error_bound.ts";
export {
  linearAttentionBackward,
  type LinearBackwardProblem,
  type LinearGradients,
} from "./linear/backward.ts";
export {
  naiveLinearAttentionBackward,
  type NaiveLinearBackwardProblem,
} from "./linear/naive_backward.ts";
export {
  normalizedOutput,
  taylorFeatures,
  type TaylorOptions,
  taylorProblem,
  type TaylorProblemOptions,
  taylorWeight,
} from "./linear/features.ts";
export {
  taylorAttention,
  type TaylorAttentionProblem,
} from "./linear/based.ts";
export {
  prefixLinearAttention,
  type PrefixLinearProblem,
  prefixLinearProblem,
} from "./linear/jrt.ts";
export {
  glaLayer,
  glaLayerBackward,
  type GlaLayerGradients,
  type GlaLayerProblem,
  type GlaWeights,
} from "./linear/gla_layer.ts";
export {
  type LinearGradientBound,
  linearGradientBound,
} from "./linear/gradient_bound.ts";
export { recurrentLinearAttention } from "./linear/recurrent.ts";
export { quadraticLinearAttention } from "./linear/quadratic.ts";
export {
  chunkedLinearAttention,
  chunkedLinearAttentionBackward,
} from "./linear/chunked.ts";
export type { LinearChunkOptions } from "./linear/chunks.ts";
export {
  type LinearShadowOptions,
  shadowLinearAttention,
  shadowLinearAttentionBackward,
} from "./linear/shadow.ts";
export {
  type LowPrecisionLinearResult,
  naiveLinearAttention,
  type NaiveLinearProblem,
} from "./linear/naive.ts";
export { s2Blocks, s2Mask, type S2MaskOptions } from "./policies/s2.ts";
export { flash1Schedule } from "./schedules/flash1.ts";
export { flash2Schedule } from "./schedules/flash2.ts";
export { smallCacheSchedule } from "./schedules/small_cache.ts";
export {
  standardSchedule,
  type StandardScheduleTiles,
} from "./schedules/standard.ts";
export { flash1BackwardSchedule } from "./schedules/flash1_backward.ts";
export { flash2BackwardSchedule } from "./schedules/flash2_backward.ts";
export { standardBackwardSchedule } from "./schedules/standard_backward.ts";
export type { BackwardScheduleResult } from "./schedules/gradients.ts";
export type {
  CountedFlops,
  ScheduleCounts,
  ScheduleResult,
  ScheduleTiles,
} from "./schedules/types.ts";
export type { CountedMoves } from "./schedules/slow_memory.ts";
export {
  convolution,
  convolutionBackward,
  type ConvolutionGradients,
  type ConvolutionProblem,
} from "./layers/convolution.ts";
export {
  crossEntropy,
  crossEntropyBackward,
  type CrossEntropyProblem,
} from "./layers/cross_entropy.ts";
export { gate, gateBackward, type GateProblem } from "./layers/gates.ts";
export {
  project,
  projectBackward,
  type ProjectionProblem,
} from "./layers/projection.ts";
export type { Rounding } from "./layers/rounding.ts";
export {
  rowNorm,
  rowNormBackward,
  type RowNormGradients,
  type RowNormProblem,
} from "./layers/row_norm.ts";
export {
  kmeans,
  type KmeansProblem,
  type KmeansResult,
} from "./policies/kmeans.ts";
export {
  type LongLoraGroups,
  raggedGroups,
  rolledGroups,
} from "./policies/longlora.ts";
export {
  type BlockDraw,
  blockIsDrawn,
  drawnBlocks,
  inverselyWeighted,
} from "./policies/prflash.ts";
export {
  seerBlocks,
  type SeerKept,
  type SeerProblem,
  type SeerRule,
  seerScores,
  seerSelect,
  seerTopK,
} from "./policies/seer.ts";
export {
  clusterMeans,
  type ClusterQueries,
  clusterScores,
  type ClusterScoresProblem,
  clustersOf,
  type LabelledKeys,
  type ReferenceClusters,
  type SqueezedLookup,
  squeezedLookup,
  type SqueezedLookupProblem,
} from "./policies/squeezed.ts";
export {
  reachability,
  type ReachabilityOptions,
} from "./policies/reachability.ts";
export {
  type LoraProblem,
  loraProject,
  loraProjectBackward,
} from "./layers/lora.ts";
