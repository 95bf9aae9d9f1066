// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * Everything that a backward plan will put on the device, worked out on the CPU
 * from a problem, the choices and what the device is. Pure, no GPU objects.
 *
 * @module
 */

import {
  DELTA_LANES,
  deltaKernel,
} from "../../../kernels/attention/backward/delta.ts";
import {
  keyValueGradientKernel,
  keyValueGradientRows,
  tileKeys,
} from "../../../kernels/attention/backward/key_value_gradient.ts";
import {
  queryGradientKernel,
  queryGradientRows,
} from "../../../kernels/attention/backward/query_gradient.ts";
import {
  type BackwardSpec,
  KEY_GRADIENTS,
  OTHER_BACKWARD_BUFFERS,
  ROW_SIZES,
} from "../../../kernels/attention/backward/spec.ts";
import {
  sumKernel,
  type SumSpec,
} from "../../../kernels/attention/backward/sum.ts";
import { tileRows } from "../../../kernels/attention/score_tile.ts";
import { type RowFormat, rowStride } from "../../../kernels/fragments/rows.ts";
import type { KernelSource } from "../../core/kernel.ts";
import { foldGrid } from "../../gpu/program/dispatch.ts";
import type { Dispatch, ProgramParts } from "../../gpu/mod.ts";
import { type CapturedFloats, emitMods } from "../../mods/mod.ts";
import {
  type CaptureParts,
  captureParts,
  placedMods,
} from "../attention/captures.ts";
import {
  attentionSpec,
  dispatchOf,
  strideUniforms,
  uniformsOf,
} from "../attention/parts.ts";
import {
  type AttentionProblem,
  packedRows,
  vecsOf,
} from "../attention/problem.ts";
import {
  type GradientRows,
  rowStrides,
  tensorElements,
} from "../attention/rows.ts";
import type { TileSize } from "../attention/variants/algorithm.ts";
import {
  selectionOf,
  type SelectionScratch,
  selectionScratch,
} from "../attention/variants/selection.ts";
import type { PlanDevice } from "../attention/variants/variant.ts";
import { flatWork, type Work } from "../attention/work/key_ranges.ts";
import type { TileCounts } from "../attention/work/key_runs.ts";
import type { Partition } from "../attention/work/partition.ts";
import {
  buildSchedule,
  type KernelWork,
  type Schedule,
} from "../attention/work/schedule.ts";
import { type BackwardChoices, checkBackwardChoices } from "./choices.ts";
import type { BackwardExplanation } from "./explanation.ts";
import { aliasesOf, capturePasses } from "./capture_pass.ts";
import { gradientSpans } from "./gradient_spans.ts";
import { gradientPlaces, type GradientStrides } from "./gradient_strides.ts";
import { RowRuns } from "./row_runs.ts";
import {
  type BackwardCandidate,
  type BackwardTiles,
  keyLoops,
  keyTile,
  queryLoops,
  queryTile,
} from "./tiles.ts";

/** A problem's program, and what to say of it. */
export interface BackwardParts {
  /** What the program is made of. */
  readonly parts: ProgramParts;
  /** Captured tensors, by the name of their resource. */
  readonly captures: CaptureParts["captures"];
  /** For people. */
  readonly explanation: BackwardExplanation;
}

/** A problem, and whether a gradient flows into the log-sum-exp. */
export interface BackwardProblem {
  /** The problem of forward. */
  readonly problem: AttentionProblem;
  /** Whether a gradient flows into the log-sum-exp. */
  readonly lseGradient: boolean;
  /** Captured floats of which gradients are wanted; none by default. */
  readonly captureGradients?: readonly CapturedFloats[] | undefined;
  /** Where gradients lie; side by side by default. */
  readonly gradientStrides?: GradientStrides | undefined;
}

/** One of the two passes: dQ, or dK and dV. */
interface Pass {
  /** What its schedule is called among the program's words. */
  readonly schedule: string;
  /** What its partial sums are called among the program's scratch. */
  readonly sums: string;
  /** What the lists that the device writes are called there. */
  readonly selection: string;
  readonly work: KernelWork;
  readonly ranges: Work;
  readonly tile: TileSize;
  readonly kernel: (partial: boolean) => KernelSource;
  readonly sum: SumSpec;
  /** vec4s of a partial sum's row. */
  readonly rowVecs: number;
  readonly write: (work: KernelWork) => Schedule;
}

