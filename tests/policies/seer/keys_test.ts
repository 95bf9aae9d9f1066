/**
 * Pooled keys while decoding: each step's shares are the twin's, in however many
 * appends its keys came, and attention sees what they select.
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  type SeerProblem,
  seerSelect,
} from "../../../reference/policies/seer.ts";
import type { Rounding } from "../../../reference/layers/rounding.ts";
import type { Gpu, GpuTensor, HostTensor } from "../../../src/gpu/mod.ts";
import {
  attention,
  type AttentionOptions,
  attentionProblem,
  planAttention,
} from "../../../src/ops/mod.ts";
import { SeerGate, type SeerKeys } from "../../../src/policies/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { checkResult } from "../../support/layer_runner.ts";
import { allScores, type SeerData, seerData } from "./cases.ts";

const CAPACITY = 44;
const LENGTHS = [[1, CAPACITY], [1, CAPACITY]] as const;

/** How many keys each sequence gets in each step. */
const STEPS = [[13, 8], [1, 1], [5, 0], [1, 19], [24, 1]];

/** The keys `first` to `first + count` of each sequence, side by side. */
function part(
  gpu: Gpu,
  { key }: SeerData,
  first: readonly number[],
  tokens: number,
): GpuTensor {
  const [, heads, dim] = key.shape;
  const data = new Float32Array(first.length * tokens * heads * dim).fill(NaN);
  first.forEach((from, i) => {
    const at = (i * CAPACITY + from) * heads * dim;
    const own = key.data.subarray(at, at + tokens * heads * dim);
    data.set(own as Float32Array, i * tokens * heads * dim);
  });
  return gpu.tensor(data, [first.length, tokens, heads, dim]);
}

/** What the twin sees of a step. */
function problemsOf(
  { problems }: SeerData,
  lengths: readonly number[],
): SeerProblem[] {
  return problems.map((problem, i) => ({
    ...problem,
    keys: lengths[i],
    queryBlock: 1,
    queryOffset: lengths[i] - 1,
  }));
}

for (const gateDim of [undefined, 12]) {
  gpuTest(
    `a step's shares are the twin's, ${gateDim ?? "no"} query weights`,
    async (_, gpu) => {
      const data = seerData({
        lengths: LENGTHS,
        ...(gateDim !== undefined && { gateDim }),
      });
      using gate = await SeerGate.create(gpu, { ...data.gate, topK: 2 });
      using keys = await gate.keys({ sequences: 2, capacity: CAPACITY });
      using query = gpu.tensor(data.query.data as Float32Array, [2, 1, 4, 8]);
      using select = await keys.select({ query });
      const lengths = [0, 0];
      const parts: GpuTensor[] = [];
      try {
        for (const counts of STEPS) {
          const own = part(gpu, data, lengths, Math.max(...counts));
          parts.push(own);
          counts.forEach((count, i) => lengths[i] += count);
          gpu.submit("step", (encoder) => {
            keys.append(encoder, own, counts);
            recordStep(encoder, data, { select, lengths });
          });
          assertEquals(keys.lengths, lengths);
          const problems = problemsOf(data, lengths);
          const [scores, counts_] = await gpu.read([
            select.scores,
            select.counts,
          ]);
          const { grid } = select.mask;
          const expect = (round: Rounding) => ({
            scores: allScores(problems, grid, round),
          });
          checkResult(`${lengths} keys`, {
            scores: scores as Float32Array,
          }, expect);
          const { blocks, rows } = await select.read();
          assertEquals(rows, 8);
          problems.forEach((problem, i) => {
            const columns = Math.ceil(problem.keys / problem.block);
            const at = (row: number) => (i * 4 + row) * grid.keyBlocks;
            const shares = Array.from(
              { length: 4 * columns },
              (_, k) =>
                Number(scores[at(Math.floor(k / columns)) + k % columns]),
            );
            const expected = seerSelect(shares, problem, {
              topK: 2,
              denseRows: 0,
            });
            for (let row = 0; row < 4; row++) {
              assertEquals(counts_[i * 4 + row], expected.counts[row]);
              const own = blocks.levels.subarray(at(row), at(row + 1));
              assertEquals(
                Array.from(own, (level) => level === 0 ? 0 : 1).slice(
                  0,
                  columns,
                ),
                [...expected.kept.subarray(row * columns, (row + 1) * columns)],
              );
              assert(own.subarray(columns).every((level) => level === 0));
            }
          });
        }
        // In one append, of what was cleared, all is the same to the bit.
        const last = await gpu.readOne(select.scores);
        keys.clear();
        const whole = part(gpu, data, [0, 0], Math.max(...lengths));
        parts.push(whole);
        gpu.submit("step", (encoder) => {
          keys.append(encoder, whole, lengths);
          recordStep(encoder, data, { select, lengths });
        });
        assertEquals(await gpu.readOne(select.scores), last);
      } finally {
        for (const one of parts) one.destroy();
      }
    },
  );
}

