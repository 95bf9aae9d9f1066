/**
 * The kernels as pure functions: a spec in; WGSL, bindings, uniforms and
 * features out. Nothing here touches a GPU.
 *
 * @module
 */

export type { DType } from "../src/core/dtype.ts";
export type { Binding, KernelSource } from "../src/core/kernel.ts";
export type { UniformFields } from "../src/core/uniforms.ts";
export {
  decodeKernel,
  type DecodeSpec,
  type DecodeTile,
} from "./attention/decode.ts";
export {
  flash1Kernel,
  type Flash1Spec,
  type Flash1Tile,
} from "./attention/fa1.ts";
export {
  forwardKernel,
  type ForwardSpec,
  type ForwardTile,
} from "./attention/forward.ts";
export { mergeKernel, type MergeSpec } from "./attention/merge.ts";
export {
  mergeStatesKernel,
  type MergeStatesSpec,
} from "./attention/merge_states.ts";
export type { QuerySpec } from "./attention/query_rows.ts";
export type { RegisterTile } from "./attention/score_tile.ts";
export type { AttentionSpec, RunsSpec } from "./attention/spec.ts";
export {
  type StandardKernels,
  standardKernels,
  type StandardSpec,
} from "./attention/standard.ts";
export { appendKernel, type AppendSpec } from "./cache/append.ts";
export {
  copyBlocksKernel,
  type CopyBlocksSpec,
  type CopyUnit,
} from "./cache/copy_blocks.ts";
export { poolKernel, type PoolSpec } from "./selection/gate/pool.ts";
export { blockRunsKernel, type BlockRunsSpec } from "./selection/block_runs.ts";
export { kmeansAssignKernel } from "./selection/kmeans/assign.ts";
export {
  type GatherSpec,
  kmeansGatherKernel,
} from "./selection/kmeans/gather.ts";
export type { KmeansSpec } from "./selection/kmeans/members.ts";
export { kmeansSeedDistancesKernel } from "./selection/kmeans/seed_distances.ts";
export { kmeansSeedPickKernel } from "./selection/kmeans/seed_pick.ts";
export {
  kmeansUpdateKernel,
  type KmeansUpdateSpec,
} from "./selection/kmeans/update.ts";
export {
  centroidDenominatorsKernel,
  centroidMeansKernel,
  type CentroidScoresSpec,
  centroidSumsKernel,
} from "./selection/centroid_scores.ts";
export { compactKernel, type CompactSpec } from "./selection/compact.ts";
export { keepMembersKernel } from "./selection/keep_members.ts";
export {
  selectBlocksKernel,
  type SelectBlocksSpec,
} from "./selection/select_blocks.ts";
export { topBlocksKernel, type TopBlocksSpec } from "./selection/top_blocks.ts";
export type { DropoutSpec } from "./fragments/dropout.ts";
export type { KeyValueSpec } from "./fragments/key_value.ts";
export type { RotaryPairing } from "./fragments/rotary.ts";
export { type RowFormat, rowFormat } from "./fragments/rows.ts";
export type { Partitioning } from "./fragments/schedule.ts";
export type { ModSource } from "./fragments/score.ts";
export {
  deltaRowsKernel,
  type DeltaRowsSpec,
  restKernel,
} from "./linear/backward/delta_rows.ts";
export { strengthGradientKernel } from "./linear/backward/strength_gradient.ts";
export { foldSumsKernel } from "./linear/backward/fold_sums.ts";
export {
  gateGradientKernel,
  throughGradientKernel,
} from "./linear/backward/gate_gradient.ts";
export { keyGradientKernel } from "./linear/backward/key_gradient.ts";
export {
  queryGradientKernel,
  type RecallSpec,
} from "./linear/backward/query_gradient.ts";
export type { LinearBackwardSpec } from "./linear/backward/spec.ts";
export { stateGradientKernel } from "./linear/backward/state_gradient.ts";
export { valueGradientKernel } from "./linear/backward/value_gradient.ts";
export { convolutionKernel } from "./layers/convolution/forward.ts";
export type { ConvolutionSpec } from "./layers/convolution/spec.ts";
export {
  crossEntropyKernel,
  type CrossEntropySpec,
} from "./layers/cross_entropy.ts";
export {
  type PointwiseFunction,
  pointwiseKernel,
  type PointwiseSpec,
} from "./layers/pointwise.ts";
export { projectionKernel, type ProjectionSpec } from "./layers/projection.ts";
export { chunkStateKernel } from "./linear/chunked/chunk_state.ts";
export { deltaScanKernel, type DeltaScanSpec } from "./linear/delta/scan.ts";
export { deltaSolveKernel, type DeltaSolveSpec } from "./linear/delta/solve.ts";
export { gateSumsKernel, type GateSumsSpec } from "./linear/chunked/gates.ts";
export { chunkOutputKernel } from "./linear/chunked/output.ts";
export type { GivenStatesSpec } from "./linear/operands/given_states.ts";
export { recurrentKernel, type RecurrentSpec } from "./linear/recurrent.ts";
export { scanKernel, type ScanSpec } from "./linear/chunked/scan.ts";
export { chunkScoresKernel, type ScoresSpec } from "./linear/chunked/scores.ts";
export type { GateKind, LinearSpec } from "./linear/spec.ts";
export type { ProductTile } from "./product.ts";
export { rotateKernel, type RotateSpec } from "./layers/rotate.ts";
export { rowNormKernel, type RowNormSpec } from "./layers/row_norm.ts";
export { takeRowsKernel, type TakeRowsSpec } from "./rows/take_rows.ts";