/** What a pass puts on the device. */
interface WrittenPass {
  readonly dispatches: readonly Dispatch[];
  readonly words: Uint32Array;
  readonly selected: SelectionScratch;
  readonly sumBytes: number;
  readonly tileCounts: TileCounts;
  readonly partition: string;
}

/**
 * Works out the program of a problem.
 *
 * @throws {UnsupportedError} if no tile fits the device
 */
export function backwardParts(
  { problem, lseGradient, captureGradients = [], gradientStrides }:
    BackwardProblem,
  device: PlanDevice,
  choices: BackwardChoices = {},
): BackwardParts {
  const { tiles, splits } = checkBackwardChoices(choices, device);
  const { mods, placement } = placedMods(problem, device, {
    emit: (options) =>
      emitMods({ ...options, derivative: true, captureGradients }),
    others: OTHER_BACKWARD_BUFFERS,
  });
  const places = gradientPlaces(problem, gradientStrides);
  const tensors = captureParts(mods?.tensors ?? [], placement);
  const spec: BackwardSpec = {
    ...attentionSpec(problem, mods),
    mods,
    partial: false,
    gradientsApart: places.apart,
  };
  const { formats } = places;
  const context = { problem, spec, formats, device, tiles, splits };
  const captures = mods?.data ?? new Uint32Array(0);
  const before = Uint32Array.from([
    ...captures,
    ...ROW_SIZES.pack({
      head_vecs: vecsOf(problem.headDim),
      value_vecs: vecsOf(problem.valueHeadDim),
    }),
  ]);
  const passes = [
    queryPass({ ...context, before }),
    keyPass({ ...context, before }),
  ];
  const values = {
    ...uniformsOf(problem, { ...attentionSpec(problem, undefined), ...spec }, {
      sequencesAt: 0,
    }),
    ...places.uniforms,
    row_sizes_at: captures.length,
    gradients_at: before.length,
  };
  const delta = deltaDispatch(problem, spec, { lseGradient, device });
  const written = passes.map((pass) =>
    writePass(pass, values, { problem, device })
  );
  const gradients = capturePasses({
    problem,
    spec,
    // Nothing is captured where there are no mods.
    mods: mods ?? emitMods({ scoreMods: [], maskMods: [], captureGradients }),
    captured: captureGradients,
    device,
    tiles,
    candidate: candidateOf(
      problem,
      Math.max(0, ...problem.sequences.map((own) => packedRows(problem, own))),
    ),
    values,
    before,
  });
  const rows = tensorElements(problem).lse;
  const scratch: Record<string, number> = {
    row_statistics: Math.max(1, rows) * 8,
    ...Object.fromEntries(
      passes.map(({ sums }, i) => [sums, written[i].sumBytes] as const)
        .filter(([, bytes]) => bytes > 0),
    ),
    ...Object.assign({}, ...written.map(({ selected }) => selected.scratch)),
    ...gradients.scratch,
    ...tensors.scratch,
  };
  const dispatches = [
    delta,
    ...written.flatMap((pass) => pass.dispatches),
    ...gradients.dispatches,
  ].filter(({ grid }) => grid.every((count) => count > 0));
  return {
    parts: {
      dispatches,
      words: {
        ...Object.fromEntries(
          passes.map(({ schedule }, i) => [schedule, written[i].words]),
        ),
        ...gradients.words,
      },
      scratch,
      copies: [
        ...tensors.copies,
        ...written.flatMap(({ selected }) => selected.copies),
        ...gradients.copies,
      ],
    },
    captures: tensors.captures,
    explanation: {
      dispatches: dispatches.map(({ source, grid }) => ({
        kernel: source.label,
        grid,
      })),
      kernels: {
        query: explained(passes[0], written[0]),
        keyValue: explained(passes[1], written[1]),
      },
      scratchBytes: Object.values(scratch).reduce((sum, n) => sum + n, 0),
    },
  };
}

interface PassContext {
  readonly problem: AttentionProblem;
  readonly spec: BackwardSpec;
  readonly formats: GradientRows<RowFormat>;
  readonly device: PlanDevice;
  readonly tiles: BackwardTiles;
  readonly splits: number;
  /** Words that both schedules begin with: those of mods, and sizes of rows. */
  readonly before: Uint32Array;
}

