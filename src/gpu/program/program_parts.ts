/**
 * What a program is made of, and its checks.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import type { Binding, KernelSource } from "../../core/kernel.ts";
import { packUniforms } from "../../core/uniforms.ts";
import type { Grid } from "./dispatch.ts";
import type { CompiledKernel } from "./pipeline_cache.ts";

/**
 * One dispatch of a program.
 *
 * @category Programs
 */
export interface Dispatch {
  /** The kernel. */
  readonly source: KernelSource;
  /** Values of at least the fields of `source.uniforms`. */
  readonly uniforms: Readonly<Record<string, number>>;
  /** Workgroups. */
  readonly grid: Grid;
  /**
   * Bindings that go by another name among the program's resources: the
   * kernel's name to the resource's.
   */
  readonly aliases?: Readonly<Record<string, string>> | undefined;
}

/**
 * A copy of a caller's resource into scratch or words, before the dispatches.
 *
 * @category Programs
 */
export interface ProgramCopy {
  /** The resource. */
  readonly from: string;
  /** The scratch, or the words. */
  readonly to: string;
  /** First byte in it, a multiple of 4; what the words have there is not read. */
  readonly at: number;
}

/**
 * What a program is made of; pure data.
 *
 * @category Programs
 */
export interface ProgramParts {
  /** The dispatches, in order. */
  readonly dispatches: readonly Dispatch[];
  /** Read-only storage bindings that the CPU writes, by name. */
  readonly words?: Readonly<Record<string, Uint32Array>> | undefined;
  /** Bytes of scratch, by binding name. */
  readonly scratch?: Readonly<Record<string, number>> | undefined;
  /** What each recording copies into scratch or words at its start. */
  readonly copies?: readonly ProgramCopy[] | undefined;
}

/** Where a binding's bytes come from. */
export interface Origin {
  /** Whose buffer it is. */
  readonly kind: "uniforms" | "words" | "scratch" | "caller";
  /** The name of the resource. */
  readonly name: string;
}

/** A dispatch that can be recorded but for its buffers. */
export interface CheckedDispatch {
  /** The compiled kernel. */
  readonly kernel: CompiledKernel;
  /** The source's label. */
  readonly label: string;
  /** Workgroups. */
  readonly grid: Grid;
  /** The bytes of its uniforms; none where it has none. */
  readonly uniforms: ArrayBuffer;
  /** Where each binding's bytes come from. */
  readonly origins: readonly Origin[];
}

/** What the checks look at. */
export interface PartsDevice {
  /** The device's limits. */
  readonly limits: GPUSupportedLimits;
  /** The compiled form of a kernel, if it is ready. */
  compiled(source: KernelSource): CompiledKernel | undefined;
}

/**
 * The dispatches of a program, checked.
 *
 * @throws {TypeError} Where a source is not compiled, or parts do not fit it.
 * @throws {RangeError} Where a uniform, a grid or a size is out of range.
 */
export function checkParts(
  gpu: PartsDevice,
  parts: ProgramParts,
): CheckedDispatch[] {
  const { dispatches, words = {}, scratch = {}, copies = [] } = parts;
  checkSizes(gpu, words, scratch);
  copies.forEach((copy, i) => checkCopy(`copies[${i}]`, copy, words, scratch));
  return dispatches.map((dispatch, i) => {
    const { source, grid } = dispatch;
    const name = `dispatches[${i}]`;
    const kernel = gpu.compiled(source);
    checkType(kernel, `${name}.source`, "must be compiled", source.label);
    checkGrid(gpu, `${name}.grid`, grid);
    return {
      kernel,
      label: source.label,
      grid,
      uniforms: packUniforms(source.uniforms, dispatch.uniforms),
      origins: originsOf(name, dispatch, words, scratch),
    };
  });
}

function checkSizes(
  { limits }: PartsDevice,
  words: Readonly<Record<string, Uint32Array>>,
  scratch: Readonly<Record<string, number>>,
): void {
  const limit = limits.maxStorageBufferBindingSize;
  const check = (name: string, bytes: number) =>
    checkRange(
      bytes <= limit,
      name,
      `must be <= maxStorageBufferBindingSize (${limit})`,
      bytes,
    );
  for (const [name, array] of Object.entries(words)) {
    checkType(
      array instanceof Uint32Array,
      `words.${name}`,
      "must be a Uint32Array",
      array,
    );
    check(`words.${name}.byteLength`, array.byteLength);
  }
  for (const [name, bytes] of Object.entries(scratch)) {
    checkInteger(`scratch.${name}`, bytes, 0);
    check(`scratch.${name}`, bytes);
    checkType(
      !Object.hasOwn(words, name),
      `scratch.${name}`,
      "must not be among words too",
      name,
    );
  }
}

function checkCopy(
  name: string,
  { to, at }: ProgramCopy,
  words: Readonly<Record<string, Uint32Array>>,
  scratch: Readonly<Record<string, number>>,
): void {
  checkType(
    Object.hasOwn(scratch, to) || Object.hasOwn(words, to),
    `${name}.to`,
    "must be among scratch or words",
    to,
  );
  checkInteger(`${name}.at`, at, 0, scratch[to] ?? words[to].byteLength);
  checkRange(at % 4 === 0, `${name}.at`, "must be a multiple of 4", at);
}

function checkGrid({ limits }: PartsDevice, name: string, grid: Grid): void {
  checkType(grid?.length === 3, name, "must have 3 numbers", grid);
  const most = limits.maxComputeWorkgroupsPerDimension;
  grid.forEach((count, i) => checkInteger(`${name}[${i}]`, count, 0, most));
}

function originsOf(
  name: string,
  { source, aliases = {} }: Dispatch,
  words: object,
  scratch: object,
): Origin[] {
  for (const alias of Object.keys(aliases)) {
    checkType(
      source.bindings.some((binding) => binding.name === alias),
      `${name}.aliases`,
      `must only name bindings of ${source.label}`,
      alias,
    );
  }
  const hasUniforms = Object.keys(source.uniforms).length > 0;
  return source.bindings.map((binding) => {
    const resource = aliases[binding.name] ?? binding.name;
    const kind = hasUniforms && binding.access === "uniform"
      ? "uniforms"
      : Object.hasOwn(words, resource)
      ? "words"
      : Object.hasOwn(scratch, resource)
      ? "scratch"
      : "caller";
    checkAccess(kind, resource, binding, source);
    return { kind, name: resource };
  });
}

function checkAccess(
  kind: Origin["kind"],
  resource: string,
  { access }: Binding,
  { label }: KernelSource,
): void {
  if (kind === "words") {
    checkType(
      access === "read",
      `words.${resource}`,
      `must be read-only storage in ${label}`,
      access,
    );
  }
  if (kind === "scratch") {
    checkType(
      access !== "uniform",
      `scratch.${resource}`,
      `must be storage in ${label}`,
      access,
    );
  }
}
