/**
 * Attention to drawn blocks on a device, by how many of them are kept. Times, so
 * only reported.
 *
 * @module
 */

import { timeInTurns } from "../../bench/support/gpu_time.ts";
import { normals } from "../../bench/support/inputs.ts";
import { median } from "../../bench/support/statistics.ts";
import { type Gpu, timingUnsupported } from "../../src/gpu/mod.ts";
import { planAttention } from "../../src/ops/mod.ts";
import { experimentalPrFlash } from "../../src/policies/mod.ts";
import { numbers, PANEL, panels } from "../axes.ts";
import { percent, type Report, type Timing } from "../experiment.ts";
import { fittedLine, type Line } from "../fit.ts";

const LENGTH = 1024;
const SHAPE: readonly number[] = [1, LENGTH, 4, 64];
const REPEATS = 7;

/** The least chance of a block, whatever its distance. */
const FLOORS: readonly number[] = [1, 0.75, 0.5, 0.25, 0.125, 0.0625];

/** One draw. */
interface TimedRow {
  /** Tiles visited, of those of all blocks. */
  readonly kept: number;
  readonly milliseconds: number;
}

async function timeDraws(gpu: Gpu): Promise<Report> {
  const owned: { destroy(): void }[] = [];
  const own = <T extends { destroy(): void }>(made: T): T => {
    owned.push(made);
    return made;
  };
  try {
    const size = SHAPE.reduce((a, b) => a * b);
    const [query, key, value] = [1, 2, 3].map((seed) =>
      own(gpu.tensor(normals("f32", size, seed), SHAPE))
    );
    const output = own(gpu.empty("f32", SHAPE));
    const contestants = [];
    for (const floor of FLOORS) {
      // No more than the floor but for a row's own block.
      const select = experimentalPrFlash({
        family: "geometric",
        gamma: 0,
        floor,
      });
      const plan = own(await planAttention(gpu, { query, key, value, select }));
      contestants.push({ plan, tensors: { query, key, value, output } });
    }
    const visited = contestants.map(({ plan }) =>
      plan.explain().tileCounts.visited
    );
    const times = await timeInTurns(gpu, contestants, REPEATS);
    const rows = times.map((own, i): TimedRow => ({
      kept: visited[i] / visited[0],
      milliseconds: median(own),
    }));
    const line = fittedLine(
      rows.map(({ kept, milliseconds }) => [kept, milliseconds]),
    );
    return reportOf(gpu, rows, line);
  } finally {
    for (const made of owned) made.destroy();
  }
}

function reportOf(gpu: Gpu, rows: readonly TimedRow[], line: Line): Report {
  const [all] = rows;
  return {
    title: "PrFlashAttention: time by blocks that are kept",
    paper: "fewer blocks in a round take less time; no figure is known",
    setting: [
      `On ${gpu.info.description}: ${
        SHAPE.join(" x ")
      }, float32, blocks of 64 ` +
      "that are drawn with one chance at all distances, by " +
      `experimentalPrFlash(). Median of ${REPEATS} rounds in which all take turns.`,
      timingUnsupported(gpu) ?? "By the device's clock.",
      ...(gpu.software
        ? ["A software adapter: its times say nothing of GPUs."]
        : []),
    ],
    tables: [{
      title: `Milliseconds; R^2 of a line ${line.r2.toFixed(4)}`,
      columns: ["visited", "time", "all / time"],
      rows: rows.map(({ kept, milliseconds }) => [
        percent(kept),
        milliseconds.toFixed(2),
        (all.milliseconds / milliseconds).toFixed(2),
      ]),
    }],
    checks: [],
    data: { rows, line },
    chart: panels({
      title: "Time by tiles that are visited",
      subtitle: "milliseconds",
      marks: {
        ...PANEL,
        data: { values: rows },
        mark: { type: "line", point: true },
        encoding: {
          x: numbers("kept", "of those of all blocks"),
          y: numbers("milliseconds", null),
        },
      },
    }),
  };
}

/** Time by what is kept. */
export const prflashTimes: Timing = { name: "prflash-times", time: timeDraws };
