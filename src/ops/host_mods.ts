/**
 * Mods of captured tensors with their data on the host.
 *
 * @module
 */

import type { Gpu, GpuTensor, ReadOptions } from "../gpu/mod.ts";
import { isOnDevice } from "../mods/captures/device_data.ts";
import type {
  CapturedBuffer,
  CapturedData,
  DeviceData,
  MaskMod,
  ScoreMod,
} from "../mods/mod.ts";
import { evaluationOrder } from "../mods/nodes.ts";
import { rewrite } from "../mods/rewrite.ts";

/**
 * The same mods, with what they capture on the device read back, once a tensor:
 * for what evaluates mods on the CPU (the oracle, `drawMask`,
 * `maskFunction`), and for `attention()` where it is to skip tiles by them.
 * They keep the values that the tensors have now.
 *
 * @throws {TypeError} If a tensor is destroyed, or of another `Gpu`.
 *
 * @example Which keys a mask on the device lets a query see
 * ```ts
 * import { booleanMask, openGpu } from "@quire/attention";
 * import { maskFunction } from "@quire/attention/mods";
 * import { hostMods } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * using seen = gpu.tensor(Uint8Array.of(1, 0, 1), [3]);
 * const mods = await hostMods(gpu, [booleanMask(seen, [3])]);
 * const sees = maskFunction(mods);
 * console.log([0, 1, 2].map((key) => sees(0, 0, 0, key))); // true false true
 * ```
 *
 * @category Masks and scores
 */
export async function hostMods<M extends MaskMod | ScoreMod>(
  gpu: Gpu,
  mods: readonly M[],
  options: ReadOptions = {},
): Promise<M[]> {
  const buffers = new Set(
    mods.flatMap(({ expression }) =>
      evaluationOrder(expression).flatMap((node) =>
        node.kind === "load" && isOnDevice(node.buffer.data)
          ? [node.buffer]
          : []
      )
    ),
  );
  const tensorOf = ({ data }: CapturedBuffer) =>
    (data as DeviceData).tensor as GpuTensor;
  const tensors = [...new Set([...buffers].map(tensorOf))];
  const arrays = await gpu.read(tensors, options);
  const read = new Map<CapturedBuffer, CapturedBuffer>();
  for (const buffer of buffers) {
    const elements = arrays[tensors.indexOf(tensorOf(buffer))];
    const data = hostData(elements, buffer.data as DeviceData);
    read.set(buffer, { ...buffer, data });
  }
  return mods.map((mod) => ({
    ...mod,
    expression: rewrite([mod.expression], (node) => {
      const buffer = node.kind === "load" && read.get(node.buffer);
      return buffer ? { ...node, buffer } : node;
    })[0],
  }));
}

/** Elements as kernels read them. */
function hostData(
  elements: ArrayLike<number>,
  { as }: DeviceData,
): CapturedData {
  switch (as) {
    case "float":
      return Float32Array.from(elements, (x) => Number.isFinite(x) ? x : 0);
    case "int":
      return Int32Array.from(elements);
    case "bool":
      return Uint8Array.from(elements, (x) => Number(x !== 0));
    case "finite":
      return Uint8Array.from(elements, (x) => Number(Number.isFinite(x)));
  }
}
