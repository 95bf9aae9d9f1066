/**
 * Plan building: options to problem, problem to schedule, on the CPU; and a
 * whole plan's update, which uploads the schedule.
 *
 * @module
 */

import {
  type AttentionOptions,
  attentionProblem,
  planAttention,
  type TensorShape,
} from "../src/ops/mod.ts";
import { flatWork } from "../src/ops/attention/work/key_ranges.ts";
import type { Partition } from "../src/ops/attention/work/partition.ts";
import { buildSchedule } from "../src/ops/attention/work/schedule.ts";
import { DEVICE } from "./support/device.ts";

const MODEL = { workers: 256, tileSteps: 1, dispatchSteps: 2 };
const FIXED: Partition = {
  kind: "splits",
  text: "256 keys each",
  of: (rows) => rows <= 64 ? { kind: "size", keys: 256 } : undefined,
};
const STREAM_K: Partition = {
  kind: "stream-k",
  text: "stream-k",
  workers: MODEL.workers,
};

const tensor = (...shape: number[]): TensorShape => ({ dtype: "f32", shape });

const prefill: AttentionOptions<TensorShape> = {
  query: tensor(1, 4096, 32, 64),
  key: tensor(1, 4096, 8, 64),
  value: tensor(1, 4096, 8, 64),
  causal: true,
};

const SEQUENCES = 256;
const TABLE_WIDTH = 256;
const lengths = Array.from({ length: SEQUENCES }, (_, i) => 1 + 16 * i - i % 7);
const decodes: AttentionOptions<TensorShape> = {
  query: tensor(SEQUENCES, 32, 64),
  cuSeqlens: Array.from({ length: SEQUENCES + 1 }, (_, i) => i),
  key: tensor(4096, 16, 8, 64),
  value: tensor(4096, 16, 8, 64),
  blockTable: Uint32Array.from(
    { length: SEQUENCES * TABLE_WIDTH },
    (_, i) => i % 4096,
  ),
  keyLengths: lengths,
  causal: true,
};

const CASES = [
  { name: "prefill 4096x4096 32/8 heads causal", options: prefill },
  { name: "256 ragged decodes of 1 to 4078 keys paged", options: decodes },
];

for (const { name, options } of CASES) {
  // Typical tiles.
  const tile = options === prefill
    ? { rows: 32, loops: { step: 32, fullStep: 0, maskedStep: 0, tile: 0 } }
    : { rows: 4, loops: { step: 64, fullStep: 0, maskedStep: 0, tile: 0 } };
  const problem = attentionProblem(options);
  Deno.bench({
    name: `check options, ${name}`,
    group: `check options, ${name}`,
    fn: () => {
      attentionProblem(options);
    },
  });
  const ways = {
    "fixed splits": [FIXED],
    "stream-K": [STREAM_K],
    "the cheaper of both": [FIXED, STREAM_K],
  };
  for (const [way, partitions] of Object.entries(ways)) {
    Deno.bench({
      name: `schedule by ${way}, ${name}`,
      group: `schedule, ${name}`,
      baseline: way === "fixed splits",
      fn: () => {
        const work = flatWork(problem);
        buildSchedule(problem, work, [{
          ...tile,
          ranges: work.own,
          partitions,
          model: MODEL,
          maxLoopIterations: Infinity,
        }]);
      },
    });
  }
  benchUpdate(name, options);
}

function benchUpdate(
  name: string,
  options: AttentionOptions<TensorShape>,
): void {
  if (typeof DEVICE === "string") return;
  const gpu = DEVICE;
  let made: ReturnType<typeof planAttention> | undefined;
  Deno.bench({
    name: `update a plan, ${name}`,
    group: `update a plan, ${name}`,
    n: 20,
    warmup: 2,
    fn: async (b) => {
      const plan = await (made ??= planAttention(gpu, options));
      b.start();
      await plan.update(attentionProblem(options));
      b.end();
    },
  });
}
