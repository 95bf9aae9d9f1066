/**
 * Opens a device.
 *
 * @module
 */

import { UnsupportedError } from "../core/errors.ts";
import {
  deviceDescriptor,
  infoOf,
  isSoftware,
  refuseOpenGl,
  requestAdapter,
} from "./adapter.ts";
import { Gpu } from "./gpu.ts";
import { keepReachable } from "./keep_reachable.ts";

/**
 * What {@linkcode openGpu} opens.
 *
 * @category Device
 */
export interface OpenGpuOptions {
  /** A device of the caller's own, which is used as it is, never destroyed. */
  readonly device?: GPUDevice;
  /** An adapter to request the device of. */
  readonly adapter?: GPUAdapter;
  /**
   * Where to ask for an adapter; `navigator.gpu` by default. In Node it is
   * `create([])` of `npm:webgpu`. It stays reachable for as long as the device
   * is, also where it is given beside a `device` or an `adapter` of its own:
   * Dawn frees its instance with this object.
   */
  readonly gpu?: GPU;
  /** Which adapter to prefer. Defaults to `"high-performance"`. */
  readonly powerPreference?: GPUPowerPreference;
  /** Whether an adapter that computes on the CPU will do. Defaults to true. */
  readonly allowSoftware?: boolean;
  /** The device's label. Defaults to `"quire"`. */
  readonly label?: string;
}

/**
 * Opens a device with the limits and features that its adapter offers, or
 * takes the caller's.
 *
 * @example Sum nothing, but on a device
 * ```ts
 * import { openGpu } from "@quire/attention/gpu";
 *
 * const gpu = await openGpu();
 * const tensor = gpu.tensor(new Float32Array([1, 2, 3]), [3]);
 * const [array] = await gpu.read([tensor]);
 * console.log(array); // Float32Array [ 1, 2, 3 ]
 * gpu.destroy();
 * ```
 *
 * @throws {UnsupportedError} Where there is no adapter, only an OpenGL one, or
 * only a software one and `allowSoftware` is false.
 *
 * @category Device
 */
export async function openGpu(options: OpenGpuOptions = {}): Promise<Gpu> {
  const { device, label = "quire" } = options;
  if (device !== undefined) {
    const opened = new Gpu(device);
    keepReachable(device, options.gpu, options.adapter);
    return opened;
  }
  const adapter = options.adapter ?? await requestAdapter(options);
  refuseOpenGl(adapter);
  const info = infoOf(adapter.info);
  if (options.allowSoftware === false && isSoftware(info)) {
    throw new UnsupportedError(
      "open a GPU",
      `the only adapter is ${info.description}, which computes on the CPU, and allowSoftware is false`,
    );
  }
  const made = await adapter.requestDevice(deviceDescriptor(adapter, label));
  keepReachable(made, options.gpu, adapter);
  return new Gpu(made, { owned: true, info });
}
