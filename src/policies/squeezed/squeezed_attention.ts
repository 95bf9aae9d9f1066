/**
 * Squeezed Attention in one call.
 *
 * @module
 */

import { type Gpu, GpuTensor, type HostTensor } from "../../gpu/mod.ts";
import { uploadHost } from "../../gpu/host_tensor.ts";
import type { SqueezedOptions } from "./options.ts";
import { type KeptKeys, SqueezedPlan } from "./squeezed_plan.ts";

/**
 * What {@linkcode squeezedAttention} gives.
 *
 * @category Policies
 */
export interface SqueezedResult<T extends GpuTensor | HostTensor> {
  /** Like the query, with the value's head dim. */
  readonly output: T;
  /** `[1, queries, queryHeads]`, natural logarithm, f32; where asked for. */
  readonly lse?: T;
  /** Which keys of the context were kept; where tensors are on the host. */
  readonly kept?: KeptKeys;
}

/**
 * Attention over a fixed context of which only keys are read that matter to the
 * queries, and over all that stands behind it (Squeezed Attention, Hooper et al.
 * 2024, arXiv:2411.09688). See {@linkcode SqueezedPlan} for what is computed, and
 * for calls that are repeated.
 *
 * Exact for the keys that are kept; against attention over all keys an output is
 * off by at most `2 m max|v|`, where `m` is what of the row's attention the
 * dropped keys have.
 *
 * @throws {TypeError} for wrong types, shapes and options, and clusters of other
 * heads or of another Gpu
 * @throws {RangeError} for values out of range
 * @throws {UnsupportedError} for f16 on a device without `shader-f16`, and for
 * more clusters than the adapter's loops go through
 * @throws {DeviceLostError} if the device is lost
 *
 * @example A query that looks one of two clusters up
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { squeezedAttention } from "@quire/attention/policies";
 *
 * using gpu = await openGpu();
 * const clusters = {
 *   centroids: gpu.tensor(Float32Array.of(9, 0, 0, 9), [1, 2, 2]),
 *   counts: gpu.tensor(Uint32Array.of(2, 2), [1, 2]),
 *   labels: gpu.tensor(Uint32Array.of(0, 1, 0, 1), [1, 4]),
 * };
 * const { output, kept } = await squeezedAttention(gpu, {
 *   query: { data: Float32Array.of(9, 0), shape: [1, 1, 1, 2] },
 *   // 4 keys of the context, and the query's own
 *   key: { data: Float32Array.of(9, 0, 0, 9, 9, 0, 0, 9, 0, 0), shape: [1, 5, 1, 2] },
 *   value: { data: Float32Array.of(1, 7, 3, 7, 7), shape: [1, 5, 1, 1] },
 *   clusters,
 *   threshold: 0.1,
 * });
 * console.log(output.data, kept?.keys[0]); // 2; 0, 2
 * ```
 *
 * @category Policies
 */
export async function squeezedAttention<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: SqueezedOptions<GpuTensor | HostTensor> & { readonly query: T },
): Promise<SqueezedResult<T>>;
export async function squeezedAttention(
  gpu: Gpu,
  options: SqueezedOptions<GpuTensor | HostTensor>,
): Promise<SqueezedResult<GpuTensor | HostTensor>> {
  const plan = await SqueezedPlan.create(gpu, options);
  const temporary: { destroy(): void }[] = [plan];
  const results: GpuTensor[] = [];
  try {
    const onDevice = (name: "query" | "key" | "value") => {
      const { tensor, made } = uploadHost(gpu, options[name], {
        name,
        label: "squeezed.input",
      });
      if (made) temporary.push(tensor);
      return tensor;
    };
    const query = onDevice("query");
    const [key, value] = [onDevice("key"), onDevice("value")];
    const shape = [...query.shape.slice(0, 3), value.shape[3]];
    const { dtype } = query as { dtype: "f32" | "f16" };
    results.push(gpu.empty(dtype, shape, "squeezed.output"));
    if (options.returnLse) {
      results.push(gpu.empty("f32", shape.slice(0, 3), "squeezed.lse"));
    }
    const [output, lse] = results;
    gpu.submit(
      "squeezed",
      (encoder) => plan.encode(encoder, { query, key, value, output, lse }),
    );
    if (options.query instanceof GpuTensor) {
      return lse ? { output, lse } : { output };
    }
    temporary.push(...results);
    const arrays = await gpu.read(results);
    const [own, ownLse] = arrays.map((data, i) => ({
      data: data as Float32Array,
      shape: results[i].shape,
    }));
    const kept = await plan.kept();
    return ownLse ? { output: own, lse: ownLse, kept } : { output: own, kept };
  } catch (error) {
    temporary.push(...results);
    throw error;
  } finally {
    for (const one of temporary) one.destroy();
  }
}
