/**
 * Block-sparse attention on a device, by the density of its mask: known to the
 * host, and selected on the device. Times, so only reported.
 *
 * @module
 */

import { type Gpu, timingUnsupported } from "../../src/gpu/mod.ts";
import {
  SPARSE_BLOCK,
  SPARSE_HEAD_DIM,
  SPARSE_HEADS,
  type SparseTimes,
  timeSparse,
} from "../../bench/support/sparse_times.ts";
import { colours, numbers, PANEL, panels } from "../axes.ts";
import { fittedLine } from "../fit.ts";
import type { Report, Timing } from "../experiment.ts";

const LENGTH = 1024;
const REPEATS = 7;

async function timeDensity(gpu: Gpu): Promise<Report> {
  const times = await timeSparse(gpu, { length: LENGTH, repeats: REPEATS });
  return reportOf(gpu, times);
}

function reportOf(gpu: Gpu, { dense, rows }: SparseTimes): Report {
  const lines = (["host", "device"] as const).map((of) =>
    fittedLine(rows.map((row) => [row.density, row[of]]))
  );
  const names = ["known to the host", "selected on the device"];
  return {
    title: "Block-sparse FlashAttention: time by density",
    paper: "time falls with the density; 2-4x faster than FlashAttention",
    setting: [
      `On ${gpu.info.description}: ${LENGTH} tokens, ${SPARSE_HEADS} heads of ` +
      `${SPARSE_HEAD_DIM}, float32, blocks of ${SPARSE_BLOCK} anywhere. Median of ` +
      `${REPEATS} rounds in which all take turns.`,
      timingUnsupported(gpu) ?? "By the device's clock.",
      ...(gpu.software
        ? ["A software adapter: its times say nothing of GPUs."]
        : []),
    ],
    tables: [{
      title: `Milliseconds; without a mask ${dense.toFixed(2)}`,
      columns: ["density", ...names, "dense / host's"],
      rows: rows.map(({ density, host, device }) => [
        density,
        host.toFixed(2),
        device.toFixed(2),
        (dense / host).toFixed(2),
      ]),
    }, {
      title: "The nearest line, in milliseconds",
      columns: ["blocks", "at density 0", "slope", "R^2"],
      rows: lines.map(({ atZero, slope, r2 }, i) => [
        names[i],
        atZero.toFixed(2),
        slope.toFixed(2),
        r2.toFixed(4),
      ]),
    }],
    checks: [],
    data: { dense, rows, lines },
    chart: panels({
      title: "Time by density",
      subtitle: "milliseconds",
      marks: {
        ...PANEL,
        data: {
          values: rows.flatMap(({ density, host, device }) => [
            { density, milliseconds: host, blocks: names[0] },
            { density, milliseconds: device, blocks: names[1] },
          ]),
        },
        mark: { type: "line", point: true },
        encoding: {
          x: numbers("density", "blocks that are visited, of all"),
          y: numbers("milliseconds", null),
          color: colours("blocks", names),
        },
      },
    }),
  };
}

/** Time by density. */
export const densityTimes: Timing = {
  name: "density-times",
  time: timeDensity,
};
