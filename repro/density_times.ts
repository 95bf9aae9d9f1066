/**
 * Block-sparse attention on a device, by the density of its mask: known to the
 * host, and selected on the device. Times, so only reported.
 *
 * @module
 */

import { Prng } from "../src/core/prng.ts";
import { type Gpu, timingUnsupported } from "../src/gpu/mod.ts";
import { blockMaskFromPattern } from "../src/mods/mod.ts";
import { blockMaskFromScores, planAttention } from "../src/ops/mod.ts";
import { type Contestant, timeInTurns } from "../bench/support/gpu_time.ts";
import { normals } from "../bench/support/inputs.ts";
import { median } from "../bench/support/statistics.ts";
import { colours, numbers, PANEL, panels } from "./axes.ts";
import { fittedLine } from "./fit.ts";
import type { Report, Timing } from "./experiment.ts";

const LENGTH = 1024;
const HEADS = 2;
const HEAD_DIM = 64;
const BLOCK = 64;
const REPEATS = 7;
const DENSITIES: readonly number[] = [1, 0.75, 0.5, 0.25, 0.125, 0.0625];

/** As many blocks as a density says, anywhere. */
function blocksOf(density: number): Uint8Array {
  const blocks = (LENGTH / BLOCK) ** 2;
  const kept = Array.from(
    { length: blocks },
    (_, i) => i < density * blocks ? 1 : 0,
  );
  return Uint8Array.from(new Prng(blocks).shuffle(kept));
}

const GEOMETRY = { queries: LENGTH, keys: LENGTH, queryBlock: BLOCK };
const BLOCKS_ASIDE = LENGTH / BLOCK;

async function timeDensity(gpu: Gpu): Promise<Report> {
  const owned: { destroy(): void }[] = [];
  const own = <T extends { destroy(): void }>(made: T): T => {
    owned.push(made);
    return made;
  };
  const shape = [1, LENGTH, HEADS, HEAD_DIM];
  const upload = (seed: number) =>
    own(gpu.tensor(normals("f32", LENGTH * HEADS * HEAD_DIM, seed), shape));
  try {
    const [query, key, value] = [upload(1), upload(2), upload(3)];
    const output = own(gpu.empty("f32", shape));
    const tensor = { dtype: "f32", shape } as const;
    const of = { query: tensor, key: tensor, value: tensor };
    const contestants: Contestant[] = [];
    const contest = async (
      blockMask: Parameters<typeof planAttention>[1]["blockMask"],
    ) => {
      const plan = own(
        await planAttention(gpu, { ...of, ...(blockMask && { blockMask }) }),
      );
      contestants.push({ plan, tensors: { query, key, value, output } });
    };
    await contest(undefined);
    for (const density of DENSITIES) {
      const blocks = blocksOf(density);
      await contest(blockMaskFromPattern(blocks, GEOMETRY));
      const scores = own(gpu.tensor(
        Uint32Array.from(blocks),
        [1, 1, BLOCKS_ASIDE, BLOCKS_ASIDE],
      ));
      await contest(own(await blockMaskFromScores(gpu, scores, GEOMETRY)));
    }
    const [dense, ...times] = (await timeInTurns(gpu, contestants, REPEATS))
      .map(median);
    const rows = DENSITIES.map((density, i) => ({
      density,
      host: times[2 * i],
      device: times[2 * i + 1],
    }));
    return reportOf(gpu, dense, rows);
  } finally {
    for (const made of owned) made.destroy();
  }
}

interface TimeRow {
  readonly density: number;
  readonly host: number;
  readonly device: number;
}

function reportOf(gpu: Gpu, dense: number, rows: readonly TimeRow[]): Report {
  const lines = (["host", "device"] as const).map((of) =>
    fittedLine(rows.map((row) => [row.density, row[of]]))
  );
  const names = ["known to the host", "selected on the device"];
  return {
    title: "Block-sparse FlashAttention: time by density",
    paper: "time falls with the density; 2-4x faster than FlashAttention",
    setting: [
      `On ${gpu.info.description}: ${LENGTH} tokens, ${HEADS} heads of ` +
      `${HEAD_DIM}, float32, blocks of ${BLOCK} anywhere. Median of ` +
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