function candidateOf(
  problem: AttentionProblem,
  length: number,
): BackwardCandidate {
  return {
    length,
    headVecs: vecsOf(problem.headDim),
    valueVecs: vecsOf(problem.valueHeadDim),
    scoreMods: problem.scoreMods.length > 0,
  };
}

/** Lanes along query rows: forward's work. */
function queryPass(
  { problem, spec, formats: { query }, device, tiles, splits, before }:
    PassContext,
): Pass {
  const ranges = flatWork(problem);
  const candidate = candidateOf(
    problem,
    Math.max(0, ...ranges.own.map(({ rows }) => rows)),
  );
  const tile = queryTile(candidate, tiles, device);
  const { lanes } = tile;
  const formats = { queryGradientFormat: query };
  const rowVecs = candidate.headVecs;
  return {
    schedule: "query_schedule",
    sums: "query_sums",
    selection: "query_selection",
    ranges,
    tile: { rows: tileRows(tile), keys: tile.keysPerStep },
    rowVecs,
    kernel: (partial) =>
      queryGradientKernel({ ...spec, ...formats, partial, tile }),
    sum: {
      gradients: [queryGradientRows({ ...spec, ...formats })],
      rows: "query",
      lanes,
    },
    work: {
      ranges: ranges.own,
      rows: tileRows(tile),
      loops: queryLoops(tile, candidate),
      partitions: [partitionOf(splits)],
      model: NO_MODEL,
      maxLoopIterations: device.maxLoopIterations,
    },
    write: (work) =>
      buildSchedule(
        problem,
        ranges,
        [work],
        { lanes, maxLoopIterations: device.maxLoopIterations },
        { stateElements: 4 * rowVecs, before },
      ),
  };
}

/** Lanes along keys: the roles swapped. */
function keyPass(
  { problem, spec, formats: { key, value }, device, tiles, splits, before }:
    PassContext,
): Pass {
  const { sequences } = problem;
  const { spans } = gradientSpans(problem);
  const flat = flatWork(problem);
  const own = sequences.map((sequence, record) => ({
    record,
    rows: spans[record].count,
    from: 0,
    end: packedRows(problem, sequence),
    prefixes: [],
  })).filter(({ rows }) => rows > 0);
  const ranges = { ...flat, own };
  const candidate = candidateOf(
    problem,
    Math.max(0, ...own.map(({ rows }) => rows)),
  );
  const tile = keyTile(candidate, tiles, device);
  const formats = {
    keyGradientFormat: key,
    valueGradientFormat: value,
  };
  const lanes = tiles.lanes;
  const rowVecs = candidate.headVecs + candidate.valueVecs;
  const starts = spans.flatMap((span) => KEY_GRADIENTS.pack(span));
  return {
    schedule: "key_schedule",
    sums: "key_sums",
    selection: "key_selection",
    ranges,
    tile: { rows: tile.rowsPerStep, keys: tileKeys(tile) },
    rowVecs,
    kernel: (partial) =>
      keyValueGradientKernel({ ...spec, ...formats, partial, tile }),
    sum: {
      gradients: keyValueGradientRows({ ...spec, ...formats }),
      rows: "key",
      lanes,
    },
    work: {
      ranges: own,
      rows: tileKeys(tile),
      loops: keyLoops(tile, candidate),
      partitions: [partitionOf(splits)],
      model: NO_MODEL,
      maxLoopIterations: device.maxLoopIterations,
    },
    write: (work) =>
      buildSchedule(
        problem,
        ranges,
        [work],
        { lanes, maxLoopIterations: device.maxLoopIterations },
        {
          runs: new RowRuns(problem),
          stateElements: 4 * rowVecs,
          // Else two gradients and the lists are one buffer too many.
          partial: problem.selection !== undefined,
          before: Uint32Array.from([...before, ...starts]),
        },
      ),
  };
}

/** There is never a choice of partitions. */
const NO_MODEL = { tileSteps: 0, dispatchSteps: 0, workers: 1 };

function partitionOf(splits: number): Partition {
  return splits === 1
    ? { kind: "splits", text: "unsplit", of: () => undefined }
    : {
      kind: "splits",
      text: `${splits} a sequence`,
      of: () => ({ kind: "count", count: splits }),
    };
}

