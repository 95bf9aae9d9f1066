/**
 * An op of a layer in one call.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import {
  type Gpu,
  GpuTensor,
  type HostBits,
  type HostTensor,
} from "../../gpu/mod.ts";
import { uploadHost } from "../../gpu/host_tensor.ts";
import type { LayerOp, LayerTensor } from "./op.ts";
import { LayerPlan } from "./plan.ts";

/**
 * Runs an op on the tensors among its options, of which `first` decides where
 * results are: on the host, or GPU tensors that are the caller's, for which
 * nothing waits.
 *
 * @returns What the op writes, by name.
 * @throws {TypeError} for wrong types, shapes and options
 * @throws {RangeError} for values out of range
 * @throws {DeviceLostError} if the device is lost
 */
export async function runLayer<Options extends object>(
  gpu: Gpu,
  op: LayerOp<Options>,
  { options, first }: { readonly options: Options; readonly first: string },
): Promise<Record<string, GpuTensor | HostTensor>> {
  const given = options as Readonly<Record<string, unknown>>;
  const plan = await LayerPlan.create(gpu, op, options);
  const temporary: { destroy(): void }[] = [plan];
  const made: GpuTensor[] = [];
  try {
    checkType(
      given.accumulate === undefined,
      "accumulate",
      "must be given to a plan only, as results of one call are new",
      given.accumulate,
    );
    const { read, written } = plan.tensors;
    const tensors: Record<string, GpuTensor> = {};
    for (const [name, tensor] of Object.entries(read)) {
      const { tensor: own, made } = upload(gpu, name, given[name], tensor);
      if (made) temporary.push(own);
      tensors[name] = own;
    }
    for (const [name, { dtype, shape }] of Object.entries(written)) {
      made.push(gpu.empty(dtype, shape, `${op.name}.${name}`));
      tensors[name] = made.at(-1)!;
    }
    gpu.submit(op.name, (encoder) => plan.encode(encoder, tensors));
    const names = Object.keys(written);
    if (given[first] instanceof GpuTensor) {
      return Object.fromEntries(names.map((name, i) => [name, made[i]]));
    }
    temporary.push(...made);
    const arrays = await gpu.read(made);
    return Object.fromEntries(names.map((name, i) => [name, {
      data: arrays[i] as Float32Array,
      shape: made[i].shape,
    }]));
  } catch (error) {
    temporary.push(...made);
    throw error;
  } finally {
    for (const one of temporary) one.destroy();
  }
}

function upload(
  gpu: Gpu,
  name: string,
  given: unknown,
  { dtype, shape }: LayerTensor,
): { readonly tensor: GpuTensor; readonly made: boolean } {
  checkType(given !== undefined, name, "must be given", given);
  if (dtype === "u32" && !(given instanceof GpuTensor)) {
    const { data } = given as { readonly data: Uint32Array };
    checkType(data, `${name}.data`, "must be a Uint32Array", data);
    return { tensor: gpu.tensor(data, shape, name), made: true };
  }
  const tensor = given as GpuTensor | HostTensor | HostBits;
  return uploadHost(gpu, tensor, { name, label: name });
}
