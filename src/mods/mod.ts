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

export * from "./block_mask.ts";
export * from "./capture.ts";
export * from "./combine.ts";
export * from "./evaluate.ts";
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
export {
  classifyMask,
  intervalEvaluator,
  type MaskClass,
  type MaskClassifier,
  maskClassifier,
  type PositionRanges,
} from "./interval.ts";
export type { Interval } from "./interval_arithmetic.ts";
export {
  blockDiagonal,
  booleanMask,
  causal,
  dilated,
  type DilatedOptions,
  document,
  prefixLm,
  type QueryRowsOptions,
  sinkWindow,
  type SinkWindowOptions,
  slidingWindow,
  type SlidingWindowOptions,
  tree,
} from "./masks.ts";
export type * from "./nodes.ts";
export type { Environment } from "./reading.ts";
export * from "./scores.ts";
export * from "./trace.ts";
export * from "./wgsl.ts";
