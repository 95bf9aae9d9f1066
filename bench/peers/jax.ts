/**
 * `@jax-js/jax`: its `dotProductAttention`, compiled by its `jit`.
 *
 * Its arrays are lazy: one that is disposed before it is awaited is never
 * computed. So every call's result is kept until it is done.
 *
 * @module
 */

import { HEAD_DIM, HEADS, type PeerInputs } from "./cases.ts";
import { type Contestant, importPeer, type Prepared } from "./contestant.ts";

interface JaxArray {
  /** The array, counted once more: an operation consumes its operands. */
  readonly ref: JaxArray;
  reshape(shape: number[]): JaxArray;
  blockUntilReady(): Promise<JaxArray>;
  data(): Promise<ArrayLike<number>>;
  dispose(): void;
}

type Attention = (query: JaxArray, key: JaxArray, value: JaxArray) => JaxArray;

interface Jax {
  init(device: string): Promise<string[]>;
  defaultDevice(device: string): unknown;
  jit(f: Attention): Attention;
  readonly numpy: { array(data: Float32Array): JaxArray };
  readonly nn: {
    dotProductAttention(
      query: JaxArray,
      key: JaxArray,
      value: JaxArray,
      options: { isCausal: boolean },
    ): JaxArray;
  };
}

/** jax-js on the adapter. */
export async function jax(version: string): Promise<Contestant> {
  const library = await importPeer<Jax>("@jax-js/jax");
  const devices = await library.init("webgpu");
  if (!devices.includes("webgpu")) throw new Error("it found no WebGPU device");
  library.defaultDevice("webgpu");
  return {
    name: "jax-js jit",
    version,
    whyNot: ({ blockSize }) =>
      blockSize === undefined ? undefined : "it has no paged attention",
    prepare: (peerCase, inputs) => {
      const isCausal = peerCase.causal;
      const attend = library.jit((q, k, v) =>
        library.nn.dotProductAttention(q, k, v, { isCausal })
      );
      return Promise.resolve(prepare(library, attend, inputs));
    },
  };
}

function prepare(
  library: Jax,
  attend: Attention,
  inputs: PeerInputs,
): Prepared {
  const [query, key, value] = [inputs.query, inputs.key, inputs.value]
    .map((rows) =>
      library.numpy.array(rows as Float32Array)
        .reshape([rows.length / HEADS / HEAD_DIM, HEADS, HEAD_DIM])
    );
  let pending: JaxArray[] = [];
  let last: JaxArray | undefined;
  return {
    call: () => void pending.push(attend(query.ref, key.ref, value.ref)),
    wait: async () => {
      const results = pending;
      pending = [];
      await Promise.all(results.map((result) => result.blockUntilReady()));
      last?.dispose();
      last = results.pop();
      for (const result of results) result.dispose();
    },
    output: async () => {
      const data = await last!.data();
      last = undefined;
      return data;
    },
    destroy: () => {
      for (const array of [query, key, value, last]) array?.dispose();
    },
  };
}
