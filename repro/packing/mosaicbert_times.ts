/**
 * Attention over a padded batch of texts and over the packed one. Times, so
 * only reported.
 *
 * @module
 */

import { type Gpu, timingUnsupported } from "../../src/gpu/mod.ts";
import { Packing } from "../../src/ops/mod.ts";
import { timePacked } from "../../bench/support/packed_times.ts";
import { colours, doublings, numbers, PANEL, panels } from "../axes.ts";
import { type Report, sum, type Timing } from "../experiment.ts";
import { HEADS, textLengths } from "./mosaicbert_counts.ts";

const BATCH = 8;
const LENGTHS: readonly number[] = [128, 256, 512];
const REPEATS = 5;

async function timePadding(gpu: Gpu): Promise<Report> {
  const rows = [];
  for (const cutOff of LENGTHS) {
    const lengths = textLengths(cutOff, BATCH);
    const length = Math.max(...lengths);
    const packing = new Packing({ lengths, length });
    const { padded, packed } = await timePacked(gpu, packing, REPEATS);
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
