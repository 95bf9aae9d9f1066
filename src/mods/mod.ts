/**
 * Score and mask mods: written once as an expression, read as WGSL, as float64
 * functions and as intervals over whole tiles.
 *
 * @example A mask of one's own, and the tiles it needs
 * ```ts
 * import { and, causal, maskMod, maskRuns } from "@quire/attention/mods";
 *
 * const everyOther = maskMod("everyOther", ({ key }) => key.rem(2).eq(0));
 * const runs = maskRuns([and(causal(), everyOther)], {
 *   batch: [0, 0],
 *   head: [0, 0],
 *   queryStart: 0,
 *   queryEnd: 63,
 *   keyLength: 1024,
 *   tileKeys: 32,
 * });
 * console.log(runs); // [{ start: 0, count: 2, full: false }]
 * ```
 *
 * @module
 */

export { maskRuns, type MaskRunsOptions, type Run } from "./block_mask/runs.ts";
export {
  type BlockDensity,
  type BlockGeometry,
  type BlockGrid,
  type BlockLists,
  BlockMask,
  blockMask,
  blockMaskFromLists,
  blockMaskFromPattern,
  type BlockMaskParts,
  type BlockPattern,
  type DrawBlocksOptions,
  type GivenLists,
  type ListedBlocks,
  type MaskLists,
  type Meaning,
  type RowsBy,
  throughTable,
  type ThroughTableOptions,
} from "./block_mask/mod.ts";
export { Capture, capture } from "./captures/capture.ts";
export type {
  CaptureOptions,
  TensorCaptureOptions,
} from "./captures/capture_options.ts";
export { and, not, or } from "./combine.ts";
export type { CapturedFloats } from "./derivative/capture_derivative.ts";
export { scoreDerivative } from "./derivative/derivative.ts";
export {
  drawMask,
  type DrawMaskOptions,
  type MaskedProblem,
  type MaskPicture,
  type TileKind,
} from "./drawing/draw_mask.ts";
export {
  type MaskFunction,
  maskFunction,
  type ScoreFunction,
  scoreFunction,
} from "./evaluate.ts";
export {
  Bool,
  bool,
  type Expression,
  Float,
  float,
  Int,
  int,
  Numeric,
} from "./expression.ts";
export type { FloatBits, FloatData } from "./captures/floats.ts";
export {
  classifyMask,
  type MaskClass,
  type PositionRanges,
} from "./interval/interval.ts";
export type { Interval } from "./interval/interval_arithmetic.ts";
export { blockDiagonal } from "./masks/blocks.ts";
export { booleanMask } from "./masks/boolean.ts";
export { mortonOrder, tileOrder } from "./masks/canvas.ts";
export { imageCross, type ImageCrossOptions } from "./masks/cross.ts";
export {
  blockDiffusion,
  type BlockDiffusionOptions,
  draftBlocks,
  type DraftBlocksOptions,
} from "./masks/diffusion.ts";
export { document } from "./masks/document.ts";
export {
  documentPrefixLm,
  type DocumentPrefixLmOptions,
  documents,
  withinDocuments,
} from "./masks/documents.ts";
export type { CuSeqlens } from "./masks/packed_row.ts";
export {
  sharedPrefix,
  type SharedPrefixOptions,
} from "./masks/shared_prefix.ts";
export { byBatch, byHead } from "./masks/each.ts";
export {
  globalWindow,
  type GlobalWindowOptions,
} from "./masks/global_window.ts";
export {
  neighborhood,
  type NeighborhoodOptions,
} from "./masks/neighborhood.ts";
export { prefixLm } from "./masks/prefix.ts";
export {
  blockwise,
  remap,
  type RemappedPositions,
  withinBlocks,
} from "./masks/remap.ts";
export { slidingTile, type SlidingTileOptions } from "./masks/sliding_tile.ts";
export { tree } from "./masks/tree.ts";
export {
  spatialHead,
  type SpatialHeadOptions,
  temporalHead,
  type TemporalHeadOptions,
} from "./masks/video.ts";
export {
  causal,
  dilated,
  type DilatedOptions,
  sinkWindow,
  type SinkWindowOptions,
  slidingWindow,
  type SlidingWindowOptions,
} from "./masks/windows.ts";
export type {
  BinaryNode,
  BinaryOperation,
  CapturedAxis,
  CapturedBuffer,
  CapturedData,
  CapturedTensor,
  CompareNode,
  Comparison,
  DeviceData,
  DeviceReading,
  ExpressionNode,
  LiteralNode,
  LoadNode,
  ScalarType,
  SelectNode,
  UnaryNode,
  UnaryOperation,
  VariableName,
  VariableNode,
} from "./nodes.ts";
export type {
  TensorBinding,
  TensorPlacement,
} from "./captures/device_table.ts";
export { pickedRows, type PickedRowsOptions } from "./captures/picked_rows.ts";
export type { QueryRowsOptions } from "./captures/query_key_data.ts";
export { bindRows } from "./rows.ts";
export {
  additiveBias,
  alibi,
  alibiSlopes,
  relativeBias,
  softcap,
} from "./scores.ts";
export {
  bucketBias,
  type BucketBiasOptions,
  sandwich,
  type SandwichOptions,
} from "./captures/table_biases.ts";
export {
  type MaskMod,
  maskMod,
  type MaskVariables,
  type ScoreMod,
  scoreMod,
  type ScoreVariables,
} from "./trace.ts";
export { emitMods } from "./wgsl/emit_mods.ts";
export type { EmitOptions, EmittedMods } from "./wgsl/wgsl.ts";
