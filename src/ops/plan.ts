/**
 * A plan: compiled, sized, reusable, disposable. It is made on the CPU and
 * records into a caller's encoder; lengths may change from step to step.
 *
 * @module
 */

import { decodeKernel, decodeStep } from "../../kernels/attention/decode.ts";
import { forwardKernel } from "../../kernels/attention/forward.ts";
import { mergeKernel } from "../../kernels/attention/merge.ts";
import { tileRows } from "../../kernels/attention/score_tile.ts";
import type { AttentionSpec } from "../../kernels/attention/spec.ts";
import {
  type StandardKernels,
  standardKernels,
} from "../../kernels/attention/standard.ts";
import { rowFormat, rowStride } from "../../kernels/fragments/rows.ts";
import { PARAMS } from "../../kernels/fragments/schedule.ts";
import { packUniforms } from "../../kernels/wgsl.ts";
import { checkRange, checkType } from "../core/check.ts";
import { bytesPerElement } from "../core/dtype.ts";
import type { KernelSource } from "../core/kernel.ts";
import {
  type BindingResource,
  BufferUsage,
  type CompiledKernel,
  Gpu,
  type GpuBuffer,
  type GpuTensor,
  type Grid,
} from "../gpu/mod.ts";
import { emitMods, type EmittedMods } from "../mods/mod.ts";
import { checkIndexing } from "./limits.ts";
import { type AttentionProblem, packedRows, vecsOf } from "./problem.ts";
import {
  buildSchedule,
  type Schedule,
  type Share,
  type SharePass,
  type Splitting,
  type TileCounts,
} from "./schedule.ts";
import {
  checkTileProfile,
  decodeTile,
  forwardTile,
  type TileProfile,
  tileProfile,
} from "./tiles.ts";

/** How to run a problem. */
export interface PlanChoices {
  /**
   * `"fused"` (default): forward and decode kernels, each sequence by its
   * number of query rows. `"standard"`: the 3-dispatch baseline.
   */
  readonly algorithm?: "fused" | "standard" | undefined;
  /**
   * How keys are split among workgroups. `"fixed"` (default): splits of a
   * fixed size for decode, none for prefill, so that a row never depends on
   * its batch. A number: that many splits of every sequence. `"auto"`: as many
   * as keep the device busy, which depends on the batch.
   */
  readonly splits?: "fixed" | "auto" | number | undefined;
  /** Tiles to use instead of the device's row of the table: for tuning. */
  readonly tiles?: TileProfile | undefined;
}

/** What a plan's `encode` reads and writes. */
export interface AttentionTensors {
  /** `[tokens, queryHeads, headDim]`. */
  readonly query: GpuTensor;
  /** Keys; not for a source of arenas. */
  readonly key?: GpuTensor;
  /** Values; not for a source of arenas. */
  readonly value?: GpuTensor;
  /** Arenas, each with keys first. */
  readonly arenas?: readonly GpuBuffer[];
  /** `[tokens, queryHeads, valueHeadDim]`. */
  readonly output: GpuTensor;
  /** `[tokens, queryHeads]`, f32, natural logarithm; where asked for. */
  readonly lse?: GpuTensor | undefined;
}

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
  /** How keys are split. */
  readonly splits: string;
  /** Tiles visited, full and in total. */
  readonly tileCounts: TileCounts;
  /** Bytes of scratch that the plan holds. */
  readonly scratchBytes: number;
}

/** A pass encoder's descriptor, for instance with timestamps. */
export type PassDescriptor = (label: string) => GPUComputePassDescriptor;

interface Step {
  readonly kernel: CompiledKernel;
  readonly label: string;
  readonly grid: Grid;
  readonly uniforms: GpuBuffer;
}

const WHY_PORTABLE =
  "this version has no kernels for subgroups or subgroup matrices";

/**
 * A plan for attention of one problem, or of later ones that differ only in
 * lengths, offsets and block table.
 */
export class AttentionPlan implements Disposable {
  readonly #gpu: Gpu;
  readonly #choices: PlanChoices;
  #problem: AttentionProblem;
  #mods: EmittedMods | undefined;
  #steps: Step[] = [];
  #captures: GpuBuffer | undefined;
  #schedule: GpuBuffer | undefined;
  #scratch: GpuBuffer | undefined;
  #explanation!: PlanExplanation;
  #destroyed = false;

