/**
 * Compiles kernels once. The key is the source text, so whatever a kernel
 * depends on is in its key.
 *
 * @module
 */

import { UnsupportedError } from "../../core/errors.ts";
import type { Binding, KernelSource } from "../../core/kernel.ts";
import { uniformsSize } from "../../core/uniforms.ts";
import type { DeviceContext } from "../device_context.ts";
import { STAGE_COMPUTE } from "../buffers/usage.ts";

/**
 * A kernel that is ready to be bound and dispatched.
 *
 * @category Programs
 */
export interface CompiledKernel {
  /** The label of the source. */
  readonly label: string;
  /** The compute pipeline; its entry point is `main`. */
  readonly pipeline: GPUComputePipeline;
  /**
   * The layout of group 0, shared by kernels with the same accesses and as many
   * bytes of uniforms.
   */
  readonly layout: GPUBindGroupLayout;
  /** Group 0's bindings, in order. */
  readonly bindings: readonly Binding[];
}

interface Layouts {
  readonly group: GPUBindGroupLayout;
  readonly pipeline: GPUPipelineLayout;
}

const BUFFER_TYPES = {
  read: "read-only-storage",
  read_write: "storage",
  uniform: "uniform",
} as const;

/** The pipelines and layouts of one `Gpu`. */
export class PipelineCache {
  #gpu: DeviceContext;
  #kernels = new Map<string, Promise<CompiledKernel>>();
  #compiled = new Map<string, CompiledKernel>();
  #layouts = new Map<string, Layouts>();

  /** An empty cache on `gpu`. */
  constructor(gpu: DeviceContext) {
    this.#gpu = gpu;
  }

  /** The number of pipelines that have been compiled and are kept. */
  get size(): number {
    return this.#compiled.size;
  }

  /** See `Gpu.pipeline()`. */
  get(kernel: KernelSource): Promise<CompiledKernel> {
    const key = keyOf(kernel);
    const cached = this.#kernels.get(key);
    if (cached) return cached;
    const promise = this.#compile(kernel).then((compiled) => {
      this.#compiled.set(key, compiled);
      return compiled;
    }, (error) => {
      this.#kernels.delete(key);
      throw error;
    });
    this.#kernels.set(key, promise);
    return promise;
  }

  /** See `Gpu.compiled()`. */
  compiled(kernel: KernelSource): CompiledKernel | undefined {
    return this.#compiled.get(keyOf(kernel));
  }

  async #compile(kernel: KernelSource): Promise<CompiledKernel> {
    checkSupported(this.#gpu, kernel);
    const { label, code, bindings } = kernel;
    const { device } = this.#gpu;
    const layouts = this.#layoutsOf(kernel);
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ label, code });
    const scope = device.popErrorScope();
    const pending = device.createComputePipelineAsync({
      label,
      layout: layouts.pipeline,
      compute: { module, entryPoint: "main" },
    });
    try {
      const [pipeline] = await Promise.all([pending, scope]);
      return { label, pipeline, layout: layouts.group, bindings };
    } catch (error) {
      throw await this.#gpu.lossOr(
        await compileError(kernel, module, error as Error),
      );
    }
  }

  // Sizes of uniforms are part of a layout: where it leaves them open, wgpu holds
  // a dispatch against the size of the kernel before it that had the same layout
  // (gfx-rs/wgpu#7359).
  #layoutsOf({ bindings, uniforms }: KernelSource): Layouts {
    const bytes = uniformsSize(uniforms);
    const accesses = bindings.map((binding) => binding.access).join(",");
    const label = `${accesses}/${bytes}`;
    const known = this.#layouts.get(label);
    if (known) return known;
    const { device } = this.#gpu;
    const group = device.createBindGroupLayout({
      label,
      entries: bindings.map(({ access }, i) => ({
        binding: i,
        visibility: STAGE_COMPUTE,
        buffer: {
          type: BUFFER_TYPES[access],
          ...(access === "uniform" && { minBindingSize: bytes }),
        },
      })),
    });
    const pipeline = device.createPipelineLayout({
      label,
      bindGroupLayouts: [group],
    });
    const layouts = { group, pipeline };
    this.#layouts.set(label, layouts);
    return layouts;
  }
}

function keyOf({ bindings, code }: KernelSource): string {
  return `${bindings.map((binding) => binding.access)}\n${code}`;
}

function checkSupported(gpu: DeviceContext, kernel: KernelSource): void {
  const what = `compile ${kernel.label}`;
  for (const feature of kernel.features) {
    if (!gpu.features.has(feature)) {
      throw new UnsupportedError(what, `the device lacks ${feature}`);
    }
  }
  const uniforms =
    kernel.bindings.filter((binding) => binding.access === "uniform").length;
  const counts = {
    maxStorageBuffersPerShaderStage: kernel.bindings.length - uniforms,
    maxUniformBuffersPerShaderStage: uniforms,
  };
  for (const [name, count] of Object.entries(counts)) {
    const limit = gpu.limits[name as keyof typeof counts];
    if (count > limit) {
      throw new UnsupportedError(
        what,
        `it binds ${count} buffers where ${name} is ${limit}`,
      );
    }
  }
}

/** All that is known of a failed compile, with the lines that it is about. */
async function compileError(
  kernel: KernelSource,
  module: GPUShaderModule,
  error: Error,
): Promise<Error> {
  const { messages } = await module.getCompilationInfo();
  const parts = messages
    .filter((message) => message.type === "error")
    .map(({ lineNum, linePos, message }) =>
      `${lineNum}:${linePos} ${message.trim()}\n${
        linesAround(kernel.code, lineNum)
      }`
    );
  if (parts.length === 0) parts.push(error.message);
  return new Error(`Cannot compile ${kernel.label}: ${parts.join("\n")}`, {
    cause: error,
  });
}

function linesAround(code: string, line: number): string {
  const lines = code.split("\n");
  const first = Math.max(0, line - 4);
  return lines.slice(first, line + 3)
    .map((text, i) => {
      const number = first + i + 1;
      const mark = number === line ? ">" : " ";
      return `${mark}${String(number).padStart(5)} | ${text}`;
    })
    .join("\n");
}
