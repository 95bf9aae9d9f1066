/**
 * Linear attention's growth: operations and bytes of the length's first power
 * against its second, and a state of one size against keys and values.
 *
 * @module
 */

import { colours, doublings, numbers, PANEL, panels } from "../axes.ts";
import type { Chart, Experiment, Report } from "../experiment.ts";
import {
  BASED_DIM,
  CHUNK,
  countGrowth,
  type GrowthData,
  HEAD_DIM,
  type KernelName,
  KERNELS,
  LENGTHS,
} from "./growth_counts.ts";
import { linearTimes } from "./linear_times.ts";

const NAMES = Object.keys(KERNELS) as KernelName[];
const LINEAR = NAMES.filter((name) => name !== "softmax");

function chartOf({ rows }: GrowthData): Chart {
  const log = numbers("count", null, {
    scale: { type: "log", base: 10, nice: false },
    axis: { format: "~s", tickCount: 5 },
  });
  const panel = (
    title: string,
    subtitle: string,
    of: (row: GrowthData["rows"][number], name: KernelName) => number,
  ) => ({
    title,
    subtitle,
    marks: {
      ...PANEL,
      data: {
        values: rows.flatMap((row) =>
          NAMES.map((name) => ({
            length: row.length,
            kernel: KERNELS[name],
            count: of(row, name),
          }))
        ),
      },
      mark: { type: "line", point: true },
      encoding: {
        x: doublings("length", "tokens", LENGTHS),
        y: log,
        color: colours("kernel", NAMES.map((name) => KERNELS[name])),
      },
    },
  });
  return panels(
    panel(
      "Operations of forward",
      "one head",
      ({ forward }, name) => forward[name].flops,
    ),
    panel(
      "What a sequence keeps for the next token",
      "bytes of one head, float32",
      ({ kept }, name) => kept[name],
    ),
  );
}

function reportOf(data: GrowthData): Report {
  const { rows, forward, both, passes, crossover } = data;
  const near = (exponent: number, to: number) =>
    Math.abs(exponent - to) <= 0.05;
  const powers = (of: GrowthData["forward"] | GrowthData["both"]) =>
    Object.entries(of).every(([name, { flops, bytes }]) => {
      const power = name === "softmax" ? 2 : 1;
      return near(flops, power) && near(bytes, power);
    });
  const last = rows[rows.length - 1];
  const millions = (x: number) => (x / 1e6).toFixed(1);
  return {
    title: "Linear attention: growth with the length",
    paper:
      "GLA trains faster than FlashAttention-2 beyond 4096 tokens; BASED decodes " +
      "24x faster than FlashAttention-2 at 1024 generated tokens, as its state " +
      "does not grow",
    setting: [
      `Exact counts of one head of ${HEAD_DIM} in chunks of ${CHUNK} (BASED: ` +
      `queries and keys of ${BASED_DIM}), forward equal to an instrumented run ` +
      "(`tests/planning/linear`), beside FlashAttention-2's of causal tiles. " +
      "Counts, not times.",
    ],
    tables: [{
      title: "Exponents of the length, from 4096 tokens on",
      columns: [
        "",
        "forward, operations",
        "forward, bytes",
        "with backward, operations",
        "with backward, bytes",
      ],
      rows: NAMES.map((name) => [
        KERNELS[name],
        forward[name].flops.toFixed(3),
        forward[name].bytes.toFixed(3),
        name === "based" ? "" : both[name].flops.toFixed(3),
        name === "based" ? "" : both[name].bytes.toFixed(3),
      ]),
    }, {
      title: "Million operations of forward, one head",
      columns: ["tokens", ...NAMES.map((name) => KERNELS[name])],
      rows: rows.map((row) => [
        row.length,
        ...NAMES.map((name) => millions(row.forward[name].flops)),
      ]),
    }, {
      title: "Bytes that one more token reads and writes, one head",
      columns: ["after", ...NAMES.map((name) => KERNELS[name])],
      rows: rows.map((row) => [
        row.length,
        ...NAMES.map((name) => row.decode[name].bytes),
      ]),
    }, {
      title: "Tokens from which on the linear one is cheaper",
      columns: ["", "operations of forward"],
      rows: LINEAR.map((name) => [
        KERNELS[name],
        passes[name as keyof typeof passes],
      ]),
    }, {
      title: "Tokens whose keys and values take more than the state",
      columns: ["state", "tokens"],
      rows: [
        ["BASED, 273 features: each product twice", crossover.full],
        ["BASED, 153 features, as here", crossover.packed],
        [`${HEAD_DIM} x ${HEAD_DIM}`, crossover.plain],
      ],
    }],
    checks: [
      {
        claim: "operations and bytes of forward have exponent 1, softmax " +
          "attention's 2, within 0.05",
        holds: powers(forward),
      },
      {
        claim: "so have those of forward and backward",
        holds: powers(both),
      },
      {
        claim: "every linear form has fewer operations before 4096 tokens",
        holds: Object.values(passes).every((length) => length < 4096),
      },
      {
        claim:
          "a state's bytes do not depend on the length; keys' and values' " +
          "are in proportion to it",
        holds: rows.every(({ length, kept }) =>
          LINEAR.every((name) => kept[name] === last.kept[name]) &&
          kept.softmax * last.length === last.kept.softmax * length
        ),
      },
      {
        claim:
          "with heads of 64 keys and values pass BASED's state of 273 x 65 " +
          "at token 139",
        holds: crossover.full === 139,
      },
      {
        claim: "one more token costs as much after any number of them",
        holds: rows.every(({ decode }) =>
          LINEAR.every((name) => decode[name].bytes === last.decode[name].bytes)
        ),
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** What linear attention promises of long sequences. */
export const linear: Experiment = {
  count: () => reportOf(countGrowth()),
  timing: linearTimes,
};