/** Records a step's selection, as attention would. */
function recordStep(
  encoder: GPUCommandEncoder,
  { query, value, key }: SeerData,
  { select, lengths }: {
    readonly select: Awaited<ReturnType<SeerKeys["select"]>>;
    readonly lengths: readonly number[];
  },
): void {
  const { policy } = attentionProblem({
    query: { data: query.data, shape: [2, 1, 4, 8] },
    key: { data: key.data, shape: [2, CAPACITY, 2, 8] },
    value: { data: value.data, shape: [2, CAPACITY, 2, 8] },
    keyLengths: lengths,
    causal: true,
    select,
  });
  policy!.blocks!.encode(encoder, { query: undefined as never });
}

gpuTest("a plan decodes over paged keys, step by step", async (_, gpu) => {
  const data = seerData({ lengths: LENGTHS });
  using gate = await SeerGate.create(gpu, { ...data.gate, threshold: 0.3 });
  using keys = await gate.keys({ sequences: 2, capacity: CAPACITY });
  const upload = ({ data }: HostTensor, shape: number[]) =>
    gpu.tensor(data as Float32Array, shape);
  using query = upload(data.query, [2, 1, 4, 8]);
  // The gate's own keys; attention's would be rotated, and are others here.
  using key = upload(data.value, [22, 4, 2, 8]);
  using value = upload(data.value, [22, 4, 2, 8]);
  using output = gpu.empty("f32", query.shape);
  using select = await keys.select({ query });
  const call = {
    query,
    key,
    value,
    blockTable: Uint32Array.from({ length: 22 }, (_, i) => 21 - i),
    causal: true,
  };
  const lengths = [12, 23];
  using start = part(gpu, data, [0, 0], 23);
  gpu.submit("prompt", (encoder) => keys.append(encoder, start, lengths));
  using plan = await planAttention(gpu, {
    ...call,
    keyLengths: [13, 24],
    select,
  });
  for (let step = 0; step < 3; step++) {
    using own = part(gpu, data, lengths, 1);
    lengths.forEach((length, i) => lengths[i] = length + 1);
    const options: AttentionOptions = { ...call, keyLengths: lengths };
    await plan.update(attentionProblem({ ...options, select }));
    gpu.submit("step", (encoder) => {
      keys.append(encoder, own);
      plan.encode(encoder, { query, key, value, output });
    });
    const found = await gpu.readOne(output);
    const { blocks, density } = await select.read();
    assert(density < 1);
    const { output: expected } = await attention(gpu, {
      ...call,
      keyLengths: lengths,
      query: { data: data.query.data, shape: query.shape },
      key: { data: data.value.data, shape: key.shape },
      value: { data: data.value.data, shape: value.shape },
      blockMask: blocks,
    });
    assertEquals(found, expected.data, `step ${step}`);
  }
  // What it would select by other keys than attention's is refused.
  for (const other of [[16, 26], [15, 25]]) {
    await plan.update(
      attentionProblem({ ...call, keyLengths: other, select }),
    );
    assertThrows(
      () =>
        gpu.submit(
          "step",
          (encoder) => plan.encode(encoder, { query, key, value, output }),
        ),
      RangeError,
      "must be as many as SeerKeys.append() has pooled",
    );
  }
});

