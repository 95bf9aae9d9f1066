// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task doctor`: what this machine's adapter is, can, and how fast.
 *
 * @module
 */

import { type Gpu, openGpu } from "../gpu/mod.ts";
import {
  measureFmaPeak,
  measureReadBandwidth,
  type Peak,
} from "../gpu/calibrate.ts";
import type { ProbeResult } from "../gpu/probe.ts";
import { runProbes } from "../gpu/probes.ts";
import { WANTED_FEATURES, WANTED_LIMITS } from "../gpu/adapter.ts";

/** Whether kernels of one profile can run here. */
export interface ProfileState {
  /** The profile's name. */
  readonly name: "portable" | "subgroups" | "matrix";
  /** Whether it can run. */
  readonly possible: boolean;
  /** Why, or why not. */
  readonly reason: string;
}

/** All that `doctor` reports. */
export interface DoctorReport {
  /** The runtime and its version. */
  readonly runtime: string;
  /** Who made the adapter. */
  readonly adapter: Gpu["info"];
  /** Whether it computes on the CPU. */
  readonly software: boolean;
  /** Which of the features that kernels can use there are. */
  readonly features: Readonly<Record<string, boolean>>;
  /** The limits that matter to kernels. */
  readonly limits: Readonly<Record<string, number>>;
  /** Which profiles can run. */
  readonly profiles: readonly ProfileState[];
  /** The peak of f32 fused multiply-adds. */
  readonly fma: Peak;
  /** The peak of reads from storage. */
  readonly read: Peak;
  /** What the probes for miscompiled shaders found. */
  readonly probes: readonly ProbeResult[];
}

/** Which profiles a device with these features can run, and why not others. */
export function profilesOf(features: ReadonlySet<string>): ProfileState[] {
  const profile = (name: ProfileState["name"], feature: string) => ({
    name,
    possible: features.has(feature),
    reason: features.has(feature)
      ? `the device has ${feature}`
      : `the device lacks ${feature}`,
  });
  return [
    { name: "portable", possible: true, reason: "needs no optional feature" },
    profile("subgroups", "subgroups"),
    profile("matrix", "chromium-experimental-subgroup-matrix"),
  ];
}

/** Examines a device. */
export async function examine(gpu: Gpu): Promise<DoctorReport> {
  const probes = await runProbes(gpu);
  const fma = await measureFmaPeak(gpu);
  const read = await measureReadBandwidth(gpu);
  return {
    runtime: `Deno ${Deno.version.deno}`,
    adapter: gpu.info,
    software: gpu.software,
    features: Object.fromEntries(
      WANTED_FEATURES.map((name) => [name, gpu.features.has(name)]),
    ),
    limits: Object.fromEntries(
      WANTED_LIMITS.map((name) => [name, gpu.limits[name]]),
    ),
    profiles: profilesOf(gpu.features),
    fma,
    read,
    probes,
  };
}

function rows(table: readonly (readonly [string, string])[]): string {
  const width = Math.max(...table.map(([name]) => name.length));
  return table.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`)
    .join("\n");
}

function peakLine(peak: Peak): string {
  return `${
    peak.value.toFixed(1)
  } ${peak.unit} (${peak.variant}; ${peak.clock})`;
}

/** The report for a reader. */
export function format(report: DoctorReport): string {
  const { adapter, software } = report;
  const mark = (ok: boolean | undefined) =>
    ok === undefined ? "-" : ok ? "ok" : "WRONG";
  return `Adapter
${
    rows([
      ["description", `${adapter.description}${software ? " (software)" : ""}`],
      ["vendor", adapter.vendor],
      ["architecture", adapter.architecture || "-"],
      ["device", adapter.device],
      ["runtime", report.runtime],
    ])
  }
Features
${
    rows(
      Object.entries(report.features).map((
        [name, has],
      ) => [name, has ? "yes" : "no"]),
    )
  }
Limits
${
    rows(
      Object.entries(report.limits).map(([name, value]) => [name, `${value}`]),
    )
  }
Profiles
${
    rows(
      report.profiles.map((
        { name, possible, reason },
      ) => [name, `${possible ? "possible" : "not possible"}: ${reason}`]),
    )
  }
Measured
${
    rows([
      ["multiply-adds (f32)", peakLine(report.fma)],
      ["storage reads", peakLine(report.read)],
    ])
  }
Shader probes
${
    rows(
      report.probes.map((
        { name, ok, detail },
      ) => [name, `${mark(ok)}: ${detail}`]),
    )
  }`;
}

async function main(): Promise<void> {
  const unknown = Deno.args.filter((arg) => arg !== "--json");
  if (unknown.length > 0) {
    console.error(`Unknown argument ${unknown[0]}; doctor takes --json only`);
    Deno.exit(2);
  }
  const gpu = await openGpu();
  try {
    const report = await examine(gpu);
    console.log(
      Deno.args.includes("--json")
        ? JSON.stringify(report, null, 2)
        : format(report),
    );
  } finally {
    gpu.destroy();
  }
}

if (import.meta.main) await main();