  private constructor(
    gpu: Gpu,
    problem: AttentionProblem,
    choices: PlanChoices,
  ) {
    this.#gpu = gpu;
    this.#problem = problem;
    this.#choices = choices;
  }

  /** Compiles and sizes a plan; nothing runs yet. */
  static async create(
    gpu: Gpu,
    problem: AttentionProblem,
    choices: PlanChoices = {},
  ): Promise<AttentionPlan> {
    checkType(gpu instanceof Gpu, "gpu", "must be a Gpu", gpu);
    gpu.check();
    checkChoices(choices);
    checkIndexing(gpu, problem);
    const plan = new AttentionPlan(gpu, problem, choices);
    try {
      await plan.#build();
    } catch (error) {
      plan.destroy();
      throw error;
    }
    return plan;
  }

  /** The problem that the plan is for now. */
  get problem(): AttentionProblem {
    return this.#problem;
  }

  /** Says which kernels will run, on what tiles, and why not faster ones. */
  explain(): PlanExplanation {
    return this.#explanation;
  }

  /**
   * Takes another problem: other lengths, offsets, a longer block table. What
   * has been compiled is not compiled again. Until the promise resolves, and
   * after an error, the plan is as before. What it has recorded must have been
   * submitted by then, as its buffers are replaced.
   *
   * @throws {TypeError} if the plan is destroyed, then or meanwhile
   * @throws {RangeError} if sizes exceed the device's limits
   */
  async update(problem: AttentionProblem): Promise<void> {
    this.#check();
    const next = await AttentionPlan.create(this.#gpu, problem, this.#choices);
    if (this.#destroyed) next.destroy();
    this.#check();
    this.#release();
    this.#problem = next.#problem;
    this.#mods = next.#mods;
    this.#steps = next.#steps;
    this.#captures = next.#captures;
    this.#schedule = next.#schedule;
    this.#scratch = next.#scratch;
    this.#explanation = next.#explanation;
  }

  /**
   * Records the dispatches. Nothing is submitted.
   *
   * @throws {TypeError} if a tensor is missing, destroyed, of another device,
   * dtype or size
   */
  encode(
    encoder: GPUCommandEncoder,
    tensors: AttentionTensors,
    describe: PassDescriptor = (label) => ({ label }),
  ): void {
    this.#check();
    this.#checkTensors(tensors);
    checkAliasing(tensors);
    const resources = this.#resources(tensors);
    const groups = this.#steps.map(({ kernel, uniforms }) =>
      this.#gpu.bind(
        kernel,
        Object.fromEntries(
          kernel.bindings.map(({ name }) => [
            name,
            name === "params" ? uniforms : resources[name]!,
          ]),
        ),
      )
    );
    this.#steps.forEach(({ kernel, label, grid }, i) => {
      const pass = encoder.beginComputePass(describe(label));
      pass.setPipeline(kernel.pipeline);
      pass.setBindGroup(0, groups[i]);
      pass.dispatchWorkgroups(...grid);
      pass.end();
    });
  }

  /** Frees the plan's buffers; further calls do nothing. */
  destroy(): void {
    this.#destroyed = true;
    this.#release();
  }

  /** The same as {@linkcode AttentionPlan.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #release(): void {
    for (const { uniforms } of this.#steps) uniforms.destroy();
    this.#captures?.destroy();
    this.#schedule?.destroy();
    this.#scratch?.destroy();
    this.#steps = [];
    this.#captures = this.#schedule = this.#scratch = undefined;
  }

  #check(): void {
    this.#gpu.check();
    checkType(!this.#destroyed, "plan", "must not be destroyed", "destroyed");
  }

  async #build(): Promise<void> {
    const { scoreMods, maskMods } = this.#problem;
    this.#mods = scoreMods.length + maskMods.length > 0
      ? emitMods({ scoreMods, maskMods })
      : undefined;
    const build = this.#choices.algorithm === "standard"
      ? this.#standard()
      : this.#fused();
    const schedule = buildSchedule(this.#problem, build.shares);
    const dispatches = build.dispatches(schedule);
    const scratchBytes = build.scratchBytes(schedule);
    const gpu = this.#gpu;
    const binding = gpu.limits.maxStorageBufferBindingSize;
    const sizes = {
      "schedule bytes": schedule.words.byteLength,
      "capture bytes": this.#mods?.data.byteLength ?? 0,
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
    const kernels = await Promise.all(
      dispatches.map(({ source }) => gpu.pipeline(source)),
    );
    const made: GpuBuffer[] = [];
    const keep = (buffer: GpuBuffer) => (made.push(buffer), buffer);
    try {
      const words = keep(upload(gpu, "attention.schedule", schedule.words));
      const captures = this.#mods?.usesCaptures
        ? keep(upload(gpu, "attention.captures", this.#mods.data))
        : undefined;
      const scratch = scratchBytes > 0
        ? keep(gpu.createBuffer({
          label: "attention.scratch",
          size: scratchBytes,
          usage: BufferUsage.storage,
        }))
        : undefined;
      const steps = dispatches.map(({ source, pass, grid }, i) => ({
        kernel: kernels[i],
        label: source.label,
        grid,
        uniforms: keep(this.#uniforms(schedule, pass, grid)),
      }));
      this.#release();
      this.#steps = steps;
      this.#captures = captures;
      this.#schedule = words;
      this.#scratch = scratch;
    } catch (error) {
      for (const buffer of made) buffer.destroy();
      throw error;
    }
    this.#explanation = {
      profile: "portable",
      why: WHY_PORTABLE,
      dispatches: this.#steps.map(({ label, grid }) => ({
        kernel: label,
        grid,
      })),
      tiles: build.tiles,
      splits: build.splits,
      tileCounts: schedule.tiles,
      scratchBytes,
    };
  }

  #spec(partial: boolean): AttentionSpec {
    const { dtype, headDim, valueHeadDim, source, lse } = this.#problem;
    const segments = source.kind === "paged" ? source.segments : 0;
    // Arenas hold keys and values in one buffer, hence in one format.
    const key = segments > 0
      ? rowFormat(dtype, headDim, valueHeadDim)
      : rowFormat(dtype, headDim);
    return {
      source: source.kind,
      segments,
      shift: source.kind === "paged" && isPowerOfTwo(source.blockSize),
      queryFormat: key,
      keyFormat: key,
      valueFormat: segments > 0 ? key : rowFormat(dtype, valueHeadDim),
      outputFormat: segments > 0 ? key : rowFormat(dtype, valueHeadDim),
      mods: this.#mods,
      lse,
      partial,
    };
  }

  #fused(): Build {
    const problem = this.#problem;
    const profile = this.#choices.tiles ?? tileProfile(this.#gpu);
    const valueVecs = vecsOf(problem.valueHeadDim);
    const decodes = (rows: number) => rows <= profile.decodeRows;
    const rowsOf = problem.sequences.map((s) => packedRows(problem, s));
    const most = (keep: (rows: number) => boolean) =>
      largest(rowsOf.filter(keep));
    const forward = forwardTile(profile, {
      rows: most((rows) => !decodes(rows)),
      valueVecs,
      scoreMods: problem.scoreMods.length > 0,
      workgroupBytes: this.#gpu.limits.maxComputeWorkgroupStorageSize,
    });
    const decode = decodeTile(profile, {
      rows: most(decodes),
      valueVecs,
      workgroupBytes: this.#gpu.limits.maxComputeWorkgroupStorageSize,
    });
    const splitting = this.#splitting(profile);
    const shares: Share[] = [
      {
        takes: (s) => !decodes(packedRows(problem, s)),
        rows: tileRows(forward),
        step: forward.keysPerStep,
        splitting: splitting.of,
      },
      {
        takes: (s) => decodes(packedRows(problem, s)),
        rows: decode.rows,
        step: decodeStep(decode),
        splitting: splitting.of,
      },
    ];
    const source = [
      (partial: boolean) =>
        forwardKernel({ ...this.#spec(partial), tile: forward }),
      (partial: boolean) =>
        decodeKernel({ ...this.#spec(partial), tile: decode }),
    ];
    const { kvHeads } = problem;
    // The passes follow one another, so they share one scratch.
    const stateRows = (pass: SharePass, i: number) =>
      pass.slotCount * kvHeads * shares[i].rows;
    return {
      shares,
      dispatches: ({ passes }) =>
        passes.flatMap((pass, i) => {
          if (pass.itemCount === 0) return [];
          const params = (itemsAt: number, itemCount: number) => ({
            itemsAt,
            itemCount,
            statsAt: stateRows(pass, i) * valueVecs,
            scratchKeys: 0,
          });
          const run = {
            source: source[i](pass.partial),
            pass: params(pass.itemsAt, pass.itemCount),
            grid: this.#grid(pass.itemCount),
          };
          if (!pass.partial) return [run];
          const merge = mergeKernel({
            outputFormat: this.#spec(false).outputFormat,
            lse: problem.lse,
            rows: shares[i].rows,
            lanes: profile.decodeLanes,
          });
          return [run, {
            source: merge,
            pass: params(pass.mergeAt, pass.mergeCount),
            grid: this.#grid(pass.mergeCount),
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
      splits: splitting.text,
    };
  }

  #standard(): Build {
    const problem = this.#problem;
    const profile = this.#choices.tiles ?? tileProfile(this.#gpu);
    const tile = forwardTile(profile, {
      rows: largest(problem.sequences.map((s) => packedRows(problem, s))),
      valueVecs: 1,
      scoreMods: problem.scoreMods.length > 0,
      workgroupBytes: this.#gpu.limits.maxComputeWorkgroupStorageSize,
    });
    const kernels: StandardKernels = standardKernels({
      ...this.#spec(false),
      tile,
    });
    const scratchKeys = largest(
      problem.sequences.map(({ keyCount }) => keyCount),
    );
    return {
      shares: [{
        takes: () => true,
        rows: tileRows(tile),
        step: tile.keysPerStep,
        splitting: () => undefined,
      }],
      dispatches: ({ passes: [pass] }) =>
        pass.itemCount === 0
          ? []
          : [kernels.scores, kernels.softmax, kernels.values].map((source) => ({
            source,
            pass: {
              itemsAt: pass.itemsAt,
              itemCount: pass.itemCount,
              statsAt: 0,
              scratchKeys,
            },
            grid: this.#grid(pass.itemCount),
          })),
      scratchBytes: ({ passes: [pass] }) =>
        4 * pass.itemCount * problem.kvHeads * scratchKeys * tileRows(tile),
      tiles: { standard: `${tileRows(tile)} rows x ${tile.keysPerStep} keys` },
      splits: "none",
    };
  }

  #splitting(profile: TileProfile): {
    of: (rows: number) => Splitting | undefined;
    text: string;
  } {
    const { splits = "fixed" } = this.#choices;
    if (typeof splits === "number") {
      const of = () => ({ kind: "count", count: splits } as const);
      return { of, text: `${splits} a sequence` };
    }
    if (splits === "fixed") {
      const { splitKeys, splitRows } = profile;
      const size = { kind: "size", keys: splitKeys } as const;
      return {
        of: (rows) => rows <= splitRows ? size : undefined,
        text: `${splitKeys} keys each, for up to ${splitRows} packed rows`,
      };
    }
    const { kvHeads, sequences } = this.#problem;
    const busy = Math.max(1, kvHeads * sequences.length);
    const count = Math.max(1, Math.ceil(profile.parallelism / busy));
    return {
      of: () => ({ kind: "count", count }),
      text:
        `${count} a sequence: ${busy} workgroups unsplit, parallelism ${profile.parallelism}`,
    };
  }

  #grid(items: number): Grid {
    const [x, , z] = foldItems(items, this.#gpu.limits);
    return [x, this.#problem.kvHeads, z];
  }

  #uniforms(schedule: Schedule, pass: PassParams, grid: Grid): GpuBuffer {
    const problem = this.#problem;
    const { source, headDim, valueHeadDim, queryHeads, kvHeads } = problem;
    const spec = this.#spec(false);
    const paged = source.kind === "paged" ? source : undefined;
    const headStride = rowStride(spec.keyFormat, headDim);
    const bytes = packUniforms(PARAMS, {
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
      grid_width: grid[0],
      runs_per_head: schedule.runsPerHead ? 1 : 0,
      stats_at: pass.statsAt,
      scratch_keys: pass.scratchKeys,
    });
    return upload(this.#gpu, "attention.params", bytes, BufferUsage.uniform);
  }

  #resources(tensors: AttentionTensors): Record<string, BindingResource> {
    return {
      query: tensors.query,
      output: tensors.output,
      schedule: this.#schedule!,
      ...(tensors.key && { key: tensors.key }),
      ...(tensors.value && { value: tensors.value }),
      ...(tensors.lse && { lse: tensors.lse }),
      ...(this.#captures && { captures: this.#captures }),
      ...(this.#scratch && { states: this.#scratch, scratch: this.#scratch }),
      ...Object.fromEntries(
        (tensors.arenas ?? []).map((arena, s) => [`arena_${s}`, arena]),
      ),
    };
  }

  #checkTensors(tensors: AttentionTensors): void {
    const { dtype, queryTokens, queryHeads, kvHeads, source } = this.#problem;
    const { headDim, valueHeadDim } = this.#problem;
    const check = (
      name: string,
      tensor: GpuTensor | undefined,
      rows: number,
      type: string,
    ) => {
      checkType(tensor, name, "must be given", tensor);
      checkType(
        tensor.gpu === this.#gpu,
        name,
        "must be of the plan's Gpu",
        tensor,
      );
      checkType(tensor.dtype === type, name, `must be ${type}`, tensor.dtype);
      checkType(
        tensor.size === rows,
        name,
        `must have ${rows} elements`,
        tensor.size,
      );
      void tensor.buffer;
    };
    check("query", tensors.query, queryTokens * queryHeads * headDim, dtype);
    check(
      "output",
      tensors.output,
      queryTokens * queryHeads * valueHeadDim,
      dtype,
    );
    if (this.#problem.lse) {
      check("lse", tensors.lse, queryTokens * queryHeads, "f32");
    }
    const segments = source.kind === "paged" ? source.segments : 0;
    if (source.kind === "paged" && segments > 0) {
      const bytes = source.segmentBlocks * source.blockSize * kvHeads *
        (headDim + valueHeadDim) * bytesPerElement(dtype);
      checkArenas(tensors.arenas, segments, bytes);
      return;
    }
    const tokens = source.kind === "paged"
      ? source.numBlocks * source.blockSize
      : source.keyTokens;
    check("key", tensors.key, tokens * kvHeads * headDim, dtype);
    check("value", tensors.value, tokens * kvHeads * valueHeadDim, dtype);
  }
}

function checkArenas(
  arenas: readonly GpuBuffer[] | undefined,
  count: number,
  bytes: number,
): void {
  checkType(
    arenas?.length === count,
    "arenas",
    `must be ${count} buffers`,
    arenas,
  );
  arenas.forEach((arena, i) =>
    checkType(
      arena.size >= bytes,
      `arenas[${i}].size`,
      `must be >= ${bytes} bytes`,
      arena.size,
    )
  );
}

/** WebGPU refuses a buffer that one dispatch both reads and writes. */
function checkAliasing(tensors: AttentionTensors): void {
  for (const result of ["output", "lse"] as const) {
    const written = tensors[result]?.buffer;
    for (const name of ["query", "key", "value"] as const) {
      checkType(
        written === undefined || tensors[name]?.buffer !== written,
        result,
        `must not share a buffer with ${name}`,
        tensors[result],
      );
    }
  }
}