function writePass(
  pass: Pass,
  values: Readonly<Record<string, number>>,
  { problem, device }: {
    readonly problem: AttentionProblem;
    readonly device: PlanDevice;
  },
): WrittenPass {
  const schedule = pass.write(pass.work);
  const [{ tilesAt, tileCount, partial, partition }] = schedule.kernels;
  const selection = selectionOf(problem, schedule, 0, pass.tile);
  const widest = device.limits.maxComputeWorkgroupsPerDimension;
  const own = {
    ...values,
    sequences_at: schedule.sequencesAt,
    row_vecs: pass.rowVecs,
    runs_per_head: schedule.runsPerHead ? 1 : 0,
    ...selection.uniforms,
  };
  const names = {
    schedule: pass.schedule,
    sums: pass.sums,
    selection: pass.selection,
  };
  const dispatch = (
    source: KernelSource,
    tiles: { readonly tilesAt: number; readonly tileCount: number },
  ): Dispatch => ({
    ...dispatchOf(
      {
        source,
        tile: pass.tile,
        tilesAt: tiles.tilesAt,
        groups: tiles.tileCount,
        heads: problem.kvHeads,
        uniforms: {},
      },
      own,
      widest,
    ),
    aliases: aliasesOf(source, names),
  });
  const narrowing = selection.dispatches.map((one) => ({
    ...dispatchOf(one, own, widest),
    aliases: aliasesOf(one.source, names),
  }));
  const dispatches = [
    { source: pass.kernel(partial), tilesAt, tileCount },
    ...schedule.merges.map((merge) => ({
      source: sumKernel(pass.sum),
      ...merge,
    })),
  ].filter(({ tileCount }) => tileCount > 0)
    .map(({ source, ...tiles }) => dispatch(source, tiles));
  return {
    dispatches: [...narrowing, ...dispatches],
    words: schedule.words,
    selected: selectionScratch(problem, schedule, pass.selection),
    // A sum of nothing but empty rows still binds its parts.
    sumBytes: partial ? Math.max(1, schedule.stateRows) * pass.rowVecs * 16 : 0,
    tileCounts: schedule.tiles,
    partition,
  };
}

function deltaDispatch(
  problem: AttentionProblem,
  { outputFormat }: BackwardSpec,
  { lseGradient, device }: {
    readonly lseGradient: boolean;
    readonly device: PlanDevice;
  },
): Dispatch {
  const rows = tensorElements(problem).lse;
  const [x, y, z] = foldGrid(Math.ceil(rows / DELTA_LANES), device.limits);
  const strided = problem.strides?.output !== undefined;
  return {
    source: deltaKernel({ outputFormat, lseGradient, strided }),
    uniforms: {
      ...(strided && stridedRows(problem, outputFormat)),
      rows,
      value_dim: problem.valueHeadDim,
      value_vecs: vecsOf(problem.valueHeadDim),
      head_vecs: vecsOf(problem.headDim),
      output_row_stride: rowStride(outputFormat, problem.valueHeadDim),
      lse_token_stride: 0,
      lse_head_stride: 0,
      grid_width: x,
    },
    grid: [x, 1, y * z],
  };
}

/** Where rows of the output lie, by the order of those of the log-sum-exp. */
function stridedRows(
  problem: AttentionProblem,
  format: RowFormat,
): Record<string, number> {
  const { layout, queryHeads, queryTokens, sequences, strides } = problem;
  const own = strideUniforms("output", format, rowStrides(problem).output);
  // Ragged sequences follow each other, as one.
  const tokens = queryTokens / (strides?.dense ? sequences.length : 1);
  const { output_token_stride: token, output_head_stride: head } = own;
  return layout === "bshd"
    ? {
      ...own,
      inner_rows: queryHeads,
      middle_rows: tokens,
      output_middle_stride: token,
      output_inner_stride: head,
    }
    : {
      ...own,
      inner_rows: tokens,
      middle_rows: queryHeads,
      output_middle_stride: head,
      output_inner_stride: token,
    };
}

function explained(
  { tile }: Pass,
  { tileCounts, partition }: WrittenPass,
): BackwardExplanation["kernels"]["query"] {
  return { tile, splits: partition, tileCounts };
}
