// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * A pass of backward: a schedule, and the kernels that go through it.
 *
 * @module
 */

import type { BackwardSpec } from "../../../../kernels/attention/backward/spec.ts";
import type { RowFormat } from "../../../../kernels/fragments/rows.ts";
import type { KernelSource } from "../../../core/kernel.ts";
import type { Dispatch, ProgramCopy } from "../../../gpu/mod.ts";
import { STORAGE_BUFFERS } from "../../attention/captures.ts";
import { dispatchOf } from "../../attention/parts.ts";
import { type AttentionProblem, vecsOf } from "../../attention/problem.ts";
import type { GradientRows } from "../../attention/rows.ts";
import type { TileSize } from "../../attention/variants/algorithm.ts";
import type { PlanDevice } from "../../attention/variants/variant.ts";
import type { Partition } from "../../attention/work/partition.ts";
import type { Schedule } from "../../attention/work/schedule.ts";
import type { BackwardExplanation } from "../explanation.ts";
import type { PassesMoved } from "../traffic.ts";
import type { BackwardCandidate, BackwardTiles } from "../tiles.ts";

/** What passes are made of. */
export interface PassContext {
  readonly problem: AttentionProblem;
  readonly spec: BackwardSpec;
  /** Formats of rows of gradients. */
  readonly formats: GradientRows<RowFormat>;
  readonly device: PlanDevice;
  readonly tiles: BackwardTiles;
  readonly splits: number;
  /** Words that schedules begin with: those of mods, and sizes of rows. */
  readonly before: Uint32Array;
  /** Uniforms that are the same for all dispatches. */
  readonly values: Readonly<Record<string, number>>;
}

/** What the passes of dQ, dK and dV put on the device. */
export interface Passes {
  readonly dispatches: readonly Dispatch[];
  readonly words: Readonly<Record<string, Uint32Array>>;
  readonly scratch: Readonly<Record<string, number>>;
  /** What is copied to scratch. */
  readonly copies: readonly ProgramCopy[];
  /** For people. */
  readonly kernels: BackwardExplanation["kernels"];
  /** How often each pass runs. */
  readonly rounds: number;
  /** What they move. */
  readonly moved: () => PassesMoved;
}

/** What a kernel's tile is made for. */
export function candidateOf(
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

/** There is never a choice of partitions. */
export const NO_MODEL = { tileSteps: 0, dispatchSteps: 0, workers: 1 };

/** Loops in so many parts. */
export function partitionOf(splits: number): Partition {
  return splits === 1
    ? { kind: "splits", text: "unsplit", of: () => undefined }
    : {
      kind: "splits",
      text: `${splits} a sequence`,
      of: () => ({ kind: "count", count: splits }),
    };
}

/** A kernel, and some of a schedule's tiles. */
export interface PassDispatch {
  readonly source: KernelSource;
  readonly tilesAt: number;
  readonly tileCount: number;
  /** Workgroups of a tile; one a kv head by default. */
  readonly heads?: number;
  /** Uniforms of its own. */
  readonly uniforms?: Readonly<Record<string, number>>;
}

/** The dispatch of a kernel over a schedule's tiles. */
export function passDispatch(
  { problem, device, values }: PassContext,
  { schedule, tile, aliases }: {
    readonly schedule: Schedule;
    readonly tile: TileSize;
    /** What bindings are called among the program's buffers. */
    readonly aliases: Readonly<Record<string, string>>;
  },
  { source, tilesAt, tileCount, heads = problem.kvHeads, uniforms = {} }:
    PassDispatch,
): Dispatch {
  const own = {
    ...values,
    sequences_at: schedule.sequencesAt,
    runs_per_head: schedule.runsPerHead ? 1 : 0,
  };
  return {
    ...dispatchOf(
      {
        source,
        tile,
        tilesAt,
        groups: tileCount,
        heads,
        uniforms,
      },
      own,
      device.limits.maxComputeWorkgroupsPerDimension,
    ),
    aliases: aliasesOf(source, aliases),
  };
}

/** Those of a kernel's own bindings. */
export function aliasesOf(
  { bindings }: KernelSource,
  aliases: Readonly<Record<string, string>>,
): Record<string, string> {
  const names = bindings.map(({ name }) => name);
  return Object.fromEntries(
    Object.entries(aliases).filter(([name]) => names.includes(name)),
  );
}

/** Whether a kernel binds more storage buffers than a device has. */
export function bindsTooMuch(
  { bindings }: KernelSource,
  { limits: { maxStorageBuffersPerShaderStage: most = STORAGE_BUFFERS } }:
    PlanDevice,
): boolean {
  return bindings.filter(({ access }) => access !== "uniform").length > most;
}
