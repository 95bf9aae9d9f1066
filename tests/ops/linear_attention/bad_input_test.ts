/**
 * Wrong usages of linear attention. Each is refused before anything runs, with
 * the argument as it was written, the rule, the value and the cure.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { TensorShape, UnsupportedError } from "../../../mod.ts";
import { linearProblem } from "../../../src/ops/mod.ts";
import { checkLogGates, linearAttention } from "../../../src/ops/mod.ts";
import { linearParts } from "../../../src/ops/linear_attention/parts.ts";
import { gpuTest } from "../../support/gpu.ts";

type Kind = typeof TypeError | typeof RangeError | typeof UnsupportedError;

/** [what is tried, the class, how the message begins, what else it says]. */
type Row = readonly [
  attempt: string,
  change: object,
  kind: Kind,
  begins: string,
  ...says: string[],
];

const f32 = (...shape: number[]): TensorShape => ({ dtype: "f32", shape });
const host = (values: number[], shape: number[]) => ({
  data: Float32Array.from(values),
  shape,
});

const DENSE = {
  query: f32(2, 5, 4, 8),
  key: f32(2, 5, 1, 8),
  value: f32(2, 5, 2, 6),
};
const RAGGED = {
  query: f32(4, 4, 4),
  key: f32(4, 4, 4),
  value: f32(4, 4, 6),
  cuSeqlens: [0, 1, 4],
};
const POOL = { states: f32(3, 2, 8, 6), stateIndices: [0, 1] };

