/**
 * What is asked of an adapter: which limits and features, and whether it is
 * one that can be worked with at all.
 *
 * @module
 */

import { UnsupportedError } from "../core/errors.ts";

/** The limits of which a device gets all that its adapter offers. */
export const WANTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
] as const;

/** The optional features that a device gets where its adapter offers them. */
export const WANTED_FEATURES = [
  "shader-f16",
  "timestamp-query",
  "subgroups",
] as const;

/**
 * Who made the adapter, as far as WebGPU says.
 *
 * @category Device
 */
export interface GpuInfo {
  /** The vendor's name or number. */
  readonly vendor: string;
  /** The family of the hardware. */
  readonly architecture: string;
  /** The device's name or number. */
  readonly device: string;
  /** A readable description; often the driver's own. */
  readonly description: string;
}

/** Copies the four fields; absent ones become empty strings. */
export function infoOf(info: Partial<GpuInfo> | undefined): GpuInfo {
  const { vendor = "", architecture = "", device = "", description = "" } =
    info ?? {};
  return { vendor, architecture, device, description };
}

/** Whether an adapter's own words say that it computes on the CPU. */
export function isSoftware(info: GpuInfo): boolean {
  return /llvmpipe|lavapipe|softpipe|swiftshader|basic render|warp/i.test(
    `${info.vendor} ${info.architecture} ${info.device} ${info.description}`,
  );
}

/** Features that wgpu has on every other interface. */
const NOT_ON_OPENGL = [
  "rg11b10ufloat-renderable",
  "bgra8unorm-storage",
  "float32-filterable",
] as const;

/**
 * Why an adapter is taken for an OpenGL one, or `undefined` where it is not.
 *
 * `navigator.gpu` does not say which interface lies below. wgpu falls back to
 * OpenGL where there is no Vulkan, under the same name ("llvmpipe"). Its limit
 * on bindings is then the largest u32, and it lacks features that Vulkan, Metal
 * and Direct3D 12 devices have.
 */
export function openGlReason(adapter: GPUAdapter): string | undefined {
  const text = adapter.info?.description ?? "";
  if (/\bOpenGL\b/i.test(text)) return `its description is "${text}"`;
  const marks = adapter.limits.maxBindingsPerBindGroup === 0xffffffff &&
    NOT_ON_OPENGL.every((name) => !adapter.features.has(name));
  return marks ? "its limits and features are those of OpenGL" : undefined;
}

/** What to do where there is no adapter, or none that can be used. */
const ADVICE =
  "install a Vulkan driver (Debian, Ubuntu: apt-get install mesa-vulkan-drivers libvulkan1) or, in a browser, turn WebGPU on";

/** The same where Node's WebGPU, which is Dawn, finds none. */
const DAWN_ADVICE =
  "Dawn (npm:webgpu) refuses Vulkan drivers that are too old, Mesa 22.3 of Debian 12 among them, and says why on standard error: install a newer driver (Debian 13's will do: apt-get install mesa-vulkan-drivers libvulkan1), or name another one's file in VK_DRIVER_FILES";

const NODE_ADVICE =
  'npm install webgpu, then import { create } from "webgpu" and openGpu({ gpu: create([]) })';

/** Whether this is Node itself; Deno and Bun give its version and theirs. */
function isNode(): boolean {
  const { process } = globalThis as {
    process?: { versions?: Readonly<Record<string, string>> };
  };
  const { node, deno, bun } = process?.versions ?? {};
  return node !== undefined && deno === undefined && bun === undefined;
}

/** How {@linkcode requestAdapter} looks for an adapter. */
export interface AdapterOptions {
  /** Where to ask. Defaults to `navigator.gpu`. */
  readonly gpu?: GPU;
  /** Which one to prefer. Defaults to `"high-performance"`. */
  readonly powerPreference?: GPUPowerPreference;
}

/**
 * Asks for an adapter.
 *
 * @throws {UnsupportedError} Where there is none; says what to install.
 */
export async function requestAdapter(
  options: AdapterOptions = {},
): Promise<GPUAdapter> {
  const gpu = options.gpu ?? globalThis.navigator?.gpu;
  if (gpu === undefined) {
    throw new UnsupportedError(
      "open a GPU",
      isNode()
        ? `Node has no WebGPU of its own: ${NODE_ADVICE}`
        : `this runtime has no WebGPU; pass { gpu } or { device }, or ${ADVICE}`,
    );
  }
  const { powerPreference = "high-performance" } = options;
  const adapter = await gpu.requestAdapter({ powerPreference });
  if (adapter === null) {
    throw new UnsupportedError(
      "open a GPU",
      `there is no WebGPU adapter; ${isNode() ? DAWN_ADVICE : ADVICE}`,
    );
  }
  return adapter;
}

/** Throws an {@linkcode UnsupportedError} for an OpenGL adapter. */
export function refuseOpenGl(adapter: GPUAdapter): void {
  const reason = openGlReason(adapter);
  if (reason === undefined) return;
  throw new UnsupportedError(
    "use an OpenGL adapter",
    `${reason}, and compute shaders on it are not reliable; ${ADVICE}`,
  );
}

/** The descriptor that asks for all wanted limits and features on offer. */
export function deviceDescriptor(
  adapter: GPUAdapter,
  label: string,
): GPUDeviceDescriptor & { requiredLimits: Record<string, number> } {
  const requiredLimits: Record<string, number> = {};
  for (const name of WANTED_LIMITS) {
    const value = adapter.limits[name];
    if (typeof value === "number") requiredLimits[name] = value;
  }
  const requiredFeatures = WANTED_FEATURES.filter((name) =>
    adapter.features.has(name)
  );
  return { label, requiredFeatures, requiredLimits };
}
