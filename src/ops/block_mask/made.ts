/**
 * Which objects are block masks on the device, for those who take one and make
 * none: they need not have what selects its blocks.
 *
 * @module
 */

import type { DeviceBlockMask } from "./device_block_mask.ts";

const MADE = new WeakSet<object>();

/** Notes that an object is a block mask on the device. */
export function noteDeviceBlockMask(mask: DeviceBlockMask): void {
  MADE.add(mask);
}

/** Whether something is a block mask on the device. */
export function isDeviceBlockMask(value: unknown): value is DeviceBlockMask {
  return typeof value === "object" && value !== null && MADE.has(value);
}
