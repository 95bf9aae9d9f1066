/**
 * What an experiment is given, and what it finds.
 *
 * @module
 */

import type { Gpu } from "../src/gpu/mod.ts";

/** A table for people. */
export interface Table {
  /** What it shows. */
  readonly title: string;
  /** Headings; numbers go to the right under all but the first. */
  readonly columns: readonly string[];
  /** Cells. */
  readonly rows: readonly (readonly (string | number)[])[];
}

/** Something that the experiment shows, or does not. */
export interface Check {
  /** What is claimed. */
  readonly claim: string;
  /** Whether it is so. */
  readonly holds: boolean;
}

/** A plot as Vega-Lite takes it. */
export type Chart = Readonly<Record<string, unknown>>;

/** What one run of an experiment found. */
export interface Report {
  /** What is reproduced. */
  readonly title: string;
  /** What the paper had. */
  readonly paper: string;
  /** What was run instead, in a few sentences. */
  readonly setting: readonly string[];
  /** For people. */
  readonly tables: readonly Table[];
  /** What must hold. */
  readonly checks: readonly Check[];
  /** Every number, for programs. */
  readonly data: unknown;
  /** The plot. */
  readonly chart: Chart;
}

/** What is timed; several experiments may report the same. */
export interface Timing {
  /** The name of its files. */
  readonly name: string;
  /** Measures. */
  readonly time: (gpu: Gpu) => Promise<Report>;
}

/** One of the experiments. */
export interface Experiment {
  /** Counts: the same on every machine. */
  readonly count: () => Report;
  /** Times on a device, where the experiment has any. */
  readonly timing?: Timing;
}

/** `0.9634` as `"96.3 %"`. */
export function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`;
}

/** `values` summed up. */
export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** The arithmetic mean of at least one value. */
export function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}
