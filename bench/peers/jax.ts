/**
 * `@jax-js/jax`: its `dotProductAttention`, compiled by its `jit`; its `grad` of
 * that, and the second half of its `vjp`.
 *
 * Its arrays are lazy: one that is disposed before it is awaited is never
 * computed. So every call's results are kept until they are done.
 *
 * @module
 */

import { HEAD_DIM, HEADS, type PeerCase, type PeerInputs } from "./cases.ts";
import { type Contestant, importPeer, type Prepared } from "./contestant.ts";

interface JaxArray {
  /** The array, counted once more: an operation consumes its operands. */
  readonly ref: JaxArray;
  reshape(shape: number[]): JaxArray;
  mul(other: JaxArray): JaxArray;
  blockUntilReady(): Promise<JaxArray>;
  data(): Promise<ArrayLike<number>>;
  dispose(): void;
}

type Attention = (query: JaxArray, key: JaxArray, value: JaxArray) => JaxArray;

/** A scalar of the three, and of what its derivative by the output is to be. */
type Loss = (...operands: JaxArray[]) => JaxArray;

type Gradients = (...operands: JaxArray[]) => JaxArray[];

interface Jax {
  init(device: string): Promise<string[]>;
  defaultDevice(device: string): unknown;
  jit<F extends Attention | Gradients>(f: F): F;
  grad(f: Loss, options: { argnums: number[] }): Gradients;
  vjp(
    f: Attention,
    primals: [JaxArray, JaxArray, JaxArray],
  ): [output: JaxArray, backward: Backward];
  readonly numpy: {
    array(data: Float32Array): JaxArray;
    sum(array: JaxArray): JaxArray;
  };
  readonly nn: {
    dotProductAttention(
      query: JaxArray,
      key: JaxArray,
      value: JaxArray,
      options: { isCausal: boolean },
    ): JaxArray;
  };
}

/** It owns what forward left, until it is disposed. */
interface Backward {
  (outputGradient: JaxArray): JaxArray[];
  dispose(): void;
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
    prepare: (peerCase, inputs) => prepare(library, peerCase, inputs),
  };
}

/** What a call runs, and what holds on to arrays besides the inputs. */
interface Step {
  call(): JaxArray[];
  readonly owned: readonly { dispose(): void }[];
}

async function prepare(
  library: Jax,
  { pass, causal: isCausal }: PeerCase,
  inputs: PeerInputs,
): Promise<Prepared> {
  const upload = (rows: PeerInputs["key"]) =>
    library.numpy.array(rows as Float32Array)
      .reshape([rows.length / HEADS / HEAD_DIM, HEADS, HEAD_DIM]);
  const [query, key, value, outputGradient] = [
    inputs.query,
    inputs.key,
    inputs.value,
    inputs.outputGradient,
  ].map(upload);
  const attend = library.jit<Attention>((q, k, v) =>
    library.nn.dotProductAttention(q, k, v, { isCausal })
  );
  const steps = {
    forward: (): Step => ({
      call: () => [attend(query.ref, key.ref, value.ref)],
      owned: [],
    }),
    gradients: (): Step => {
      const gradients = library.jit(library.grad(
        (q, k, v, upstream) => library.numpy.sum(attend(q, k, v).mul(upstream)),
        { argnums: [0, 1, 2] },
      ));
      const operands = [query, key, value, outputGradient];
      return {
        call: () => gradients(...operands.map((operand) => operand.ref)),
        owned: [],
      };
    },
    backward: async (): Promise<Step> => {
      const [output, backward] = library.vjp(
        attend,
        [query.ref, key.ref, value.ref],
      );
      await output.blockUntilReady();
      return {
        call: () => backward(outputGradient.ref),
        owned: [output, backward],
      };
    },
  };
  const step = await steps[pass]();
  return prepared(step, [query, key, value, outputGradient]);
}

function prepared(step: Step, inputs: readonly JaxArray[]): Prepared {
  let pending: JaxArray[][] = [];
  let last: JaxArray[] = [];
  const dispose = (made: readonly { dispose(): void }[]) => {
    for (const one of made) one.dispose();
  };
  return {
    call: () => void pending.push(step.call()),
    wait: async () => {
      const results = pending;
      pending = [];
      await Promise.all(results.flat().map((one) => one.blockUntilReady()));
      dispose(last);
      last = results.pop() ?? [];
      dispose(results.flat());
    },
    results: async () => {
      // Reading one disposes of it.
      const read = last;
      last = [];
      return await Promise.all(read.map((one) => one.data()));
    },
    destroy: () => dispose([...inputs, ...last, ...step.owned]),
  };
}
