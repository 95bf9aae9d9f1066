/**
 * A launch: everything that a plan will put on the device, worked out on the
 * CPU from a problem, the choices and what the device is. Pure, no GPU objects.
 *
 * @module
 */

import { decodeKernel, decodeStep } from "../../kernels/attention/decode.ts";
import { forwardKernel } from "../../kernels/attention/forward.ts";
import { mergeKernel } from "../../kernels/attention/merge.ts";
import { tileRows } from "../../kernels/attention/score_tile.ts";
import type { AttentionSpec } from "../../kernels/attention/spec.ts";
import { standardKernels } from "../../kernels/attention/standard.ts";
import { rowFormat, rowStride } from "../../kernels/fragments/rows.ts";
import { PARAMS } from "../../kernels/fragments/schedule.ts";
import { packUniforms } from "../../kernels/wgsl.ts";
import type { KernelSource } from "../core/kernel.ts";
import type { Grid } from "../gpu/mod.ts";
import { emitMods, type EmittedMods } from "../mods/mod.ts";
import { chooseSplits, type PlanChoices } from "./choices.ts";
import { type AttentionProblem, packedRows, vecsOf } from "./problem.ts";
import {
  buildSchedule,
  type Schedule,
  type Share,
  type SharePass,
} from "./schedule.ts";
import {
  decodeTile,
  forwardTile,
  type TileProfile,
  tileProfile,
} from "./tiles.ts";

/** What a launch needs to know of a device; a `Gpu` is one. */
export interface LaunchDevice {
  /** Whether it computes on the CPU. */
  readonly software: boolean;
  /** Its limits. */
  readonly limits: {
    readonly maxComputeWorkgroupStorageSize: number;
    readonly maxComputeWorkgroupsPerDimension: number;
  };
}

/** One dispatch. */
export interface LaunchDispatch {
  /** The kernel. */
  readonly source: KernelSource;
  /** The bytes of its uniforms. */
  readonly uniforms: ArrayBuffer;
  /** Workgroups. */
  readonly grid: Grid;
}

/** Everything that a plan will put on the device. */
export interface Launch {
  /** The dispatches, in order. */
  readonly dispatches: readonly LaunchDispatch[];
  /** What goes into the `schedule` binding, and what was skipped. */
  readonly schedule: Schedule;
  /** What goes into the `captures` binding; may be empty. */
  readonly captures: Uint32Array;
  /** Bytes of scratch. */
  readonly scratchBytes: number;
  /** Query rows x keys of the tiles of each kernel. */
  readonly tiles: Readonly<Record<string, string>>;
  /** How keys are split, in words. */
  readonly splits: string;
}

/** A dispatch before its schedule is there. */
interface Pass {
  readonly source: KernelSource;
  readonly itemsAt: number;
  readonly itemCount: number;
  /** Where softmax statistics begin, in vec4s of the states. */
  readonly statsAt: number;
  /** Keys of a row of the standard baseline's scratch. */
  readonly scratchKeys: number;
}

/** An algorithm's answer for a problem. */
interface Build {
  readonly shares: readonly Share[];
  readonly passes: (schedule: Schedule) => readonly Pass[];
  readonly scratchBytes: (schedule: Schedule) => number;
  readonly tiles: Readonly<Record<string, string>>;
  readonly splits: string;
}

/**
 * Works out a launch.
 *
 * @throws {UnsupportedError} if no tile fits the device
 */
export function planLaunch(
  problem: AttentionProblem,
  device: LaunchDevice,
  choices: PlanChoices = {},
): Launch {
  const { scoreMods, maskMods } = problem;
  const mods = scoreMods.length + maskMods.length > 0
    ? emitMods({ scoreMods, maskMods })
    : undefined;
  const spec = attentionSpec(problem, mods);
  const profile = choices.tiles ?? tileProfile(device);
  const { maxComputeWorkgroupStorageSize: workgroupBytes } = device.limits;
  const build = choices.algorithm === "standard"
    ? standardBuild(problem, spec, profile, workgroupBytes)
    : fusedBuild(problem, spec, profile, workgroupBytes, choices);
  const schedule = buildSchedule(problem, build.shares);
  const widest = device.limits.maxComputeWorkgroupsPerDimension;
  return {
    dispatches: build.passes(schedule).map((pass) => {
      // Items go along x and fold into z: y is the kv head's.
      const x = Math.min(pass.itemCount, widest);
      const z = Math.ceil(pass.itemCount / x);
      return {
        source: pass.source,
        uniforms: packParams(problem, spec, schedule, pass, x),
        grid: [x, problem.kvHeads, z],
      };
    }),
    schedule,
    captures: mods?.data ?? new Uint32Array(0),
    scratchBytes: build.scratchBytes(schedule),
    tiles: build.tiles,
    splits: build.splits,
  };
}

function attentionSpec(
  problem: AttentionProblem,
  mods: EmittedMods | undefined,
): AttentionSpec {
  const { dtype, headDim, valueHeadDim, source, lse } = problem;
  const segments = source.kind === "paged" ? source.segments : 0;
  // Arenas hold keys and values in one buffer, hence in one format.
  const arena = segments > 0
    ? rowFormat(dtype, headDim, valueHeadDim)
    : undefined;
  const keyFormat = arena ?? rowFormat(dtype, headDim);
  const valueFormat = arena ?? rowFormat(dtype, valueHeadDim);
  return {
    source: source.kind,
    segments,
    shift: source.kind === "paged" &&
      Number.isInteger(Math.log2(source.blockSize)),
    queryFormat: keyFormat,
    keyFormat,
    valueFormat,
    outputFormat: valueFormat,
    mods,
    lse,
    partial: false,
  };
}

