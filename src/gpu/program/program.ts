/**
 * Dispatches with all that they need, ready to be recorded.
 *
 * @module
 */

import { checkRange, checkType } from "../../core/check.ts";
import type { Binding, KernelSource } from "../../core/kernel.ts";
import {
  type BindingResource,
  type BoundRange,
  type Grid,
  rangeOf,
} from "./dispatch.ts";
import type { Gpu } from "../gpu.ts";
import {
  type CheckedDispatch,
  checkParts,
  type ProgramCopy,
  type ProgramParts,
} from "./program_parts.ts";
import { ProgramScratch } from "./program_scratch.ts";
import { noteUse } from "./recordings.ts";
import { EMPTY_LAYOUT, fitLayout, slotAlignment } from "./slot_layout.ts";
import { type Slot, Slots, writeWords } from "./slots.ts";
import { BufferUsage, roundUp } from "../buffers/usage.ts";

/**
 * How a program is recorded.
 *
 * @category Programs
 */
export interface EncodeOptions {
  /**
   * The descriptor of the pass of a dispatch by its kernel's label, to time it.
   * Each dispatch then has a pass of its own, where else one holds all.
   */
  readonly describe?:
    | ((label: string) => GPUComputePassDescriptor)
    | undefined;
  /** What errors call resources, where the caller has other names for them. */
  readonly names?: Readonly<Record<string, string>> | undefined;
}

/**
 * What a program runs.
 *
 * @category Programs
 */
export interface ProgramExplanation {
  /** Kernels' labels and their workgroups, in order. */
  readonly dispatches: readonly {
    readonly kernel: string;
    readonly grid: Grid;
  }[];
  /** Bytes of scratch that they use. */
  readonly scratchBytes: number;
}

/** What the last update left. */
interface Current {
  readonly slot: Slot;
  readonly dispatches: readonly CheckedDispatch[];
  /** Where the uniforms of each dispatch start in the slot. */
  readonly uniformsAt: readonly number[];
  readonly scratchBytes: number;
  readonly copies: readonly ProgramCopy[];
  /** Names of words: what they have had a place for may be scratch now. */
  readonly words: ReadonlySet<string>;
}

/** A copy that can be recorded. */
interface CheckedCopy {
  readonly from: BoundRange;
  readonly to: BoundRange;
  readonly at: number;
}

/**
 * Dispatches in order with their uniforms, words and scratch.
 *
 * {@linkcode Program.update} takes other parts at any time. What was recorded
 * before keeps its own: until it is submitted, the update writes elsewhere.
 * Of words that a buffer holds already, only what changed is written.
 * Buffers are used again as soon as that is known, which it is for encoders of
 * `Gpu.submit()`, and for a caller's own that go through `Gpu.submit(encoder)`.
 * An update and an encode whose sizes fit then make no buffer, and no bind group
 * where the caller's buffers are the same as once before. What a caller submits
 * otherwise is right too, but each update makes a buffer and bind groups anew.
 *
 * @example A kernel of one's own
 * ```ts
 * import { openGpu, Program } from "@quire/attention/gpu";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await openGpu();
 * using program = await Program.create(gpu, "add", {
 *   dispatches: [{
 *     source: {
 *       label: "add",
 *       code: `
 *         struct Params { addend: u32, padding_0: u32, padding_1: u32, padding_2: u32 }
 *         @group(0) @binding(0) var<storage, read_write> data: array<u32>;
 *         @group(0) @binding(1) var<uniform> params: Params;
 *         @compute @workgroup_size(4)
 *         fn main(@builtin(local_invocation_index) lane: u32) {
 *           data[lane] += params.addend;
 *         }`,
 *       bindings: [
 *         { name: "data", type: "array<u32>", access: "read_write" },
 *         { name: "params", type: "Params", access: "uniform" },
 *       ],
 *       uniforms: { addend: "u32" },
 *       features: [],
 *     },
 *     uniforms: { addend: 10 },
 *     grid: [1, 1, 1],
 *   }],
 * });
 * using data = gpu.tensor(Uint32Array.of(1, 2, 3, 4), [4]);
 * gpu.submit("add", (encoder) => program.encode(encoder, { data }));
 * assertEquals([...await gpu.readOne(data)], [11, 12, 13, 14]);
 * ```
 *
 * @category Programs
 */