gpuTest(
  "what is not a step's is refused, and nothing is counted",
  async (_, gpu) => {
    const data = seerData({ lengths: LENGTHS });
    using gate = await SeerGate.create(gpu, {
      ...data.gate,
      density: 0.5,
      layer: 1,
    });
    const rejected = (
      promise: Promise<unknown>,
      error: typeof TypeError | typeof RangeError,
      message: string,
    ) => assertRejects(() => promise, error, message);
    await rejected(
      gate.keys({ sequences: 0, capacity: 1 }),
      RangeError,
      "sequences must be an integer in 1..",
    );
    await rejected(
      gate.keys({ sequences: 1, maxLength: 4 } as never),
      TypeError,
      "write capacity",
    );
    // A block of 8 keys has 3 parts, 2 heads and 8 elements of 4 bytes.
    const { maxStorageBufferBindingSize: most } = gpu.limits;
    const blocks = Math.floor(most / (3 * 2 * 8 * 4));
    const { buffers } = gpu.stats;
    await rejected(
      gate.keys({ sequences: 1, capacity: 8 * blocks + 1 }),
      RangeError,
      "capacity must leave the pooled blocks of all sequences (1) within one",
    );
    assertEquals(gpu.stats.buffers, buffers);
    using keys = await gate.keys({ sequences: 2, capacity: CAPACITY });
    using own = part(gpu, data, [0, 0], 9);
    const append = (key: GpuTensor, counts?: number[]) => () =>
      gpu.submit("append", (encoder) => keys.append(encoder, key, counts));
    assertThrows(append(own, [9, 10]), RangeError, "counts[1] must be");
    assertThrows(append(own, [9]), TypeError, "counts.length must be");
    using flat = gpu.empty("f32", [2 * 9 * 2 * 8]);
    assertThrows(
      append(flat),
      TypeError,
      "key.shape must be [sequences, tokens, heads, headDim], 2 x tokens x 2 x 8",
    );
    using much = gpu.empty("f32", [2, CAPACITY + 1, 2, 8]);
    assertThrows(
      append(much),
      RangeError,
      "keys of sequence 0 must fit the 44 that SeerGate.keys() made room for: current value is 45",
    );
    assertEquals(keys.lengths, [0, 0]);
    using query = gpu.empty("f32", [2, 1, 4, 8]);
    await rejected(keys.select({ query }), TypeError, "layer must be that of");
    await rejected(
      keys.select({ query: own, layer: 1 }),
      TypeError,
      "query.shape must be [sequences, tokens, heads, headDim], 2 x tokens x 4 x 8",
    );
    using none = gpu.empty("f32", [2, 0, 4, 8]);
    await rejected(
      keys.select({ query: none, layer: 1 }),
      RangeError,
      "queries must be at least one",
    );
    using select = await keys.select({ query, layer: 1 });
    append(own, [9, 8])();
    const problem = (lengths: number[], more: object = {}) => () =>
      attentionProblem({
        query,
        key: { dtype: "f32", shape: [2, CAPACITY, 2, 8] },
        value: { dtype: "f32", shape: [2, CAPACITY, 2, 8] },
        keyLengths: lengths,
        causal: true,
        select,
        ...more,
      });
    assertThrows(
      problem([9, 8]),
      RangeError,
      "density must not be given for sequences of 2 and 1 blocks",
    );
    assertThrows(
      problem([9, 9], { queryOffset: CAPACITY }),
      RangeError,
      "select (seer) queryOffset of sequence 0 must place no query past",
    );
    keys.destroy();
    assertThrows(append(own), TypeError, "destroyed");
  },
);
