// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task doctor`: what this machine's adapter is, can, and how fast; and
 * whether the library works on it.
 *
 * @module
 */

import { type Gpu, openGpu, UnsupportedError } from "../gpu/mod.ts";
import {
  measureFmaPeak,
  measureReadBandwidth,
  type Peak,
} from "../gpu/calibrate.ts";
import type { ProbeResult } from "../gpu/probes/probe.ts";
import { runProbes } from "../gpu/probes/probes.ts";
import { WANTED_FEATURES, WANTED_LIMITS } from "../gpu/adapter.ts";
import { readCommand } from "./arguments.ts";
import { checkAttention, type CheckResult } from "./self_check.ts";
import { formatTable } from "./table.ts";
import { standardOutput, styled, type Terminal, wrapped } from "./terminal.ts";
import { type Verdict, verdictOf } from "./verdict.ts";

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
  /** Whether attention comes out right. */
  readonly checks: readonly CheckResult[];
  /** Whether the library works here. */
  readonly verdict: Verdict;
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
  const checks = await checkAttention(gpu);
  const { software } = gpu;
  const fma = await measureFmaPeak(gpu);
  const read = await measureReadBandwidth(gpu);
  return {
    runtime: `Deno ${Deno.version.deno}`,
    adapter: gpu.info,
    software,
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
    checks,
    verdict: verdictOf({ software, probes, checks }),
  };
}

function peakText({ value, unit, variant, clock }: Peak): string {
  return `${value.toFixed(1)} ${unit} (${variant}; ${clock})`;
}

const yesOrNo = (yes: boolean) => yes ? "yes" : "no";

/** A heading, and a row for each name and what is said of it. */
function section(
  terminal: Terminal,
  title: string,
  rows: readonly (readonly string[])[],
): string {
  return `${styled(terminal, "bold", title)}\n${
    formatTable(rows[0].map(() => ({ title: "" })), rows, {
      width: terminal.columns,
      indent: "  ",
    })
  }`;
}

/** What was found of each probe, and by computing attention. */
function findings(
  { probes, checks, verdict }: DoctorReport,
  terminal: Terminal,
): string[][] {
  const right = styled(terminal, "green", "ok");
  const wrong = styled(terminal, "red", "WRONG");
  const avoided = styled(terminal, "yellow", "avoided");
  const state = ({ name, ok }: ProbeResult) => {
    if (ok === undefined) return "-";
    if (ok) return right;
    return name in verdict.avoided ? avoided : wrong;
  };
  return [
    ...probes.map((probe) => [probe.name, state(probe), probe.detail]),
    ...checks.map(({ name, ok, error }) => [
      name,
      ok ? right : wrong,
      `within ${error.toExponential(1)} of float64`,
    ]),
  ];
}

/** The verdict: one line, and a few for each fault. */
export function formatVerdict(
  { verdict: { works, avoided, wrong }, software }: Pick<
    DoctorReport,
    "verdict" | "software"
  >,
  terminal: Terminal,
): string {
  const item = (text: string) =>
    wrapped(text, terminal.columns - 4)
      .map((line, i) => `${i === 0 ? "  - " : "    "}${line}`).join("\n");
  const faults = Object.entries(avoided);
  const answer = works
    ? styled(terminal, "green", "Quire works here")
    : styled(terminal, "red", "Quire does not work here");
  const lines = works
    ? [
      answer +
      (software ? ", on a software adapter: right, but slow." : "."),
    ]
    : [`${answer}:`, ...wrong.map(item)];
  if (faults.length > 0) {
    lines.push(
      styled(
        terminal,
        "yellow",
        "These known faults of this driver are avoided:",
      ),
      ...faults.map(([name, text]) => item(`${name}: ${text}`)),
    );
  } else lines.push("No known fault of drivers was found.");
  return lines.join("\n");
}

/** The report for a reader; its last lines are the verdict. */
export function format(report: DoctorReport, terminal: Terminal): string {
  const { adapter, software, features, limits, profiles } = report;
  const part = (title: string, rows: readonly (readonly string[])[]) =>
    section(terminal, title, rows);
  return [
    part("Adapter", [
      ["description", `${adapter.description}${software ? " (software)" : ""}`],
      ["vendor", adapter.vendor],
      ["architecture", adapter.architecture || "-"],
      ["device", adapter.device],
      ["runtime", report.runtime],
    ]),
    part(
      "Features",
      Object.entries(features).map(([name, has]) => [name, yesOrNo(has)]),
    ),
    part(
      "Limits",
      Object.entries(limits).map(([name, value]) => [name, `${value}`]),
    ),
    part(
      "Profiles",
      profiles.map(({ name, possible, reason }) => [
        name,
        yesOrNo(possible),
        reason,
      ]),
    ),
    part("Measured", [
      ["multiply-adds (f32)", peakText(report.fma)],
      ["storage reads", peakText(report.read)],
    ]),
    part("Tried", findings(report, terminal)),
    "",
    formatVerdict(report, terminal),
  ].join("\n");
}

const COMMAND = {
  usage: `Usage: deno task doctor [--json]
  Says what this machine's adapter is, can, and how fast, and whether the
  library works on it; exits with 1 if it does not
  --json  the same for programs`,
  flags: { json: { type: "boolean", default: false } },
} as const;

/** Prints the report; returns the exit code. */
async function main(): Promise<number> {
  const json = readCommand(COMMAND, ({ values }) => values.json);
  try {
    using gpu = await openGpu();
    const report = await examine(gpu);
    console.log(
      json ? JSON.stringify(report, null, 2) : format(report, standardOutput()),
    );
    return report.verdict.works ? 0 : 1;
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    console.error(`Quire does not work here: ${error.message}`);
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main());