const ROWS: readonly Row[] = [
  // Names of other libraries.
  ["fla's gates", { g: f32(2, 5, 2) }, TypeError, "g ", "write decay"],
  ["fla's chunks", { chunk_size: 64 }, TypeError, "chunk_size ", "write chunk"],
  ["a causal flag", { causal: true }, TypeError, "causal ", "leave it out"],
  ["ONNX's past", { past_state: 1 }, TypeError, "past_state ", "initialState"],
  ["a word more", { softcap: 1 }, TypeError, "softcap ", "no such option"],
  // Shapes.
  ["keys of another length", { key: f32(2, 4, 1, 8) }, TypeError, "key.shape"],
  ["values of another batch", { value: f32(1, 5, 2, 6) }, TypeError, "value.s"],
  ["keys of another dim", { key: f32(2, 5, 1, 4) }, TypeError, "key.shape"],
  ["rows of rank 2", { query: f32(5, 8) }, TypeError, "query.shape"],
  [
    "keys of another dtype",
    { key: { dtype: "f16", shape: [2, 5, 1, 8] } },
    TypeError,
    "key.dtype",
    "must be the query's (f32)",
  ],
  [
    "keys that states do not share",
    { key: f32(2, 5, 3, 8) },
    RangeError,
    "keyHeads",
    "divisor of valueHeads (2)",
  ],
  [
    "queries that do not share states",
    { query: f32(2, 5, 3, 8) },
    RangeError,
    "queryHeads",
    "multiple or a divisor",
  ],
  [
    "rows that are too long",
    { query: f32(2, 5, 4, 260), key: f32(2, 5, 1, 260) },
    RangeError,
    "headDim",
    "1..256",
  ],
  [
    "a layout of another library",
    { layout: "BSNH" },
    TypeError,
    "layout",
    '"bshd" or "bhsd"',
  ],
  ["lengths of dense rows", { cuSeqlens: [0, 5] }, TypeError, "cuSeqlens"],
  ["ragged rows without", { ...RAGGED, cuSeqlens: undefined }, TypeError, "cu"],
  // Gates.
  [
    "a gate that grows",
    { decay: host([-1, 0.5], [2]) },
    RangeError,
    "decay[1]",
    "at most 0",
    "current value is 0.5",
  ],
  [
    "a gate that is NaN",
    { decay: host([NaN, 0], [2]) },
    RangeError,
    "decay[0]",
  ],
  [
    "a gate of -Infinity",
    { decay: host([0, -Infinity], [2]) },
    RangeError,
    "decay[1]",
    "-104 keeps nothing",
  ],
  [
    "a gate in bfloat16 that grows",
    {
      decay: {
        data: Uint16Array.of(0xbf80, 0x3f80),
        shape: [2],
        dtype: "bf16",
      },
    },
    RangeError,
    "decay[1]",
    "current value is 1",
  ],
  ["gates of query heads", { decay: f32(2, 5, 4) }, TypeError, "decay.shape"],
  ["gates of key heads", { decay: f32(3) }, TypeError, "decay.shape", "[2]"],
  [
    "gates of which either may be meant",
    { ...RAGGED, decay: f32(4, 4) },
    TypeError,
    "decay.shape",
    "[4, 4, 1]",
    "[1, 4, 4]",
  ],
  [
    "gates in another dtype",
    { decay: { dtype: "f16", shape: [2] } },
    TypeError,
    "decay.dtype",
    "must be f32",
  ],
  ["a beta of channels", { beta: f32(2, 5, 2, 8) }, TypeError, "beta.shape"],
  // Rules.
  ["a rule of no name", { rule: "mamba" }, TypeError, "rule", '"gated"'],
  [
    "a rule without its gates",
    { rule: "gated" },
    TypeError,
    "rule",
    "decay given",
    'be "linear"',
  ],
  [
    "a rule without what it is given",
    { rule: "linear", decay: f32(2) },
    TypeError,
    "rule",
    'be "gated"',
  ],
  // Numbers.
  ["a scale of NaN", { scale: NaN }, RangeError, "scale"],
  ["a scale beyond float32", { scale: 1e300 }, RangeError, "scale"],
  ["a chunk of 0", { chunk: 0 }, RangeError, "chunk"],
  ["a chunk that is too large", { chunk: 512 }, RangeError, "chunk", "4..256"],
  [
    "a chunk of odd sub-chunks",
    { chunk: 40 },
    RangeError,
    "chunk",
    "multiple of subChunk (16)",
  ],
  ["a sub-chunk of 6", { subChunk: 6 }, RangeError, "subChunk", "of 4"],
  ["no form", { form: "fast" }, TypeError, "form"],
  ["no feature map", { featureMap: "elu" }, TypeError, "featureMap"],
  ["an eps of 0", { normalize: { eps: 0 } }, RangeError, "normalize.eps"],
  ["an eps below 0", { normalize: { eps: -1 } }, RangeError, "normalize.eps"],
  [
    "an eps that rounds to 0",
    { normalize: { eps: 1e-60 } },
    RangeError,
    "norm",
  ],
  [
    "a word more of normalize",
    { normalize: { eps: 1, epsilon: 1 } },
    TypeError,
    "epsilon",
  ],
  // States.
  [
    "a state of another batch",
    { initialState: f32(1, 2, 8, 6) },
    TypeError,
    "initialState.shape",
    "must be [2, 2, 8, 6]",
  ],
  [
    "a state that is transposed",
    { initialState: f32(2, 2, 6, 8) },
    TypeError,
    "initialState.shape",
    "headDim, valueHeadDim",
  ],
  [
    "a state in halves",
    { initialState: { dtype: "f16", shape: [2, 2, 8, 6] } },
    TypeError,
    "initialState.dtype",
    "must be f32",
  ],
  ["returnState as a word", { returnState: "yes" }, TypeError, "returnState"],
  ["slots without a pool", { stateIndices: [0, 1] }, TypeError, "stateIndices"],
  ["a pool without slots", { states: POOL.states }, TypeError, "stateIndices"],
  [
    "a pool and a state",
    { ...POOL, initialState: f32(2, 2, 8, 6) },
    TypeError,
    "initialState",
  ],
  [
    "a pool, and states wanted",
    { ...POOL, returnState: true },
    TypeError,
    "ret",
  ],
  [
    "a pool on the host",
    { ...POOL, states: host(new Array(288).fill(0), [3, 2, 8, 6]) },
    TypeError,
    "states",
    "written in place",
  ],
  [
    "a pool of another model",
    { ...POOL, states: f32(3, 2, 8, 8) },
    TypeError,
    "states.shape",
    "must be [3, 2, 8, 6]",
  ],
  [
    "too few slots",
    { ...POOL, stateIndices: [0] },
    TypeError,
    "stateIndices.l",
  ],
  [
    "a slot past the pool",
    { ...POOL, stateIndices: [0, 3] },
    RangeError,
    "stateIndices[1]",
    "-1..2",
  ],
  [
    "a slot that two write",
    { ...POOL, stateIndices: [1, 1] },
    RangeError,
    "stateIndices[1]",
    "sequence 0",
  ],
  [
    "a slot that another writes",
    { ...POOL, stateIndices: [0, 1], finalStateIndices: [1, 2] },
    RangeError,
    "stateIndices[1]",
    "sequence 0 writes",
  ],
];

