/**
 * A launch: everything that a plan will put on the device, worked out on the
 * CPU from a problem, the choices and what the device is. Pure, no GPU objects.
 *
 * @module
 */

import type { AttentionSpec } from "../../../kernels/attention/spec.ts";
import { rowFormat, rowStride } from "../../../kernels/fragments/rows.ts";
import { PARAMS } from "../../../kernels/fragments/schedule.ts";
import { packUniforms } from "../../core/uniforms.ts";
import type { KernelSource } from "../../core/kernel.ts";
import type { Grid } from "../../gpu/mod.ts";
import { emitMods, type EmittedMods } from "../../mods/mod.ts";
import type { LaunchDevice, Pass } from "./variants/build.ts";
import { checkChoices, type PlanChoices } from "./options/choices.ts";
import type { DealingCost } from "./work/cost.ts";
import { fusedBuild } from "./variants/fused_build.ts";
import { type AttentionProblem, bufferTokens, vecsOf } from "./problem.ts";
import {
  buildSchedule,
  type Schedule,
  type SharePass,
} from "./work/schedule.ts";
import { standardBuild } from "./variants/standard_build.ts";

/** One dispatch. */
export interface LaunchDispatch {
  /** The kernel. */
  readonly source: KernelSource;
  /** The bytes of its uniforms. */
  readonly uniforms: ArrayBuffer;
  /** Workgroups. */
  readonly grid: Grid;
}

/** A stretch of keys that several sequences read together. */
export interface SharedKeys {
  /** First key. */
  readonly from: number;
  /** One past the last key. */
  readonly end: number;
  /** Their query rows, packed, of all of them. */
  readonly rows: number;
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
  /** How keys are split, in words, for each share of the work. */
  readonly splits: Readonly<Record<string, string>>;
  /** What the cost model said of each share, where it was asked. */
  readonly costs: Readonly<Record<string, readonly DealingCost[]>>;
  /** Stretches of keys that are read once for several sequences. */
  readonly sharedKeys: readonly SharedKeys[];
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
  const checked = checkChoices(choices, device);
  const build = checked.algorithm === "standard"
    ? standardBuild(problem, spec, checked, device)
    : fusedBuild(problem, spec, checked, device);
  const schedule = buildSchedule(problem, build.units, build.shares);
  const widest = device.limits.maxComputeWorkgroupsPerDimension;
  const byShare = <T>(value: (pass: SharePass) => T, keep: (v: T) => boolean) =>
    Object.fromEntries(
      build.shares.map(({ name }, i) =>
        [name, value(schedule.passes[i])] as const
      ).filter(([, v]) => keep(v)),
    );
  return {
    dispatches: build.passes(schedule).map((pass) => {
      // Items go along x and fold into z: y is the kv head's.
      const x = Math.min(pass.groups, widest);
      const z = Math.ceil(pass.groups / x);
      return {
        source: pass.source,
        uniforms: packParams(problem, spec, schedule, pass, x),
        grid: [x, pass.heads, z],
      };
    }),
    schedule,
    captures: mods?.data ?? new Uint32Array(0),
    scratchBytes: build.scratchBytes(schedule),
    tiles: build.tiles,
    splits: byShare(({ dealing }) => dealing, () => true),
    costs: byShare(({ costs }) => costs, ({ length }) => length > 0),
    sharedKeys: build.units.shared.map(({ from, end, rows }) => ({
      from,
      end,
      rows,
    })),
  };
}

function attentionSpec(
  problem: AttentionProblem,
  mods: EmittedMods | undefined,
): AttentionSpec {
  const { dtype, headDim, valueHeadDim, source, lse } = problem;
  const { segments } = source;
  // Arenas hold keys and values in one buffer, hence in one format.
  const arena = segments > 0
    ? rowFormat(dtype, headDim, valueHeadDim)
    : undefined;
  const keyFormat = arena ?? rowFormat(dtype, headDim);
  const valueFormat = arena ?? rowFormat(dtype, valueHeadDim);
  const quads = source.kind !== "paged" || source.blockSize % 4 === 0;
  return {
    source: source.kind,
    segments,
    quads,
    // Blocks of one or two tokens divide, rather than have a source of their own.
    shift: source.kind === "paged" && quads &&
      Number.isInteger(Math.log2(source.blockSize)),
    queryFormat: keyFormat,
    keyFormat,
    valueFormat,
    outputFormat: valueFormat,
    mods,
    lse,
    partial: false,
    queries: "consecutive",
    workers: "items",
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
    value_at: bufferTokens(source) * kvHeads * headStride,
    block_size: paged?.blockSize ?? 1,
    block_shift: Math.floor(Math.log2(paged?.blockSize ?? 1)),
    segment_blocks: paged?.segmentBlocks ?? 1,
    scale: problem.scale,
    sequences_at: schedule.sequencesAt,
    items_at: pass.itemsAt,
    workers_at: pass.workersAt,
    group_count: pass.groups,
    grid_width: gridWidth,
    runs_per_head: pass.runsPerHead ? 1 : 0,
    stats_at: pass.statsAt,
    scratch_keys: pass.scratchKeys,
  });
}
