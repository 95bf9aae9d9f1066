/**
 * Memory beside inputs and output, by length: N for the fused kernels, N^2 for
 * standard attention; and a mask that is stored, whole or as one triangle.
 *
 * @module
 */

import { TilingMask } from "../../src/planning/mod.ts";
import { colours, doublings, numbers, PANEL, panels } from "../axes.ts";
import type { Chart, Experiment, Report } from "../experiment.ts";
import { fittedExponent } from "../fit.ts";
import { type AlgorithmName, planned } from "./schedule_plans.ts";

const LENGTHS: readonly number[] = [512, 1024, 2048, 4096, 8192];
const HEAD_DIM = 64;
/** Bytes of a mask's element: float16, as in FastAttention's figure. */
const MASK_BYTES = 2;
const TILE = { rows: 64, keys: 64 };

/** One length. */
export interface MemoryRow {
  /** Tokens. */
  readonly length: number;
  /** Bytes beside inputs and output: scratch, schedule, log-sum-exp. */
  readonly bytes: Readonly<Record<AlgorithmName, number>>;
  /** Bytes of a whole mask. */
  readonly mask: number;
  /** Bytes of FastAttention's triangle. */
  readonly triangle: number;
}

/** What is counted. */
export interface MemoryData {
  /** By length. */
  readonly rows: readonly MemoryRow[];
  /** Exponents of the length. */
  readonly exponents: Readonly<Record<AlgorithmName, number>>;
}

const ALGORITHMS: readonly AlgorithmName[] = ["fused", "fa1", "standard"];

function extraBytes(length: number, algorithm: AlgorithmName): number {
  const { parts, explanation } = planned(
    { length, headDim: HEAD_DIM },
    algorithm,
    { splits: 1 },
  );
  const words = Object.values(parts.words ?? {})
    .reduce((sum, { length }) => sum + length, 0);
  return explanation.scratchBytes + 4 * words + 4 * length;
}

function byAlgorithm(
  of: (algorithm: AlgorithmName) => number,
): Record<AlgorithmName, number> {
  const [fused, fa1, standard] = ALGORITHMS.map(of);
  return { fused, fa1, standard };
}

/** Counts. */
export function countMemory(): MemoryData {
  const triangle = MASK_BYTES * new TilingMask(TILE).elements;
  const rows = LENGTHS.map((length): MemoryRow => ({
    length,
    bytes: byAlgorithm((algorithm) => extraBytes(length, algorithm)),
    mask: MASK_BYTES * length * length,
    triangle,
  }));
  return {
    rows,
    exponents: byAlgorithm((algorithm) =>
      fittedExponent(
        rows.map(({ length, bytes }) => [length, bytes[algorithm]]),
      )
    ),
  };
}

const NAMES: Readonly<Record<AlgorithmName, string>> = {
  fused: "fused (FlashAttention-2)",
  fa1: "FlashAttention-1",
  standard: "standard",
};

function chartOf({ rows }: MemoryData): Chart {
  const log = numbers("bytes", null, {
    scale: { type: "log", base: 10, nice: false },
    axis: { format: "~s", values: [1e4, 1e5, 1e6, 1e7, 1e8] },
  });
  return panels({
    title: "Bytes beside inputs and output",
    subtitle: `one head, head dim ${HEAD_DIM}`,
    marks: {
      ...PANEL,
      data: {
        values: rows.flatMap(({ length, bytes }) =>
          ALGORITHMS.map((of) => ({
            length,
            algorithm: NAMES[of],
            bytes: bytes[of],
          }))
        ),
      },
      mark: { type: "line", point: true },
      encoding: {
        x: doublings("length", "tokens", LENGTHS),
        y: log,
        color: colours("algorithm", ALGORITHMS.map((of) => NAMES[of])),
      },
    },
  }, {
    title: "Bytes of a mask, if one is stored",
    subtitle: "float16; the kernels here store none",
    marks: {
      ...PANEL,
      data: {
        values: rows.flatMap(({ length, mask, triangle }) => [
          { length, mask: "whole", bytes: mask },
          { length, mask: "one triangle (FastAttention)", bytes: triangle },
        ]),
      },
      mark: { type: "line", point: true },
      encoding: {
        x: doublings("length", "tokens", LENGTHS),
        y: log,
        color: colours("mask", ["whole", "one triangle (FastAttention)"]),
      },
    },
  });
}

function reportOf(data: MemoryData): Report {
  const { rows, exponents } = data;
  const last = rows[rows.length - 1];
  const near = (of: AlgorithmName, exponent: number) => ({
    claim: `${NAMES[of]}: exponent ${
      exponents[of].toFixed(3)
    } of the length, ${exponent} within 0.05`,
    holds: Math.abs(exponents[of] - exponent) <= 0.05,
  });
  return {
    title: "Memory: linear against quadratic",
    paper:
      "FlashAttention's memory is linear in the length, 10-20x less than " +
      "standard attention's at 2k and 4k; FastAttention's tiling-mask takes a " +
      "mask of 64K tokens from 8 GiB to a constant",
    setting: [
      "Bytes that plans allocate for one head beside inputs and output: scratch, " +
      "schedule and log-sum-exp.",
      `The triangle serves tiles of ${TILE.rows} x ${TILE.keys}: 4 B^2 elements, ` +
      "of which every tile takes a slice (`TilingMask`); that it is the mask is " +
      "a property of `tests/planning`.",
    ],
    tables: [{
      title: "Bytes",
      columns: [
        "tokens",
        "fused",
        "FlashAttention-1",
        "standard",
        "mask",
        "triangle",
      ],
      rows: rows.map(({ length, bytes, mask, triangle }) => [
        length,
        bytes.fused,
        bytes.fa1,
        bytes.standard,
        mask,
        triangle,
      ]),
    }],
    checks: [
      near("fused", 1),
      near("fa1", 1),
      near("standard", 2),
      {
        claim: "the triangle's memory does not depend on the length",
        holds: rows.every(({ triangle }) => triangle === last.triangle) &&
          last.triangle === MASK_BYTES * 4 * 64 * 64,
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** FlashAttention's and FastAttention's memory. */
export const memory: Experiment = { count: () => reportOf(countMemory()) };
