/**
 * Which objects are block masks on the device, for those who take one and make
 * none: they need not have what selects its blocks, and its kernel comes along.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import type { KernelSource } from "../../core/kernel.ts";
import type { BlockRunsSpec } from "../../../kernels/selection/block_runs.ts";

/** Makes the kernel that narrows runs to selected blocks. */
export type RunsKernel = (spec: BlockRunsSpec) => KernelSource;

const MADE = new WeakMap<object, RunsKernel>();

/** Notes that an object is a block mask on the device. */
export function noteDeviceBlockMask(mask: object, kernel: RunsKernel): void {
  MADE.set(mask, kernel);
}

/** Whether something is a block mask on the device. */
export function isMadeOnDevice(value: unknown): boolean {
  return typeof value === "object" && value !== null && MADE.has(value);
}

/**
 * What makes the kernel that narrows runs to the blocks that a mask selects.
 *
 * @throws {TypeError} if it is no block mask on the device
 */
export function runsKernelOf(mask: object): RunsKernel {
  const kernel = MADE.get(mask);
  checkType(kernel, "blockMask", "must be a DeviceBlockMask", mask);
  return kernel;
}
