/**
 * Faults in emitted WGSL: put in between what generates a kernel and what
 * compiles it, in a process that runs tests. The library knows nothing of it.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { findAll, replaceAll, tokenize } from "./tokens.ts";

/** The environment variable that holds an {@linkcode EmittedFault} as JSON. */
export const FAULT_VARIABLE = "QUIRE_WGSL_FAULT";

/** The fault that a process has to make. */
export interface EmittedFault {
  /** How the labels of the kernels begin that it is in. */
  readonly kernel: string;
  /** The words to change. */
  readonly find: string;
  /** What stands there instead. */
  readonly replace: string;
  /** Whether there may be several places in one kernel. */
  readonly all: boolean;
  /** The file to which a line is added for each kernel of that label. */
  readonly report: string;
}

/** What became of a kernel; one line of a report, as JSON. */
export interface EmittedReport {
  /** The kernel's label. */
  readonly label: string;
  /** How many places it has. */
  readonly places: number;
  /** Why it does not compile, if it was changed and does not. */
  readonly error?: string;
}

/** Whatever compiles kernels. */
export interface Compiler<Compiled> {
  /** Compiles one. */
  pipeline(kernel: KernelSource): Promise<Compiled>;
  /** The compiled form of one, where it is ready. */
  compiled?(kernel: KernelSource): Compiled | undefined;
}

/**
 * Lets `gpu` compile kernels with the fault that the environment names, if any.
 * Each kernel that its label fits is reported.
 */
export function plantFault<Compiled>(gpu: Compiler<Compiled>): void {
  const text = Deno.env.get(FAULT_VARIABLE);
  if (text === undefined) return;
  const fault: EmittedFault = JSON.parse(text);
  const compile = gpu.pipeline.bind(gpu);
  const compiled = gpu.compiled?.bind(gpu);
  // A program asks by the source that it was given, not by what became of it.
  if (compiled) {
    gpu.compiled = (kernel) => {
      if (!kernel.label.startsWith(fault.kernel)) return compiled(kernel);
      const tokens = tokenize(kernel.code);
      const matches = findAll(fault.find, tokens);
      const code = replaceAll(kernel.code, tokens, matches, fault.replace);
      return compiled({ ...kernel, code });
    };
  }
  gpu.pipeline = async (kernel) => {
    if (!kernel.label.startsWith(fault.kernel)) return await compile(kernel);
    const tokens = tokenize(kernel.code);
    const matches = findAll(fault.find, tokens);
    const report = { label: kernel.label, places: matches.length };
    note(fault, report);
    if (matches.length > 1 && !fault.all) {
      throw new Error(`${kernel.label} has the text ${matches.length} times`);
    }
    const code = replaceAll(kernel.code, tokens, matches, fault.replace);
    try {
      return await compile({ ...kernel, code });
    } catch (error) {
      const { message } = error as Error;
      if (message.startsWith("Cannot compile") && matches.length > 0) {
        note(fault, { ...report, error: message });
      }
      throw error;
    }
  };
}

function note(fault: EmittedFault, report: EmittedReport): void {
  const line = `${JSON.stringify(report)}\n`;
  Deno.writeTextFileSync(fault.report, line, { append: true });
}

/** Why a fault says nothing, by the report of a run; `undefined` if it does. */
export function whyVoid(
  { kernel, all }: Pick<EmittedFault, "kernel" | "all">,
  text: string,
): string | undefined {
  const reports: EmittedReport[] = text.split("\n").filter((line) => line)
    .map((line) => JSON.parse(line));
  if (reports.length === 0) {
    return `no kernel was compiled whose label begins with ${kernel}`;
  }
  const failed = reports.find(({ error }) => error !== undefined);
  if (failed) return failed.error!.split("\n").slice(0, 2).join(" ");
  const several = reports.find(({ places }) => places > 1);
  if (several && !all) {
    return `the text to replace occurs ${several.places} times in ${several.label}`;
  }
  if (reports.every(({ places }) => places === 0)) {
    return `the text to replace occurs in none of ${reports.length} kernels`;
  }
}
