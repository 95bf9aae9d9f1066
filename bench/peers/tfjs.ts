/**
 * `@tensorflow/tfjs` on its WebGPU backend, which has no attention of its own:
 * matMul, softmax, matMul, over tensors that are `[heads, tokens, headDim]`
 * already, as it would like them best. Its `grads` run forward each time.
 *
 * @module
 */

import {
  HEAD_DIM,
  HEADS,
  type Pass,
  type PeerInputs,
  swapOuter,
} from "./cases.ts";
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

type Attention = (query: Tensor, key: Tensor, value: Tensor) => Tensor;

interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  backend(): WebGpuBackend;
  tensor(data: Float32Array, shape: number[]): Tensor;
  tidy(f: () => Tensor[]): Tensor[];
  grads(f: Attention): (inputs: Tensor[], outputGradient: Tensor) => Tensor[];
  matMul(a: Tensor, b: Tensor, ta?: boolean, tb?: boolean): Tensor;
  mul(a: Tensor, b: number): Tensor;
  softmax(a: Tensor): Tensor;
}

/** tfjs on the adapter. */
export async function tfjs(version: string): Promise<Contestant> {
  const library = await importPeer<TensorFlow>("@tensorflow/tfjs-core");
  await importPeer("@tensorflow/tfjs-backend-webgpu");
  // Its core has gradients, but outside of a bundle only this registers them.
  await importPeer("@tensorflow/tfjs-layers");
  if (!await library.setBackend("webgpu")) {
    throw new Error("its WebGPU backend did not start");
  }
  await library.ready();
  return {
    name: "tfjs naive",
    version,
    whyNot: ({ pass, blockSize, causal }) =>
      blockSize !== undefined
        ? "it has no paged attention"
        : causal
        ? "it has no causal softmax"
        : pass === "backward"
        ? "its backward runs forward too"
        : undefined,
    prepare: ({ pass }, inputs) =>
      Promise.resolve(prepare(library, pass, inputs)),
  };
}

function prepare(tf: TensorFlow, pass: Pass, inputs: PeerInputs): Prepared {
  const tokensOf = (rows: ArrayLike<number>) => rows.length / HEADS / HEAD_DIM;
  const upload = (rows: PeerInputs["key"]) => {
    const tokens = tokensOf(rows);
    const swapped = swapOuter(rows as Float32Array, [tokens, HEADS]);
    return tf.tensor(swapped, [HEADS, tokens, HEAD_DIM]);
  };
  const operands = [inputs.query, inputs.key, inputs.value].map(upload);
  const [query, key, value] = operands;
  const outputGradient = upload(inputs.outputGradient);
  const scale = 1 / Math.sqrt(HEAD_DIM);
  const attend: Attention = (q, k, v) => {
    const scores = tf.mul(tf.matMul(q, k, false, true), scale);
    return tf.matMul(tf.softmax(scores), v);
  };
  const gradients = tf.grads(attend);
  const run = pass === "forward"
    ? () => [attend(query, key, value)]
    : () => gradients(operands, outputGradient);
  let last: Tensor[] = [];
  return {
    call: () => {
      for (const tensor of last) tensor.dispose();
      last = tf.tidy(run);
      // A submit while its pass is open would run nothing.
      tf.backend().endComputePassEncoder();
      tf.backend().submitQueue();
    },
    wait: async () => void await tf.backend().queue.onSubmittedWorkDone(),
    results: () =>
      Promise.all(last.map(async (tensor) => {
        const rows = await tensor.data();
        return swapOuter(rows, [HEADS, tokensOf(rows)]);
      })),
    destroy: () => {
      for (const tensor of [...operands, outputGradient, ...last]) {
        tensor.dispose();
      }
    },
  };
}
