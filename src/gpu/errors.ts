/**
 * Error scopes: what the device reports, as errors that name what was done.
 *
 * @module
 */

import type { DeviceContext } from "./device_context.ts";

/** An `Error` that says what was being done; the device's is its `cause`. */
export function labelled(label: string, error: { message: string }): Error {
  return new Error(`Cannot ${label}: ${error.message.trim()}`, {
    cause: error,
  });
}

/** See `Gpu.scoped()`. */
export async function scoped<T>(
  gpu: DeviceContext,
  label: string,
  run: () => T | Promise<T>,
): Promise<T> {
  const { device } = gpu;
  device.pushErrorScope("out-of-memory");
  device.pushErrorScope("validation");
  let result: T | Promise<T>;
  let scopes: Promise<(GPUError | null)[]>;
  try {
    result = run();
  } finally {
    // Popped before anything is awaited: scopes are one stack per device, so
    // concurrent work would otherwise end up in ours.
    scopes = Promise.all([device.popErrorScope(), device.popErrorScope()]);
    scopes.catch(() => {});
  }
  try {
    const [value, [validation, memory]] = await Promise.all([result, scopes]);
    const error = validation ?? memory;
    if (error) throw labelled(label, error);
    return value;
  } catch (error) {
    throw await gpu.lossOr(error);
  }
}
