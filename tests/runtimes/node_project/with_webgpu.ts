// What a Node project writes.
import { create } from "webgpu";
import { attention, type HostTensor, openGpu } from "@quire/attention";

const gpu = await openGpu({ gpu: create([]) });
const tensor: HostTensor = { data: new Float32Array(64), shape: [1, 1, 1, 64] };
const { output } = await attention(gpu, {
  query: tensor,
  key: tensor,
  value: tensor,
});
const shape: readonly number[] = output.shape;
const bits = await attention(gpu, {
  query: { data: new Uint16Array(64), shape: [1, 1, 1, 64], dtype: "bf16" },
  key: tensor,
  value: tensor,
});
const numbers: Float32Array | Float16Array = bits.output.data;
// @ts-expect-error -- the library is typed, not any
const wrong: string = output.shape;
export { numbers, shape, wrong };
