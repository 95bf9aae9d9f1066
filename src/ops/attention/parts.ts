/**
 * Everything that a plan will put on the device, worked out on the CPU from a
 * problem, the choices and what the device is. Pure, no GPU objects.
 *
 * @module
 */

import type { AttentionSpec } from "../../../kernels/attention/spec.ts";
import { type RowFormat, rowFormat } from "../../../kernels/fragments/rows.ts";
import { bitWords } from "../../../kernels/fragments/selection.ts";
import { type Dropout, dropoutWords } from "../../core/dropout.ts";
import type {
  Dispatch,
  DType,
  ProgramCopy,
  ProgramParts,
} from "../../gpu/mod.ts";
import type { EmittedMods, TensorBinding } from "../../mods/mod.ts";
import { captureParts, explainCaptures, placedMods } from "./captures.ts";
import { type AttentionExplanation, explain } from "./explanation.ts";
import type { CheckedChoices } from "./options/choices.ts";
import { type AttentionProblem, type GivenStrides, vecsOf } from "./problem.ts";
import {
  type RowStrides,
  rowStrides,
  stridedKeys,
  stridedQueries,
} from "./rows.ts";
import type { TileDispatch } from "./variants/algorithm.ts";
import type { AlgorithmMaker } from "./variants/load.ts";
import { selectionScratch } from "./variants/selection.ts";
import type { PlanDevice } from "./variants/variant.ts";
import { buildSchedule, type Schedule } from "./work/schedule.ts";
import { maskGroup } from "./work/selection.ts";

/** A problem's program, and what to say of it. */
export interface AttentionParts {
  /** What the program is made of. */
  readonly parts: ProgramParts;
  /** Captured tensors, by the name of the program's resource. */
  readonly captures: Readonly<Record<string, TensorBinding>>;
  /** For people. */
  readonly explanation: AttentionExplanation;
}

/** How {@linkcode attentionParts} works a program out. */
export interface PartsOptions {
  /** For the device. */
  readonly choices: CheckedChoices;
  /** What they ask for (`loadAlgorithm()`). */
  readonly algorithm: AlgorithmMaker;
}

/**
 * Works out the program of a problem.
 *
 * @throws {UnsupportedError} if no tile fits the device
 */
export function attentionParts(
  problem: AttentionProblem,
  device: PlanDevice,
  { choices, algorithm: make }: PartsOptions,
): AttentionParts {
  const { mods, placement } = placedMods(problem, device, {
    // FlashAttention-1 binds m and l besides.
    ...(choices.algorithm === "fa1" && { others: 5 + (problem.lse ? 1 : 0) }),
  });
  const spec = attentionSpec(problem, mods);
  const algorithm = make(problem, spec, choices, device);
  const schedule = buildSchedule(
    problem,
    algorithm.work,
    algorithm.kernels,
    algorithm.merge,
  );
  const values = uniformsOf(problem, spec, schedule);
  const widest = device.limits.maxComputeWorkgroupsPerDimension;
  const tiles = algorithm.dispatches(schedule);
  const dispatches = tiles.map((one) => dispatchOf(one, values, widest));
  const tensors = captureParts(mods?.tensors ?? [], placement);
  const selected = selectionScratch(problem, schedule);
  const scratch = {
    ...algorithm.scratch(schedule),
    ...selected.scratch,
    ...tensors.scratch,
  };
  return {
    parts: {
      dispatches,
      words: {
        schedule: schedule.words,
        ...(mods && mods.data.length > 0 && { captures: mods.data }),
      },
      scratch,
      copies: [
        ...tensors.copies,
        ...selected.copies,
        ...tableCopies(schedule),
      ],
    },
    captures: tensors.captures,
    explanation: explain(problem, {
      algorithm,
      schedule,
      tiles,
      dispatches,
      scratch,
      workgroupBytes: device.limits.maxComputeWorkgroupStorageSize,
      captures: explainCaptures(mods?.tensors ?? [], placement, problem),
    }),
  };
}

/** How a block table on the device gets into a schedule, by its name. */
export function tableCopies(
  { deviceTableAt: at }: Pick<Schedule, "deviceTableAt">,
  name = "schedule",
): ProgramCopy[] {
  return at === undefined ? [] : [{ from: "blockTable", to: name, at: 4 * at }];
}

