/**
 * Whether this library works on a device, by what was found there.
 *
 * @module
 */

import type { ProbeResult } from "../gpu/probes/probe.ts";
import type { CheckResult } from "./self_check.ts";

/** What a verdict is made of. */
export interface Findings {
  /** Whether the adapter computes on the CPU. */
  readonly software: boolean;
  /** What the probes for miscompiled shaders found. */
  readonly probes: readonly ProbeResult[];
  /** Whether attention comes out right. */
  readonly checks: readonly CheckResult[];
}

/** The last word. */
export interface Verdict {
  /** Whether results can be relied on. */
  readonly works: boolean;
  /** Faults that were found and are avoided, by probe, in a sentence each. */
  readonly avoided: Readonly<Record<string, string>>;
  /** What is wrong and is not avoided, in a sentence each. */
  readonly wrong: readonly string[];
}

/** A fault that kernels are written around. */
interface KnownFault {
  /** What goes wrong, and what is done about it. */
  readonly text: string;
  /** Where it is avoided; everywhere by default. */
  readonly where?: (findings: Findings) => boolean;
}

/** By the probe that finds it. */
const KNOWN_FAULTS: Readonly<Record<string, KnownFault>> = {
  "loop_var_reinit": {
    text: "a variable declared in a loop without a value keeps its last one; " +
      "kernels give each a value",
  },
  "long_loops": {
    text: "loops end after 65,535 iterations; kernels cut their work so that " +
      "they take fewer",
    // Only there is the work cut.
    where: ({ software }) => software,
  },
};

/** Judges a device by what was found there. */
export function verdictOf(findings: Findings): Verdict {
  const { probes, checks } = findings;
  const avoided: Record<string, string> = {};
  const wrong: string[] = [];
  for (const { name, ok, detail } of probes) {
    if (ok !== false) continue;
    const known = KNOWN_FAULTS[name];
    if (known && (known.where?.(findings) ?? true)) avoided[name] = known.text;
    else wrong.push(`the probe ${name} fails: ${detail}`);
  }
  for (const { name, ok, error } of checks) {
    if (!ok) wrong.push(`${name}, is off by ${error.toExponential(1)}`);
  }
  return { works: wrong.length === 0, avoided, wrong };
}
