/**
 * `@tensorflow/tfjs` on its WebGPU backend, which has no attention of its own:
 * matMul, softmax, matMul, over tensors that are `[heads, tokens, headDim]`
 * already, as it would like them best.
 *
 * @module
 */

import { HEAD_DIM, HEADS, type PeerInputs, swapOuter } from "./cases.ts";
import { type Contestant, importPeer, type Prepared } from "./contestant.ts";

interface Tensor {
  data(): Promise<Float32Array>;
  dispose(): void;
}

interface WebGpuBackend {
  readonly queue: GPUQueue;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  backend(): WebGpuBackend;
  tensor(data: Float32Array, shape: number[]): Tensor;
  tidy(f: () => Tensor): Tensor;
  matMul(a: Tensor, b: Tensor, ta?: boolean, tb?: boolean): Tensor;
  mul(a: Tensor, b: number): Tensor;
  softmax(a: Tensor): Tensor;
}

/** tfjs on the adapter. */
export async function tfjs(version: string): Promise<Contestant> {
  const library = await importPeer<TensorFlow>("@tensorflow/tfjs-core");
  await importPeer("@tensorflow/tfjs-backend-webgpu");
  if (!await library.setBackend("webgpu")) {
    throw new Error("its WebGPU backend did not start");
  }
  await library.ready();
  return {
    name: "tfjs naive",
    version,
    whyNot: ({ blockSize, causal }) =>
      blockSize !== undefined
        ? "it has no paged attention"
        : causal
        ? "it has no causal softmax"
        : undefined,
    prepare: (_case, inputs) => Promise.resolve(prepare(library, inputs)),
  };
}

function prepare(tf: TensorFlow, inputs: PeerInputs): Prepared {
  const upload = (rows: PeerInputs["key"]) => {
    const tokens = rows.length / HEADS / HEAD_DIM;
    const swapped = swapOuter(rows as Float32Array, [tokens, HEADS]);
    return tf.tensor(swapped, [HEADS, tokens, HEAD_DIM]);
  };
  const [query, key, value] = [inputs.query, inputs.key, inputs.value]
    .map(upload);
  const queries = inputs.query.length / HEADS / HEAD_DIM;
  const scale = 1 / Math.sqrt(HEAD_DIM);
  let last: Tensor | undefined;
  return {
    call: () => {
      last?.dispose();
      last = tf.tidy(() => {
        const scores = tf.mul(tf.matMul(query, key, false, true), scale);
        return tf.matMul(tf.softmax(scores), value);
      });
      // A submit while its pass is open would run nothing.
      tf.backend().endComputePassEncoder();
      tf.backend().submitQueue();
    },
    wait: async () => void await tf.backend().queue.onSubmittedWorkDone(),
    output: async () => swapOuter(await last!.data(), [HEADS, queries]),
    destroy: () => {
      for (const tensor of [query, key, value, last]) tensor?.dispose();
    },
  };
}
