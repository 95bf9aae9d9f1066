/**
 * Operations: options in, result out, with a plan in between for those who want
 * to record it themselves.
 *
 * @module
 */

export type { Dropout } from "../core/dropout.ts";
export {
  attention,
  type AttentionResult,
  type AttentionRunOptions,
  planAttention,
} from "./attention/attention.ts";
export type {
  AttentionExplanation,
  ExplainedCapture,
  ExplainedDispatch,
  ExplainedKernel,
  SharedKeys,
} from "./attention/explanation.ts";
export type { ExplainedBound, ExplainedTraffic } from "./attention/traffic.ts";
export { EMPTY_LSE } from "./attention/lse.ts";
export {
  type AttentionPart,
  mergeAttention,
} from "./attention/merge_attention.ts";
export type { HostMask } from "./attention/options/attention_mask.ts";
export type { BlockScoresOptions } from "./attention/options/block_scores.ts";
export type { AttentionOptions } from "./attention/options/attention_options.ts";
export { attentionProblem } from "./attention/options/attention_problem.ts";
export type { PlanChoices } from "./attention/options/choices.ts";
export type {
  AttentionPolicy,
  PolicySelection,
  PolicyShape,
} from "./attention/options/policy.ts";
export type {
  ExplainedPolicy,
  PolicyBlocks,
  ProblemPolicy,
} from "./attention/policy_blocks.ts";
export type { Indices } from "./attention/options/spans.ts";
export { AttentionPlan, type PassDescriptor } from "./attention/plan.ts";
export type { AttentionTensors } from "./attention/plan_tensors.ts";
export type {
  AttentionProblem,
  BlockScoresShape,
  ContiguousKeys,
  GivenStrides,
  Layout,
  PagedKeys,
  SequenceShape,
} from "./attention/problem.ts";
export type { TileSize } from "./attention/variants/algorithm.ts";
export {
  type DecodeTiles,
  type ForwardTiles,
  HARDWARE_TILES,
  type PartitionSizes,
  SOFTWARE_TILES,
  type TileOptions,
  type Tiles,
} from "./attention/variants/tiles.ts";
export type { PassedOver, Profile } from "./attention/variants/variant.ts";
export type { PartitionCost } from "./attention/work/cost.ts";
export type { TileCounts } from "./attention/work/key_runs.ts";
export { SavedAttention, type SavedParts } from "./attention/saved.ts";
export {
  attentionBackward,
  type AttentionGradients,
  type BackwardInputs,
  type BackwardRunOptions,
  type OutputGradients,
  planAttentionBackward,
} from "./attention_backward/attention_backward.ts";
export type {
  BackwardChoices,
  ScoreGradients,
} from "./attention_backward/choices.ts";
export type { ExplainedBackwardTraffic } from "./attention_backward/traffic.ts";
export type {
  BackwardExplanation,
  ExplainedBackwardKernel,
} from "./attention_backward/explanation.ts";
export {
  AttentionBackwardPlan,
  type BackwardPlanOptions,
} from "./attention_backward/plan.ts";
export type { BackwardTensors } from "./attention_backward/backward_tensors.ts";
export type { GradientStrides } from "./attention_backward/gradient_strides.ts";
export {
  type BackwardTileOptions,
  type BackwardTiles,
  HARDWARE_BACKWARD_TILES,
  SOFTWARE_BACKWARD_TILES,
} from "./attention_backward/tiles.ts";
export { hostMods } from "./host_mods.ts";
export {
  linearAttentionBackward,
  type LinearAttentionGradients,
  type LinearBackwardRunOptions,
  type LinearOutputGradients,
  planLinearAttentionBackward,
} from "./linear_attention/backward/linear_attention_backward.ts";
export {
  LinearAttentionBackwardPlan,
  type LinearBackwardPlanOptions,
} from "./linear_attention/backward/plan.ts";
export type { LinearBackwardTensors } from "./linear_attention/backward/plan_tensors.ts";
export type {
  ExplainedLinearDispatch,
  LinearExplanation,
} from "./linear_attention/explanation.ts";
export {
  checkLogGates,
  type GateShape,
} from "./linear_attention/options/gate_shape.ts";
export {
  linearAttention,
  type LinearAttentionResult,
  planLinearAttention,
} from "./linear_attention/linear_attention.ts";
export type {
  LinearAttentionOptions,
  LinearRunOptions,
} from "./linear_attention/options/options.ts";
export type { LinearForm } from "./linear_attention/options/forms.ts";
export { LinearAttentionPlan } from "./linear_attention/plan.ts";
export type { LinearTensors } from "./linear_attention/plan_tensors.ts";
export {
  type LinearProblem,
  linearProblem,
  type LinearRows,
  type LinearSequence,
} from "./linear_attention/options/problem.ts";
export type {
  LinearPrefix,
  PrefixProblem,
} from "./linear_attention/options/prefix.ts";
export type { UpdateRule } from "./linear_attention/options/rules.ts";
export { featureDim, type FeatureMap } from "../core/features.ts";
export {
  blockMaskFromScores,
  DeviceBlockMask,
  type SelectBlocksOptions,
} from "./block_mask/device_block_mask.ts";
export { NO_TARGET } from "../../kernels/layers/cross_entropy.ts";
export {
  shortConvolution,
  shortConvolutionBackward,
} from "./layers/convolution.ts";
export { crossEntropy, crossEntropyBackward } from "./layers/cross_entropy.ts";
export type { LayerBackwardOptions, LayerTensor } from "./layers/op.ts";
export type {
  ConvolutionBackwardOptions,
  ConvolutionGradients,
  ConvolutionOptions,
  ConvolutionResult,
} from "./layers/ops/convolution.ts";
export type {
  CrossEntropyBackwardOptions,
  CrossEntropyOptions,
  CrossEntropyResult,
} from "./layers/ops/cross_entropy.ts";
export type {
  LogGateBackwardOptions,
  LogGateOptions,
  SigmoidBackwardOptions,
  SigmoidOptions,
  SwishGateBackwardOptions,
  SwishGateGradients,
  SwishGateOptions,
} from "./layers/ops/pointwise.ts";
export type {
  ProjectionBackwardOptions,
  ProjectionGradients,
  ProjectionOptions,
} from "./layers/ops/projection.ts";
export type {
  L2NormalizeBackwardOptions,
  L2NormalizeOptions,
  RmsNormBackwardOptions,
  RmsNormGradients,
  RmsNormOptions,
} from "./layers/ops/row_norm.ts";
export { LayerPlan, type LayerTensors } from "./layers/plan.ts";
export { type LayerOptions, planLayer } from "./layers/plan_layer.ts";
export {
  logGate,
  logGateBackward,
  sigmoid,
  sigmoidBackward,
  swishGate,
  swishGateBackward,
} from "./layers/pointwise.ts";
export { project, projectBackward } from "./layers/projection.ts";
export {
  l2Normalize,
  l2NormalizeBackward,
  rmsNorm,
  rmsNormBackward,
} from "./layers/row_norm.ts";
export { pack, takeRows, unpack } from "./packing/pack.ts";
export type { HostRows } from "./packing/host_rows.ts";
export type { PackingOptions } from "./packing/kept_rows.ts";
export { Packing } from "./packing/packing.ts";
export {
  RowsPlan,
  type RowsProblem,
  type RowsTensors,
} from "./packing/rows_plan.ts";
export { rotaryTable, type RotaryTableOptions } from "./rotary/rotary_table.ts";
export { queryPositions, rotate, type RotateOptions } from "./rotary/rotate.ts";
export {
  planRotation,
  type RotationOptions,
  RotationPlan,
  type RotationTensors,
} from "./rotary/rotation_plan.ts";
export type {
  StridedGpuTensor,
  StridedHostTensor,
  StridedShape,
  StridedTensor,
  Strides,
} from "./strided.ts";
export type {
  AnyTensor,
  HostBits,
  HostTensor,
  TensorShape,
} from "./tensors.ts";
