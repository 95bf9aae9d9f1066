/**
 * Which objects are block masks on the device, for those who take one and make
 * none: they need not have what selects its blocks.
 *
 * @module
 */

const MADE = new WeakSet<object>();

/** Notes that an object is a block mask on the device. */
export function noteDeviceBlockMask(mask: object): void {
  MADE.add(mask);
}

/** Whether something is a block mask on the device. */
export function isMadeOnDevice(value: unknown): boolean {
  return typeof value === "object" && value !== null && MADE.has(value);
}