interface PassParams {
  readonly itemsAt: number;
  readonly itemCount: number;
  readonly statsAt: number;
  readonly scratchKeys: number;
}

interface Build {
  readonly shares: readonly Share[];
  readonly dispatches: (schedule: Schedule) => readonly {
    readonly source: KernelSource;
    readonly pass: PassParams;
    readonly grid: Grid;
  }[];
  readonly scratchBytes: (schedule: Schedule) => number;
  readonly tiles: Readonly<Record<string, string>>;
  readonly splits: string;
}

function checkChoices({ algorithm, splits, tiles }: PlanChoices): void {
  if (tiles !== undefined) checkTileProfile(tiles);
  checkType(
    algorithm === undefined || algorithm === "fused" ||
      algorithm === "standard",
    "algorithm",
    'must be "fused" or "standard"',
    algorithm,
  );
  checkType(
    splits === undefined || splits === "fixed" || splits === "auto" ||
      typeof splits === "number",
    "splits",
    'must be "fixed", "auto" or a number',
    splits,
  );
  if (typeof splits === "number") {
    checkRange(
      Number.isInteger(splits) && splits >= 1 && splits <= 65535,
      "splits",
      "must be an integer in 1..65535",
      splits,
    );
  }
}

/** The largest count, at least 1; a batch may be too long to be spread. */
function largest(counts: readonly number[]): number {
  return counts.reduce((most, count) => Math.max(most, count), 1);
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value));
}

/** Items along x, the rest along z: y is the kv head's. */
function foldItems(items: number, limits: GPUSupportedLimits): Grid {
  const x = Math.min(items, limits.maxComputeWorkgroupsPerDimension);
  const z = Math.ceil(items / Math.max(1, x));
  return [x, 1, z];
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
