/**
 * A launch made ready on a device: kernels compiled, words and uniforms
 * uploaded, scratch allocated. What a plan holds, and replaces as one.
 *
 * @module
 */

import { checkRange } from "../../core/check.ts";
import {
  BufferUsage,
  type CompiledKernel,
  type Gpu,
  type GpuBuffer,
  type Grid,
} from "../../gpu/mod.ts";
import type { PlanChoices } from "./options/choices.ts";
import type { DealingCost } from "./work/cost.ts";
import type { TileCounts } from "./work/key_runs.ts";
import { type Launch, planLaunch, type SharedKeys } from "./launch.ts";
import { checkIndexing } from "./limits.ts";
import type { AttentionProblem } from "./problem.ts";

/** One dispatch of a plan, as `explain()` tells it. */
export interface PlannedDispatch {
  /** The kernel's label. */
  readonly kernel: string;
  /** Workgroups. */
  readonly grid: Grid;
}

/** What a plan will run, and why. */
export interface PlanExplanation {
  /** Which features the kernels use. */
  readonly profile: "portable";
  /** Why not a faster profile. */
  readonly why: string;
  /** Dispatches in order. */
  readonly dispatches: readonly PlannedDispatch[];
  /** Query rows x keys of the tiles of each fused kernel. */
  readonly tiles: Readonly<Record<string, string>>;
  /** How keys are split among workgroups, for each share of the work. */
  readonly splits: Readonly<Record<string, string>>;
  /**
   * What the cost model expects of each way of splitting, for each share of
   * the work; where `splits` is `"auto"`.
   */
  readonly costs: Readonly<Record<string, readonly DealingCost[]>>;
  /** Stretches of keys that several sequences read together. */
  readonly sharedKeys: readonly SharedKeys[];
  /** Tiles visited, full and in total. */
  readonly tileCounts: TileCounts;
  /** Bytes of scratch that the plan holds. */
  readonly scratchBytes: number;
}

/** One dispatch, ready but for the caller's tensors. */
export interface PreparedStep {
  /** The compiled kernel. */
  readonly kernel: CompiledKernel;
  /** Its label. */
  readonly label: string;
  /** Workgroups. */
  readonly grid: Grid;
  /** Its uniforms. */
  readonly uniforms: GpuBuffer;
}

/** A launch on a device. */
export interface Prepared {
  /** What it is for. */
  readonly problem: AttentionProblem;
  /** The dispatches, in order. */
  readonly steps: readonly PreparedStep[];
  /** The `schedule` binding. */
  readonly schedule: GpuBuffer;
  /** The `captures` binding, if there are any. */
  readonly captures: GpuBuffer | undefined;
  /** The `states` or `scratch` binding, if there is any. */
  readonly scratch: GpuBuffer | undefined;
  /** For people. */
  readonly explanation: PlanExplanation;
}

const WHY_PORTABLE =
  "this version has no kernels for subgroups or subgroup matrices";

/**
 * Compiles and uploads what a problem needs. On an error nothing is left.
 *
 * @throws {RangeError} if sizes exceed the device's limits
 * @throws {UnsupportedError} if the device lacks what a kernel needs
 */
export async function prepare(
  gpu: Gpu,
  problem: AttentionProblem,
  choices: PlanChoices,
): Promise<Prepared> {
  checkIndexing(gpu, problem);
  const launch = planLaunch(problem, gpu, choices);
  checkBytes(gpu, launch);
  const kernels = await Promise.all(
    launch.dispatches.map(({ source }) => gpu.pipeline(source)),
  );
  const made: GpuBuffer[] = [];
  const keep = (buffer: GpuBuffer) => (made.push(buffer), buffer);
  try {
    const { captures, scratchBytes } = launch;
    const schedule = upload(gpu, "attention.schedule", launch.schedule.words);
    made.push(schedule);
    return {
      problem,
      schedule,
      captures: captures.length > 0
        ? keep(upload(gpu, "attention.captures", captures))
        : undefined,
      scratch: scratchBytes > 0
        ? keep(gpu.createBuffer({
          label: "attention.scratch",
          size: scratchBytes,
          usage: BufferUsage.storage,
        }))
        : undefined,
      steps: launch.dispatches.map(({ source, uniforms, grid }, i) => ({
        kernel: kernels[i],
        label: source.label,
        grid,
        uniforms: keep(
          upload(gpu, "attention.params", uniforms, BufferUsage.uniform),
        ),
      })),
      explanation: explain(launch),
    };
  } catch (error) {
    for (const buffer of made) buffer.destroy();
    throw error;
  }
}

/** Frees what {@linkcode prepare} made; further calls do nothing. */
export function release(
  { steps, schedule, captures, scratch }: Prepared,
): void {
  for (const { uniforms } of steps) uniforms.destroy();
  schedule.destroy();
  captures?.destroy();
  scratch?.destroy();
}

function explain(launch: Launch): PlanExplanation {
  return {
    profile: "portable",
    why: WHY_PORTABLE,
    dispatches: launch.dispatches.map(({ source, grid }) => ({
      kernel: source.label,
      grid,
    })),
    tiles: launch.tiles,
    splits: launch.splits,
    costs: launch.costs,
    sharedKeys: launch.sharedKeys,
    tileCounts: launch.schedule.tiles,
    scratchBytes: launch.scratchBytes,
  };
}

function checkBytes(
  gpu: Gpu,
  { schedule, captures, scratchBytes }: Launch,
): void {
  const binding = gpu.limits.maxStorageBufferBindingSize;
  const sizes = {
    "schedule bytes": schedule.words.byteLength,
    "capture bytes": captures.byteLength,
    "scratch bytes": scratchBytes,
  };
  for (const [name, bytes] of Object.entries(sizes)) {
    checkRange(
      bytes <= binding,
      name,
      `must be <= maxStorageBufferBindingSize (${binding})`,
      bytes,
    );
  }
}

function upload(
  gpu: Gpu,
  label: string,
  data: Uint32Array | ArrayBuffer,
  usage: number = BufferUsage.storage,
): GpuBuffer {
  const buffer = gpu.createBuffer({
    label,
    size: Math.max(16, data.byteLength),
    usage: usage | BufferUsage.copyDst,
  });
  gpu.queue.writeBuffer(buffer.buffer, 0, data as ArrayBuffer);
  return buffer;
}
