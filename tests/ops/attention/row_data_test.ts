/**
 * Masks and biases with a row per query: row i is query i's in each sequence,
 * wherever the sequence's queries stand.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  additiveBias,
  attention,
  type AttentionOptions,
  attentionProblem,
  booleanMask,
  type HostTensor,
  type TensorShape,
} from "../../../mod.ts";
import { attention as oracle } from "../../../reference/mod.ts";
import { type AttentionCase, PLAIN } from "../../support/attention/cases.ts";
import { checkCase } from "../../support/attention/check.ts";
import { runCases } from "../../support/attention/runner.ts";
import { gpuTest } from "../../support/gpu.ts";
import { random } from "./tensors.ts";

const [BATCH, HEADS, QUERIES, KEYS, DIM] = [2, 3, 4, 4, 8];

/** A bias or mask that is only right if every row is its own query's. */
function element(data: ArrayLike<number>, shape: readonly number[]) {
  const sizes = [1, 1, 1, 1, ...shape].slice(-4);
  return (...at: readonly number[]): number =>
    data[
      at.reduce(
        (sum, index, axis) =>
          sum * sizes[axis] + (sizes[axis] === 1 ? 0 : index),
        0,
      )
    ];
}

gpuTest(
  "a bias of [B, H, Q, K] adds row i to query i, whatever the offsets",
  async (_, gpu) => {
    const shape = [BATCH, HEADS, QUERIES, KEYS];
    const data = random(shape, 5).data as Float32Array;
    const bits = Uint8Array.from(data, (x) => Number(x > -0.5));
    const tensors = {
      query: random([BATCH, QUERIES, HEADS, DIM], 1),
      key: random([BATCH, KEYS, HEADS, DIM], 2),
      value: random([BATCH, KEYS, HEADS, DIM], 3),
    };
    const calls: Partial<AttentionOptions>[] = [
      { keyLengths: [3, 4] },
      { queryOffset: 0 },
      { queryOffset: [-1, 2], keyLengths: [4, 1] },
      { queryOffset: 7 },
    ];
    for (const call of calls) {
      const { output } = await attention(gpu, {
        ...tensors,
        ...call,
        scoreMod: additiveBias(data, shape),
        maskMod: booleanMask(bits, shape),
      });
      for (let b = 0; b < BATCH; b++) {
        const rows = QUERIES * HEADS * DIM;
        const own = ({ data }: HostTensor) =>
          (data as Float32Array).subarray(b * rows, (b + 1) * rows);
        const keyLength = (call.keyLengths as number[] | undefined)?.[b] ??
          KEYS;
        const expected = oracle({
          batch: 1,
          query: own(tensors.query),
          key: own(tensors.key).subarray(0, keyLength * HEADS * DIM),
          value: own(tensors.value).subarray(0, keyLength * HEADS * DIM),
          queryLength: QUERIES,
          keyLength,
          queryHeads: HEADS,
          kvHeads: HEADS,
          headDim: DIM,
          valueHeadDim: DIM,
          // Here a position is a row.
          queryOffset: 0,
          score: (s, _, h, q, k) => s + element(data, shape)(b, h, q, k),
          mask: (_, h, q, k) => element(bits, shape)(b, h, q, k) !== 0,
        });
        const got = own(output as HostTensor);
        const error = got.reduce(
          (most, x, n) => Math.max(most, Math.abs(x - expected.output[n])),
          0,
        );
        assert(error < 1e-5, `${JSON.stringify(call)}: off by ${error}`);
      }
    }
  },
);

gpuTest(
  "rows are right in every layout and with prefixes read together",
  async (_, gpu) => {
    const masks = [
      { kind: "boolean", shape: [4, 12, 200], density: 0.6 },
    ] as const;
    const base: AttentionCase = {
      ...PLAIN,
      queryHeads: 4,
      kvHeads: 2,
      sequences: [[12, 150], [12, 200], [12, 131]],
      masks,
      score: { bias: [4, 12, 200] },
    };
    const cases: AttentionCase[] = [
      base,
      { ...base, layout: "ragged", sequences: [[3, 150], [12, 200], [1, 9]] },
      {
        ...base,
        layout: "cache",
        blockSize: 16,
        inherits: [0, 128, 96],
        sharedPrefix: "always",
      },
      {
        ...base,
        layout: "paged",
        blockSize: 16,
        sequences: [[1, 150], [2, 200], [12, 131]],
        inherits: [0, 128, 96],
        sharedPrefix: "always",
        splits: "stream-k",
      },
    ];
    const results = await runCases(gpu, cases);
    cases.forEach((c, i) => checkCase(c, results[i]));
  },
);