for (const [attempt, change, kind, begins, ...says] of ROWS) {
  Deno.test(`bad input: ${attempt}`, () => {
    const { message } = assertThrows(
      () => linearProblem({ ...DENSE, ...change } as never),
      kind,
    );
    assertEquals(message.startsWith(begins), true, message);
    for (const part of [...says, "current value is"]) {
      assertEquals(message.includes(part), true, `${part}\n${message}`);
    }
  });
}

Deno.test("what several may read, none of them writes", () => {
  const { sequences } = linearProblem({
    ...DENSE,
    ...POOL,
    stateIndices: [0, 0],
    finalStateIndices: [1, 2],
  });
  assertEquals(sequences.map(({ initial }) => initial), [0, 0]);
  assertEquals(sequences.map(({ final }) => final), [1, 2]);
});

Deno.test("chunks that do not fit the device are refused", () => {
  const rows = f32(1, 64, 4, 64);
  const problem = linearProblem({ query: rows, key: rows, value: rows });
  const device = (bytes: number) => ({
    software: true,
    limits: {
      maxComputeWorkgroupsPerDimension: 65535,
      maxStorageBuffersPerShaderStage: 8,
      maxStorageBufferBindingSize: bytes,
    },
  });
  // States of a chunk: 4 heads of 64 x 64 floats.
  linearParts(problem, device(65536));
  const { message } = assertThrows(
    () => linearParts(problem, device(65535)),
    RangeError,
  );
  assertEquals(message.startsWith("chunk "), true, message);
  assertEquals(message.includes("some of the heads at a time"), true, message);
});

gpuTest("gates on the device are checked where that is asked for", async (
  _,
  gpu,
) => {
  using decay = gpu.tensor(Float32Array.of(-1, 0, 0.25), [3]);
  const { message } = await assertRejects(
    () => checkLogGates(gpu, decay),
    RangeError,
  );
  assertEquals(message.startsWith("decay[2] "), true, message);
  using right = gpu.tensor(Float32Array.of(-1, 0), [2]);
  await checkLogGates(gpu, right);
  using words = gpu.tensor(Uint32Array.of(1), [1]);
  await assertRejects(
    () => checkLogGates(gpu, words),
    TypeError,
    "decay.dtype",
  );
});

gpuTest("a pool stays as it was after an error", async (_, gpu) => {
  const row = (heads: number, dim: number) => ({
    data: new Float32Array(5 * heads * dim).fill(1),
    shape: [1, 5, heads, dim],
  });
  const before = new Float32Array(2 * 8 * 6).fill(7);
  using states = gpu.tensor(before, [1, 2, 8, 6]);
  await assertRejects(
    () =>
      linearAttention(gpu, {
        query: row(4, 8),
        key: row(1, 8),
        value: row(2, 6),
        decay: host([0, 1], [2]),
        states,
        stateIndices: [0],
      }),
    RangeError,
    "decay[1]",
  );
  assertEquals(await gpu.readOne(states), before);
});