export class Program implements Disposable {
  #gpu: Gpu;
  #label: string;
  #slots: Slots;
  #scratch: ProgramScratch;
  #layout = EMPTY_LAYOUT;
  #current: Current | undefined;
  #destroyed = false;

  /** A program of no dispatches. */
  constructor(gpu: Gpu, label: string) {
    gpu.check();
    this.#gpu = gpu;
    this.#label = label;
    this.#slots = new Slots(gpu, label);
    this.#scratch = new ProgramScratch(gpu.scratch, label);
  }

  /**
   * A program of these parts.
   *
   * @throws {UnsupportedError} Where the device lacks what a kernel needs.
   * @throws {Error} Where a kernel does not compile, and as `update()` does.
   */
  static async create(
    gpu: Gpu,
    label: string,
    parts: ProgramParts,
  ): Promise<Program> {
    const program = new Program(gpu, label);
    await program.compile(parts.dispatches.map(({ source }) => source));
    program.update(parts);
    return program;
  }

  /**
   * Compiles what is not compiled yet.
   *
   * @throws {UnsupportedError} Where the device lacks what a kernel needs.
   * @throws {Error} Where a kernel does not compile.
   */
  async compile(sources: Iterable<KernelSource>): Promise<void> {
    this.#check();
    await Promise.all([...sources].map((source) => this.#gpu.pipeline(source)));
  }

  /**
   * Takes other parts. On an error nothing changes.
   *
   * @throws {TypeError} Where a source is not compiled, or parts do not fit it.
   * @throws {RangeError} Where a uniform does not fit its type, or sizes exceed
   * the device's limits.
   */
  update(parts: ProgramParts): void {
    this.#check();
    const { limits, queue } = this.#gpu;
    const { words = {}, scratch = {}, copies = [] } = parts;
    const dispatches = checkParts(this.#gpu, parts);
    const packed = packAll(dispatches, slotAlignment(limits));
    const layout = fitLayout(this.#layout, {
      uniforms: packed.bytes.length,
      words: new Map(
        Object.entries(words).map(([name, array]) => [name, array.byteLength]),
      ),
    }, limits);
    const largest = Math.min(
      limits.maxStorageBufferBindingSize,
      limits.maxBufferSize,
    );
    if (this.#scratch.reserve(scratch, largest)) this.#slots.clearGroups();
    const slot = this.#slots.take(layout);
    if (packed.bytes.length > 0) {
      queue.writeBuffer(slot.buffer.buffer, 0, packed.bytes as BufferSource);
    }
    for (const [name, array] of Object.entries(words)) {
      writeWords(queue, slot, name, array);
    }
    this.#layout = layout;
    this.#current = {
      slot,
      dispatches,
      uniformsAt: packed.offsets,
      scratchBytes: Object.values(scratch).reduce((sum, n) => sum + n, 0),
      copies,
      words: new Set(Object.keys(words)),
    };
  }

  /**
   * Records the dispatches. Nothing is submitted, and on an error nothing is
   * recorded.
   *
   * @param resources What the caller binds, by name: all that is neither words
   * nor scratch. Other names are not looked at.
   * @throws {TypeError} Where a resource is missing, destroyed, of another
   * device or made for another usage, or where what a dispatch writes is bound
   * to it twice.
   * @throws {RangeError} Where a part is unaligned, too large or outside.
   */
  encode(
    encoder: GPUCommandEncoder,
    resources: Readonly<Record<string, BindingResource | undefined>> = {},
    { describe, names = {} }: EncodeOptions = {},
  ): void {
    this.#check();
    checkType(
      typeof encoder?.beginComputePass === "function",
      "encoder",
      "must be a GPUCommandEncoder",
      encoder,
    );
    const current = this.#current;
    if (current === undefined || current.dispatches.length === 0) return;
    const { slot, dispatches } = current;
    const groups = dispatches.map((_, i) =>
      this.#bind(current, i, resources, names)
    );
    const copies = current.copies.map((copy) =>
      this.#checkCopy(copy, current, resources, names)
    );
    noteUse(encoder, slot.uses);
    for (const { uses } of this.#scratch.all) noteUse(encoder, uses);
    this.#scratch.encodePoison(encoder);
    for (const { from: { buffer, offset, size }, to, at } of copies) {
      encoder.copyBufferToBuffer(
        buffer,
        offset,
        to.buffer,
        to.offset + at,
        size,
      );
    }
    // What the device writes there is not what the CPU has written.
    for (const { to } of current.copies) slot.held.delete(to);
    if (describe === undefined) {
      const pass = encoder.beginComputePass({ label: this.#label });
      dispatches.forEach((dispatch, i) => record(pass, dispatch, groups[i]));
      pass.end();
      return;
    }
    dispatches.forEach((dispatch, i) => {
      const pass = encoder.beginComputePass(describe(dispatch.label));
      record(pass, dispatch, groups[i]);
      pass.end();
    });
  }

  /** What runs, for people. */
  explain(): ProgramExplanation {
    const { dispatches = [], scratchBytes = 0 } = this.#current ?? {};
    return {
      dispatches: dispatches.map(({ label, grid }) => ({
        kernel: label,
        grid,
      })),
      scratchBytes,
    };
  }

  /**
   * Frees its buffers, and those that recorded commands still use with the
   * recording. Further calls do nothing.
   */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#slots.destroy();
    this.#scratch.release();
    this.#current = undefined;
  }

  /** The same as {@linkcode Program.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #check(): void {
    this.#gpu.check();
    checkType(
      !this.#destroyed,
      "program",
      "must not be destroyed",
      this.#label,
    );
  }

  #checkCopy(
    { from, to, at }: ProgramCopy,
    { slot, words }: Current,
    resources: Readonly<Record<string, BindingResource | undefined>>,
    names: Readonly<Record<string, string>>,
  ): CheckedCopy {
    const name = names[from] ?? from;
    const range = rangeOf(this.#gpu, name, resources[from]);
    const target = words.has(to)
      ? { buffer: slot.buffer.buffer, ...slot.layout.words.get(to)! }
      : rangeOf(this.#gpu, to, this.#scratch.get(to));
    checkType(
      (range.buffer.usage & BufferUsage.copySrc) !== 0,
      `${name}.buffer.usage`,
      "must include COPY_SRC",
      range.buffer.usage,
    );
    checkRange(
      range.size % 4 === 0 && at + range.size <= target.size,
      `${name}.size`,
      `must be a multiple of 4 within the ${target.size} bytes of ${to} from ${at}`,
      range.size,
    );
    return { from: range, to: target, at };
  }

  #bind(
    { slot, dispatches, uniformsAt }: Current,
    i: number,
    resources: Readonly<Record<string, BindingResource | undefined>>,
    names: Readonly<Record<string, string>>,
  ): GPUBindGroup {
    const { kernel, uniforms, origins } = dispatches[i];
    const { buffer } = slot.buffer;
    const ranges = origins.map(({ kind, name }): BoundRange => {
      if (kind === "uniforms") {
        const { byteLength: size } = uniforms;
        return { buffer, offset: uniformsAt[i], size };
      }
      if (kind === "words") {
        return { buffer, ...slot.layout.words.get(name)! };
      }
      const resource = kind === "scratch"
        ? this.#scratch.get(name)
        : resources[name];
      return rangeOf(this.#gpu, names[name] ?? name, resource);
    });
    const nameOf = (binding: Binding) => {
      const { name } = origins[kernel.bindings.indexOf(binding)];
      return names[name] ?? name;
    };
    return slot.groups.get(kernel, ranges, nameOf);
  }
}

function record(
  pass: GPUComputePassEncoder,
  { kernel, grid }: CheckedDispatch,
  group: GPUBindGroup,
): void {
  pass.setPipeline(kernel.pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(...grid);
}

/** All uniforms one after the other, each at an aligned offset. */
function packAll(
  dispatches: readonly CheckedDispatch[],
  alignment: number,
): { bytes: Uint8Array; offsets: number[] } {
  let end = 0;
  const offsets = dispatches.map(({ uniforms }) => {
    const offset = end;
    end = roundUp(end + uniforms.byteLength, alignment);
    return offset;
  });
  const bytes = new Uint8Array(end);
  dispatches.forEach(({ uniforms }, i) =>
    bytes.set(new Uint8Array(uniforms), offsets[i])
  );
  return { bytes, offsets };
}
