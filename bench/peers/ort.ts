/**
 * `onnxruntime-web` on its WebGPU execution provider: MultiHeadAttention for
 * prefill, GroupQueryAttention for decode, PagedAttention for blocks. Inputs
 * and outputs stay on the device.
 *
 * @module
 */

import type { PeerCase, PeerInputs } from "./cases.ts";
import type { Contestant, Prepared } from "./contestant.ts";
import { OrtDevice, type OrtTensor } from "./ort_device.ts";
import { ortModel } from "./ort_models.ts";

/** onnxruntime-web on the adapter. */
export async function ort(version: string): Promise<Contestant> {
  const device = await OrtDevice.open();
  return {
    name: "onnxruntime-web",
    version,
    whyNot: ({ pass }) =>
      pass === "forward" ? undefined : "it has no gradients",
    prepare: (peerCase, inputs) => prepare(device, peerCase, inputs),
  };
}

async function prepare(
  device: OrtDevice,
  peerCase: PeerCase,
  caseInputs: PeerInputs,
): Promise<Prepared> {
  const { model, feeds, onHost, inPlace } = ortModel(peerCase, caseInputs);
  const session = await device.session(model);
  const owned: OrtTensor[] = [];
  const keep = (tensor: OrtTensor) => (owned.push(tensor), tensor);
  const inputs: Record<string, OrtTensor> = {};
  for (const info of model.inputs) {
    if (info === undefined) continue;
    const rows = feeds[info.name];
    inputs[info.name] = onHost.includes(info.name)
      ? device.onHost(...rows)
      : keep(device.upload(info, rows));
  }
  const outputs = Object.fromEntries(model.outputs.map((info) => [
    info.name,
    inPlace[info.name] ? inputs[inPlace[info.name]] : keep(device.upload(info)),
  ]));
  return {
    call: async () => void await session.run(inputs, outputs),
    wait: async () => void await device.device.queue.onSubmittedWorkDone(),
    results: async () => [
      await device.download(outputs.output, model.outputs[0]),
    ],
    destroy: async () => {
      for (const { gpuBuffer } of owned) gpuBuffer.destroy();
      await session.release();
    },
  };
}
