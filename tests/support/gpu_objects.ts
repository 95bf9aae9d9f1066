/** Counts the GPU objects that something makes and destroys. @module */

import type { Gpu } from "../../src/gpu/mod.ts";

/** How many objects of each kind were made. */
export interface MadeObjects {
  readonly buffers: number;
  /** How many of these buffers were destroyed in the same time. */
  readonly destroyed: number;
  readonly bindGroups: number;
}

/** What `run` makes on the device, synchronously or until its promise is kept. */
export async function objectsMadeBy(
  { device }: Gpu,
  run: () => unknown,
): Promise<MadeObjects> {
  const { createBuffer, createBindGroup } = device;
  let buffers = 0;
  let destroyed = 0;
  let bindGroups = 0;
  device.createBuffer = function (descriptor) {
    buffers++;
    const buffer = createBuffer.call(this, descriptor);
    const { destroy } = buffer;
    buffer.destroy = () => (destroyed++, destroy.call(buffer));
    return buffer;
  };
  device.createBindGroup = function (descriptor) {
    bindGroups++;
    return createBindGroup.call(this, descriptor);
  };
  try {
    await run();
  } finally {
    // What is left is the prototype's.
    Reflect.deleteProperty(device, "createBuffer");
    Reflect.deleteProperty(device, "createBindGroup");
  }
  return { buffers, destroyed, bindGroups };
}