/** What the sources of a problem's kernels depend on. */
export function attentionSpec(
  problem: AttentionProblem,
  mods: EmittedMods | undefined,
): AttentionSpec {
  const { dtype, headDim, valueHeadDim, keys, lse, strides } = problem;
  const { segments } = keys;
  // Arenas hold keys and values in one buffer, hence in one format.
  const arena = segments > 0
    ? rowFormat(dtype, headDim, valueHeadDim)
    : undefined;
  const quads = keys.kind !== "paged" || keys.blockSize % 4 === 0;
  return {
    layout: keys.kind,
    segments,
    quads,
    // Blocks of one or two tokens divide, rather than have a source of their own.
    shift: keys.kind === "paged" && quads &&
      Number.isInteger(Math.log2(keys.blockSize)),
    queryFormat: formatOf(dtype, headDim, strides?.query),
    keyFormat: arena ?? formatOf(dtype, headDim, strides?.key),
    valueFormat: arena ?? formatOf(dtype, valueHeadDim, strides?.value),
    outputFormat: formatOf(dtype, valueHeadDim, strides?.output),
    stridedQueries: stridedQueries(problem),
    stridedKeys: stridedKeys(problem),
    mods,
    dropout: problem.dropout !== undefined,
    lse,
    partial: false,
    queries: "consecutive",
    persistent: false,
    ...(problem.selection && { selected: true }),
  };
}

/** Rows as whole vec4s, where all of them begin at one. */
function formatOf(
  dtype: DType,
  dim: number,
  strides: GivenStrides | undefined,
): RowFormat {
  const { at = 0, batch = 0, token = 0, head = 0 } = strides ?? {};
  return rowFormat(dtype, dim, at, batch, token, head);
}

/** Values of the uniforms that are the same for all dispatches. */
export function uniformsOf(
  problem: AttentionProblem,
  spec: AttentionSpec,
  { sequencesAt }: Pick<Schedule, "sequencesAt">,
): Record<string, number> {
  const { keys, headDim, valueHeadDim, queryHeads, kvHeads } = problem;
  const paged = keys.kind === "paged" ? keys : undefined;
  const { query, key, value, output, lse } = rowStrides(problem);
  return {
    ...maskUniforms(problem),
    ...strideUniforms("query", spec.queryFormat, query),
    ...strideUniforms("key", spec.keyFormat, key),
    ...strideUniforms("value", spec.valueFormat, value),
    ...strideUniforms("output", spec.outputFormat, output),
    ...strideUniforms("lse", { dtype: "f32", vector: false }, lse),
    kv_heads: kvHeads,
    group: queryHeads / kvHeads,
    head_dim: headDim,
    head_vecs: vecsOf(headDim),
    value_dim: valueHeadDim,
    value_vecs: vecsOf(valueHeadDim),
    block_size: paged?.blockSize ?? 1,
    block_shift: Math.floor(Math.log2(paged?.blockSize ?? 1)),
    segment_blocks: paged?.segmentBlocks ?? 1,
    scale: problem.scale,
    ...dropoutUniforms(problem.dropout),
    sequences_at: sequencesAt,
  };
}

/** Where the bits of a selection are. */
function maskUniforms(
  { selection, queryHeads }: AttentionProblem,
): Record<string, number> {
  if (!selection) return {};
  const { grid } = selection;
  return {
    mask_query_block: grid.queryBlock,
    mask_key_block: grid.keyBlock,
    mask_by_position: grid.rowsBy === "position" ? 1 : 0,
    mask_offset: grid.queryOffset,
    mask_group: maskGroup(grid, queryHeads),
    mask_words: bitWords(grid.keyBlocks),
    mask_batched: grid.batch > 1 ? 1 : 0,
    mask_heads: grid.heads,
    mask_rows: grid.queryBlocks,
  };
}

/** What the kernels' dropout takes. */
export function dropoutUniforms(
  dropout: Dropout | undefined,
): Record<string, number> {
  const words = dropoutWords(dropout);
  return words
    ? {
      dropout_seed_low: words.seedLow,
      dropout_seed_high: words.seedHigh,
      dropout_threshold: words.threshold,
      dropout_factor: words.factor,
    }
    : {};
}

/** A tensor's strides, in its storage units. */
export function strideUniforms(
  name: string,
  { vector }: RowFormat,
  { at, batch, token, head }: RowStrides,
): Record<string, number> {
  const unit = vector ? 4 : 1;
  return {
    [`${name}_at`]: at / unit,
    [`${name}_batch_stride`]: batch / unit,
    [`${name}_token_stride`]: token / unit,
    [`${name}_head_stride`]: head / unit,
  };
}

/** Tiles go along x and fold into z: y is the kv head's. */
export function dispatchOf(
  { source, tilesAt, groups, heads, uniforms }: TileDispatch,
  values: Readonly<Record<string, number>>,
  widest: number,
): Dispatch {
  const width = Math.min(groups, widest);
  return {
    source,
    uniforms: {
      ...values,
      ...uniforms,
      tiles_at: tilesAt,
      group_count: groups,
      grid_width: width,
    },
    grid: [width, heads, Math.ceil(groups / width)],
  };
}
