// deno-lint-ignore-file camelcase -- uniforms and bindings have the names of WGSL
/**
 * The passes of gradients with respect to captured floats: dQ's work once more,
 * by workgroups with tables of their own, then the sum over tables.
 *
 * @module
 */

import {
  captureGradientKernel,
  captureTileBytes,
  clearTablesKernel,
  sumTablesKernel,
  TABLE_LANES,
} from "../../../kernels/attention/backward/capture_gradient.ts";
import type { BackwardSpec } from "../../../kernels/attention/backward/spec.ts";
import {
  type RegisterTile,
  tileRows,
} from "../../../kernels/attention/score_tile.ts";
import { WORK_TILE } from "../../../kernels/fragments/schedule.ts";
import type { KernelSource } from "../../core/kernel.ts";
import { checkType } from "../../core/check.ts";
import { foldGrid } from "../../gpu/program/dispatch.ts";
import { type Dispatch, GpuTensor, type ProgramCopy } from "../../gpu/mod.ts";
import { capturedShape } from "../../mods/derivative/capture_derivative.ts";
import {
  Capture,
  type CapturedFloats,
  type EmittedMods,
} from "../../mods/mod.ts";
import { dispatchOf, tableCopies } from "../attention/parts.ts";
import type { AttentionProblem } from "../attention/problem.ts";
import { checkFits } from "../attention/variants/tiles.ts";
import {
  selectionOf,
  selectionScratch,
} from "../attention/variants/selection.ts";
import type { PlanDevice } from "../attention/variants/variant.ts";
import { flatWork } from "../attention/work/key_ranges.ts";
import type { LoopCounts } from "../attention/work/loop_limit.ts";
import { buildSchedule } from "../attention/work/schedule.ts";
import { aliasesOf } from "./passes/pass.ts";
import {
  type BackwardCandidate,
  type BackwardTiles,
  queryTile,
} from "./tiles.ts";

/** Bytes that the tables of one gradient take together, unless one is more. */
const TABLE_BYTES = 2 ** 25;

/** Tables of one gradient, at most: what an invocation sums up. */
const MOST_TABLES = 2 ** 14;

/** What the passes are made of. */
export interface CapturePassContext {
  readonly problem: AttentionProblem;
  readonly spec: BackwardSpec;
  readonly mods: EmittedMods;
  readonly captured: readonly CapturedFloats[];
  readonly device: PlanDevice;
  readonly tiles: BackwardTiles;
  readonly candidate: BackwardCandidate;
  /** Words that the schedule begins with: those of mods, and sizes of rows. */
  readonly before: Uint32Array;
  /** Uniforms that are the same for all dispatches. */
  readonly values: Readonly<Record<string, number>>;
}

/** What the passes put on the device. */
export interface CapturePasses {
  readonly dispatches: readonly Dispatch[];
  readonly words: Readonly<Record<string, Uint32Array>>;
  readonly scratch: Readonly<Record<string, number>>;
  readonly copies: readonly ProgramCopy[];
}

/** The elements of each gradient. */
export function captureElements(captured: CapturedFloats): number {
  return capturedShape(captured).reduce((product, size) => product * size, 1);
}

/**
 * Works out the passes. How many tables there are depends on the problem and
 * the tiles alone.
 *
 * @throws {UnsupportedError} if no tile fits the device
 */
