/**
 * Attention over a padded batch of texts and over the packed one. Times, so
 * only reported.
 *
 * @module
 */

import { type Gpu, timingUnsupported } from "../src/gpu/mod.ts";
import { AttentionPlan, Packing } from "../src/ops/mod.ts";
import { type Contestant, timeInTurns } from "../bench/support/gpu_time.ts";
import { normals } from "../bench/support/inputs.ts";
import { median } from "../bench/support/statistics.ts";
import { colours, doublings, numbers, PANEL, panels } from "./axes.ts";
import { type Report, sum, type Timing } from "./experiment.ts";
import { batchProblem, HEADS, textLengths } from "./mosaicbert_counts.ts";

const BATCH = 8;
const LENGTHS: readonly number[] = [128, 256, 512];
const REPEATS = 5;

/** Median milliseconds, padded and packed. */
async function timesOf(gpu: Gpu, packing: Packing): Promise<number[]> {
  const owned: { destroy(): void }[] = [];
  const own = <T extends { destroy(): void }>(made: T): T => {
    owned.push(made);
    return made;
  };
  const { heads, headDim } = HEADS;
  try {
    const contestants: Contestant[] = [];
    for (const padded of [true, false]) {
      const shape = padded
        ? packing.paddedShape([heads, headDim])
        : [packing.tokens, heads, headDim];
      const size = shape.reduce((product, length) => product * length, 1);
      const upload = (seed: number) =>
        own(gpu.tensor(normals("f32", size, seed), shape));
      const [query, key, value] = [upload(1), upload(2), upload(3)];
      const output = own(gpu.empty("f32", shape));
      const problem = batchProblem(packing, padded);
      const plan = own(await AttentionPlan.create(gpu, problem, { splits: 1 }));
      contestants.push({ plan, tensors: { query, key, value, output } });
    }
    return (await timeInTurns(gpu, contestants, REPEATS)).map(median);
  } finally {
    for (const made of owned) made.destroy();
  }
}

async function timePadding(gpu: Gpu): Promise<Report> {
  const rows = [];
  for (const cutOff of LENGTHS) {
    const lengths = textLengths(cutOff, BATCH);
    const length = Math.max(...lengths);
    const packing = new Packing({ lengths, length });
    const [padded, packed] = await timesOf(gpu, packing);
    const squares = BATCH * length ** 2 /
      sum(lengths.map((tokens) => tokens ** 2));
    rows.push({ cutOff, padded, packed, ratio: padded / packed, squares });
  }
  const values = rows.flatMap(({ cutOff, ratio, squares }) => [
    { cutOff, of: "time", ratio },
    { cutOff, of: "pairs", ratio: squares },
  ]);
  return {
    title: "MosaicBERT: times of padded and packed attention",
    paper: "a BERT-Base of 79.6 GLUE in 1.13 hours on eight A100",
    setting: [
      `On ${gpu.info.description}: ${BATCH} texts, ${HEADS.heads} heads of ` +
      `${HEADS.headDim}, float32, ALiBi. Median of ${REPEATS} rounds in which ` +
      "both take turns.",
      timingUnsupported(gpu) ?? "By the device's clock.",
      ...(gpu.software
        ? ["A software adapter: its times say nothing of GPUs."]
        : []),
    ],
    tables: [{
      title: "Milliseconds",
      columns: ["cut off at", "padded", "packed", "ratio", "pairs' ratio"],
      rows: rows.map(({ cutOff, padded, packed, ratio, squares }) => [
        cutOff,
        padded.toFixed(3),
        packed.toFixed(3),
        ratio.toFixed(2),
        squares.toFixed(2),
      ]),
    }],
    checks: [],
    data: rows,
    chart: panels({
      title: "Padded attention over packed",
      subtitle: "times as much",
      marks: {
        ...PANEL,
        data: { values },
        mark: { type: "line", point: true },
        encoding: {
          x: doublings("cutOff", "tokens at which texts are cut off", LENGTHS),
          y: numbers("ratio", null),
          color: colours("of", ["time", "pairs"]),
        },
      },
    }),
  };
}

/** Times of padded and packed attention. */
export const paddingTimes: Timing = { name: "mosaicbert", time: timePadding };
