/**
 * Holds on to what a device was opened with.
 *
 * @module
 */

const openedWith = new WeakMap<GPUDevice, Set<object>>();

/**
 * Keeps `what` from being collected for as long as `device` is reachable. Dawn
 * frees its instance with the JavaScript object, whatever still runs on it: a
 * process whose last reference to `create([])` is gone dies at its next await.
 */
export function keepReachable(
  device: GPUDevice,
  ...what: readonly (object | undefined)[]
): void {
  const kept = openedWith.get(device) ?? new Set();
  openedWith.set(device, kept);
  for (const object of what) if (object !== undefined) kept.add(object);
}

/** What is kept reachable with a device. */
export function keptWith(device: GPUDevice): ReadonlySet<object> {
  return openedWith.get(device) ?? new Set();
}
