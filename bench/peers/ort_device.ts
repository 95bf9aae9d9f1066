/**
 * onnxruntime-web and its device: sessions, and tensors that stay there.
 *
 * @module
 */

import { importPeer } from "./contestant.ts";
import { onnxModel, type SingleNodeModel, type ValueInfo } from "./onnx.ts";

/** A tensor of onnxruntime-web. */
export interface OrtTensor {
  /** Its buffer on the device. */
  readonly gpuBuffer: GPUBuffer;
}

/** Tensors by the names of a model's inputs or outputs. */
export type OrtTensors = Readonly<Record<string, OrtTensor>>;

/** A compiled model. */
export interface OrtSession {
  run(inputs: OrtTensors, outputs: OrtTensors): Promise<unknown>;
  release(): Promise<void>;
}

interface Ort {
  readonly env: {
    logLevel: string;
    readonly wasm: { numThreads: number; wasmPaths: string };
    readonly webgpu: { readonly device: Promise<GPUDevice> };
  };
  readonly InferenceSession: {
    create(model: Uint8Array, options: object): Promise<OrtSession>;
  };
  readonly Tensor: {
    new (type: string, data: Int32Array, dims: number[]): OrtTensor;
    fromGpuBuffer(
      buffer: GPUBuffer,
      options: { dataType: ValueInfo["type"]; dims: readonly number[] },
    ): OrtTensor;
  };
}

type HostRows = Float32Array | Float16Array | Int32Array;

/** Its WebGPU build; the package's main entry is one for the CPU. */
const SPECIFIER = "onnxruntime-web/webgpu";

/** The smallest model there is. */
const KEEPER: SingleNodeModel = {
  operator: "Gelu",
  inputs: [{ name: "x", type: "float32", dims: [1] }],
  outputs: [{ name: "y", type: "float32", dims: [1] }],
  attributes: {},
};

/** onnxruntime-web with its WebGPU execution provider. */
export class OrtDevice {
  readonly #ort: Ort;
  #device!: GPUDevice;

  private constructor(ort: Ort) {
    this.#ort = ort;
  }

  /** Loads the library; its WebAssembly lies beside the module. */
  static async open(): Promise<OrtDevice> {
    const ort = await importPeer<Ort>(SPECIFIER);
    ort.env.logLevel = "fatal";
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = new URL(".", import.meta.resolve(SPECIFIER)).href;
    const opened = new OrtDevice(ort);
    // The library destroys its device with the last session, so one stays.
    await opened.session(KEEPER);
    opened.#device = await ort.env.webgpu.device;
    return opened;
  }

  /** The device. */
  get device(): GPUDevice {
    return this.#device;
  }

  /** Compiles a model whose outputs stay on the device. */
  async session(model: SingleNodeModel): Promise<OrtSession> {
    return await this.#ort.InferenceSession.create(onnxModel(model), {
      executionProviders: ["webgpu"],
      preferredOutputLocation: Object.fromEntries(
        model.outputs.map(({ name }) => [name, "gpu-buffer"]),
      ),
    });
  }

  /** A tensor on the device: `rows`, or zeros. */
  upload({ type, dims }: ValueInfo, rows?: HostRows): OrtTensor {
    const bytes = dims.reduce((a, b) => a * b, type === "float16" ? 2 : 4);
    const buffer = this.device.createBuffer({
      label: "peers.ort",
      size: Math.ceil(bytes / 16) * 16,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC |
        GPUBufferUsage.COPY_DST,
    });
    if (rows) {
      const { byteOffset, byteLength } = rows;
      const data = rows.buffer as ArrayBuffer;
      this.device.queue.writeBuffer(buffer, 0, data, byteOffset, byteLength);
    }
    return this.#ort.Tensor.fromGpuBuffer(buffer, { dataType: type, dims });
  }

  /** A small tensor on the host, for what the library reads there. */
  onHost(...values: number[]): OrtTensor {
    const data = Int32Array.from(values);
    return new this.#ort.Tensor("int32", data, [values.length]);
  }

  /** Reads a tensor back. */
  async download(tensor: OrtTensor, info: ValueInfo): Promise<
    Float32Array | Float16Array
  > {
    const count = info.dims.reduce((a, b) => a * b);
    const { gpuBuffer } = tensor;
    const staging = this.device.createBuffer({
      label: "peers.ort.staging",
      size: gpuBuffer.size,
      usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
    });
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(gpuBuffer, 0, staging, 0, gpuBuffer.size);
    this.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const data = staging.getMappedRange().slice(0);
    staging.destroy();
    return info.type === "float16"
      ? new Float16Array(data, 0, count)
      : new Float32Array(data, 0, count);
  }
}