export function capturePasses(context: CapturePassContext): CapturePasses {
  const { problem, mods, captured, device, tiles, candidate } = context;
  const { before, values } = context;
  if (captured.length === 0) {
    return { dispatches: [], words: {}, scratch: {}, copies: [] };
  }
  const tile = captureTile(candidate, tiles, device);
  const ranges = flatWork(problem);
  const { maxLoopIterations } = device;
  const schedule = buildSchedule(
    problem,
    ranges,
    [{
      ranges: ranges.own,
      rows: tileRows(tile),
      loops: captureLoops(tile, candidate, Math.max(...mods.captureTerms)),
      partitions: [{ kind: "splits", text: "unsplit", of: () => undefined }],
      model: { tileSteps: 0, dispatchSteps: 0, workers: 1 },
      maxLoopIterations,
    }],
    // Parts of a row are added up by element, not merged.
    { lanes: tile.lanes, maxLoopIterations: Infinity },
    { stateElements: 4, before },
  );
  const [{ tilesAt, tileCount }] = schedule.kernels;
  const size = { rows: tileRows(tile), keys: tile.keysPerStep };
  const selection = selectionOf(problem, schedule, 0, size);
  const selected = selectionScratch(problem, schedule, "capture_selection");
  const own = {
    ...values,
    sequences_at: schedule.sequencesAt,
    runs_per_head: schedule.runsPerHead ? 1 : 0,
    ...selection.uniforms,
  };
  const names = {
    schedule: "capture_schedule",
    selection: "capture_selection",
  };
  const widest = device.limits.maxComputeWorkgroupsPerDimension;
  const narrowing = selection.dispatches.map((one) => ({
    ...dispatchOf(one, own, widest),
    aliases: aliasesOf(one.source, names),
  }));
  const scratch: Record<string, number> = { ...selected.scratch };
  const dispatches = captured.flatMap((one, g): Dispatch[] => {
    const elements = captureElements(one);
    const terms = mods.captureTerms[g];
    const { kvHeads } = problem;
    const room = Math.floor(TABLE_BYTES / (4 * elements * kvHeads));
    const together = terms === 0 ? 0 : Math.max(
      Math.min(1, tileCount),
      Math.min(room, Math.floor(MOST_TABLES / kvHeads), tileCount),
    );
    const tableCount = together * kvHeads;
    const name = `capture_tables_${g}`;
    scratch[name] = 4 * Math.max(1, tableCount * elements);
    const aliases = {
      ...names,
      tables: name,
      capture_gradient: `capture_gradient_${g}`,
    };
    const spec = { ...context.spec, tile, capture: g, terms };
    const rounds = together === 0 ? 0 : Math.ceil(tileCount / together);
    const source = rounds > 0 ? captureGradientKernel(spec) : undefined;
    return [
      overElements(clearTablesKernel(), tableCount * elements, {
        words: tableCount * elements,
      }, device),
      ...Array.from({ length: rounds }, (_, round) =>
        dispatchOf(
          {
            source: source!,
            tile: size,
            tilesAt: tilesAt + round * together * WORK_TILE.words,
            groups: Math.min(together, tileCount - round * together),
            heads: kvHeads,
            uniforms: { elements },
          },
          own,
          widest,
        )),
      overElements(sumTablesKernel(), elements, {
        elements,
        table_count: tableCount,
      }, device),
    ].map((dispatch) => ({
      ...dispatch,
      aliases: aliasesOf(dispatch.source, aliases),
    }));
  });
  return {
    dispatches: [...narrowing, ...dispatches],
    words: { capture_schedule: schedule.words },
    scratch,
    copies: [
      ...selected.copies,
      ...tableCopies(schedule, "capture_schedule"),
    ],
  };
}

/** A kernel with one invocation for each of `count` words. */
function overElements(
  source: KernelSource,
  count: number,
  uniforms: Readonly<Record<string, number>>,
  { limits }: PlanDevice,
): Dispatch {
  const [x, y, z] = foldGrid(Math.ceil(count / TABLE_LANES), limits);
  return {
    source,
    uniforms: { ...uniforms, grid_width: x },
    grid: [x, 1, y * z],
  };
}

/** dQ's tile, or as many rows of it as workgroup memory has room for. */
function captureTile(
  candidate: BackwardCandidate,
  tiles: BackwardTiles,
  device: PlanDevice,
): RegisterTile {
  const room = device.limits.maxComputeWorkgroupStorageSize;
  let { lanes, rowsPerLane, keysPerStep } = queryTile(candidate, tiles, device);
  const tile = () => ({ lanes, rowsPerLane, keysPerStep });
  while (rowsPerLane > 1 && captureTileBytes(tile()) > room) rowsPerLane /= 2;
  while (lanes > 1 && captureTileBytes(tile()) > room) lanes /= 2;
  checkFits("capture gradient", captureTileBytes(tile()), room);
  return tile();
}

/** Iterations of the kernel's loops. */
function captureLoops(
  tile: RegisterTile,
  { headVecs, valueVecs }: BackwardCandidate,
  terms: number,
): LoopCounts {
  const step = tile.keysPerStep;
  const scan = step + tileRows(tile) * step + 4;
  // Its mods, what it drops, and each term's contributions.
  const fullStep = headVecs + valueVecs + 2 * step + terms * scan + 12;
  return { step, fullStep, maskedStep: fullStep + step + 2, tile: 8 };
}

/**
 * Checks what gradients are asked for of; that mods capture it is checked where
 * they are read.
 *
 * @throws {TypeError} for another form, and for what is named twice
 */
export function checkCaptured(captured: readonly CapturedFloats[]): void {
  checkType(
    Array.isArray(captured),
    "captureGradients",
    "must be a list of what score mods capture",
    captured,
  );
  captured.forEach((one, g) => {
    checkType(
      one instanceof Capture || one instanceof Float32Array ||
        one instanceof GpuTensor,
      `captureGradients[${g}]`,
      "must be a Capture, a Float32Array or a GpuTensor that a score mod was made of",
      one,
    );
    checkType(
      captured.indexOf(one) === g,
      `captureGradients[${g}]`,
      "must not be named twice",
      one,
    );
  });
}