type Options = AttentionOptions<TensorShape>;

const f32 = (...shape: number[]): TensorShape => ({ dtype: "f32", shape });
const DENSE: Options = {
  query: f32(2, 4, 3, 8),
  key: f32(2, 6, 3, 8),
  value: f32(2, 6, 3, 8),
};
const RAGGED: Options = {
  query: f32(7, 3, 8),
  key: f32(9, 3, 8),
  value: f32(9, 3, 8),
  cuSeqlens: [0, 3, 7],
  cuSeqlensKey: [0, 3, 9],
};

const ones = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const mask = (shape: number[], queryOffset?: number) =>
  booleanMask(
    new Uint8Array(ones(shape)),
    shape,
    queryOffset === undefined ? {} : { queryOffset },
  );
const bias = (shape: number[]) =>
  additiveBias(new Float32Array(ones(shape)), shape);

Deno.test("masks and biases broadcast as in NumPy", () => {
  for (
    const shape of [
      [6],
      [1],
      [4, 6],
      [1, 6],
      [4, 1],
      [3, 4, 6],
      [3, 1, 1],
      [2, 3, 4, 6],
      [2, 1, 4, 6],
      [2, 1, 1, 6],
      [1, 1, 1, 1],
    ]
  ) {
    attentionProblem({ ...DENSE, maskMod: mask(shape) });
    attentionProblem({ ...DENSE, scoreMod: bias(shape) });
  }
  // As long as the longest that is written.
  attentionProblem({ ...DENSE, keyLengths: [2, 5], maskMod: mask([4, 5]) });
  // Ragged ones may be larger than what is there.
  attentionProblem({ ...RAGGED, maskMod: mask([4, 6]) });
  attentionProblem({ ...RAGGED, maskMod: mask([10, 10]) });
  // By positions.
  attentionProblem({ ...DENSE, maskMod: mask([6, 6], 0) });
  // Where there is nothing, nothing is read.
  attentionProblem({ ...DENSE, query: f32(2, 0, 3, 8), maskMod: mask([4, 6]) });
});

Deno.test("masks and biases of another shape are refused", () => {
  const wrong: [Options, string][] = [
    [
      { ...DENSE, maskMod: mask([4, 4]) },
      "booleanMask shape must broadcast to [batch, heads, queries, keys], here [2, 3, 4, 6]: keys must be 6 or 1, not 4: current value is [4, 4]",
    ],
    [
      { ...DENSE, scoreMod: bias([6, 4]) },
      "additiveBias shape must broadcast to [batch, heads, queries, keys], here [2, 3, 4, 6]: queries must be 4 or 1, not 6: current value is [6, 4]",
    ],
    [{ ...DENSE, maskMod: mask([2, 4, 6]) }, "heads must be 3 or 1, not 2"],
    [
      { ...DENSE, maskMod: mask([3, 1, 4, 6]) },
      "batch must be 2 or 1, not 3: current value is [3, 1, 4, 6]",
    ],
    [{ ...DENSE, maskMod: mask([8, 8]) }, "current value is [8, 8]"],
    [
      { ...RAGGED, maskMod: mask([3, 6]) },
      "queries must be >= 4 or 1, not 3",
    ],
    [{ ...RAGGED, maskMod: mask([4, 5]) }, "keys must be >= 6 or 1, not 5"],
    [
      { ...DENSE, maskMod: mask([4, 6], 0) },
      "booleanMask shape with queryOffset 0 must have a row for each query's position, of which sequence 0 has 2..5, not 0..3; leave queryOffset out",
    ],
  ];
  for (const [options, message] of wrong) {
    const error = assertThrows(() => attentionProblem(options), TypeError);
    assertEquals(error.message.includes(message), true, error.message);
  }
});