/** Forward for sequences with many query rows, decode for those with few. */
function fusedBuild(
  problem: AttentionProblem,
  spec: AttentionSpec,
  profile: TileProfile,
  workgroupBytes: number,
  choices: PlanChoices,
): Build {
  const { kvHeads } = problem;
  const valueVecs = vecsOf(problem.valueHeadDim);
  const decodes = (rows: number) => rows <= profile.decodeRows;
  const rowsOf = problem.sequences.map((s) => packedRows(problem, s));
  const forward = forwardTile(profile, {
    rows: largest(rowsOf.filter((rows) => !decodes(rows))),
    valueVecs,
    scoreMods: problem.scoreMods.length > 0,
    workgroupBytes,
  });
  const decode = decodeTile(profile, {
    rows: largest(rowsOf.filter(decodes)),
    valueVecs,
    workgroupBytes,
  });
  const splits = chooseSplits(problem, profile, choices.splits);
  const shares: Share[] = [
    {
      takes: (s) => !decodes(packedRows(problem, s)),
      rows: tileRows(forward),
      step: forward.keysPerStep,
      splitting: splits.of,
    },
    {
      takes: (s) => decodes(packedRows(problem, s)),
      rows: decode.rows,
      step: decodeStep(decode),
      splitting: splits.of,
    },
  ];
  const kernels = [
    (partial: boolean) => forwardKernel({ ...spec, partial, tile: forward }),
    (partial: boolean) => decodeKernel({ ...spec, partial, tile: decode }),
  ];
  // The shares follow one another, so they use one scratch.
  const stateRows = (pass: SharePass, i: number) =>
    pass.slotCount * kvHeads * shares[i].rows;
  return {
    shares,
    passes: (schedule) =>
      schedule.passes.flatMap((pass, i) => {
        if (pass.itemCount === 0) return [];
        const states = {
          statsAt: stateRows(pass, i) * valueVecs,
          scratchKeys: 0,
        };
        const run = { ...pass, ...states, source: kernels[i](pass.partial) };
        if (!pass.partial) return [run];
        const merge = mergeKernel({
          outputFormat: spec.outputFormat,
          lse: spec.lse,
          rows: shares[i].rows,
          lanes: profile.decodeLanes,
        });
        return [run, {
          ...states,
          source: merge,
          itemsAt: pass.mergeAt,
          itemCount: pass.mergeCount,
        }];
      }),
    scratchBytes: ({ passes }) =>
      Math.max(
        ...passes.map((pass, i) => stateRows(pass, i) * (valueVecs + 1) * 16),
      ),
    tiles: {
      forward: `${tileRows(forward)} rows x ${forward.keysPerStep} keys`,
      decode: `${decode.rows} rows x ${decodeStep(decode)} keys`,
    },
    splits: splits.text,
  };
}

/** The 3-dispatch baseline. */
function standardBuild(
  problem: AttentionProblem,
  spec: AttentionSpec,
  profile: TileProfile,
  workgroupBytes: number,
): Build {
  const tile = forwardTile(profile, {
    rows: largest(problem.sequences.map((s) => packedRows(problem, s))),
    valueVecs: 1,
    scoreMods: problem.scoreMods.length > 0,
    workgroupBytes,
  });
  const { scores, softmax, values } = standardKernels({ ...spec, tile });
  const scratchKeys = largest(problem.sequences.map((s) => s.keyCount));
  return {
    shares: [{
      takes: () => true,
      rows: tileRows(tile),
      step: tile.keysPerStep,
      splitting: () => undefined,
    }],
    passes: ({ passes: [pass] }) =>
      pass.itemCount === 0 ? [] : [scores, softmax, values].map((source) => ({
        ...pass,
        source,
        statsAt: 0,
        scratchKeys,
      })),
    scratchBytes: ({ passes: [pass] }) =>
      4 * pass.itemCount * problem.kvHeads * scratchKeys * tileRows(tile),
    tiles: { standard: `${tileRows(tile)} rows x ${tile.keysPerStep} keys` },
    splits: "none",
  };
}

function packParams(
  problem: AttentionProblem,
  spec: AttentionSpec,
  schedule: Schedule,
  pass: Pass,
  gridWidth: number,
): ArrayBuffer {
  const { source, headDim, valueHeadDim, queryHeads, kvHeads } = problem;
  const paged = source.kind === "paged" ? source : undefined;
  const headStride = rowStride(spec.keyFormat, headDim);
  return packUniforms(PARAMS, {
    query_heads: queryHeads,
    kv_heads: kvHeads,
    group: queryHeads / kvHeads,
    head_dim: headDim,
    head_vecs: vecsOf(headDim),
    head_stride: headStride,
    value_dim: valueHeadDim,
    value_vecs: vecsOf(valueHeadDim),
    value_stride: rowStride(spec.valueFormat, valueHeadDim),
    value_at: paged
      ? paged.segmentBlocks * paged.blockSize * kvHeads * headStride
      : 0,
    block_size: paged?.blockSize ?? 1,
    block_shift: Math.floor(Math.log2(paged?.blockSize ?? 1)),
    segment_blocks: paged?.segmentBlocks ?? 1,
    scale: problem.scale,
    sequences_at: schedule.sequencesAt,
    items_at: pass.itemsAt,
    item_count: pass.itemCount,
    grid_width: gridWidth,
    runs_per_head: schedule.runsPerHead ? 1 : 0,
    stats_at: pass.statsAt,
    scratch_keys: pass.scratchKeys,
  });
}

/** The largest of possibly very many numbers, at least 1. */
function largest(numbers: readonly number[]): number {
  return numbers.reduce((most, number) => Math.max(most, number), 1);
}
