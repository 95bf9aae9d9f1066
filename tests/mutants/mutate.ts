/**
 * Tests the tests: makes one fault at a time, in a copy of the sources or in
 * what a process compiles, and sees whether the tests that should notice fail.
 *
 * @module
 */

import { FAULT_VARIABLE, whyVoid } from "./emitted.ts";
import type { Fault, KernelFault, SourceFault } from "./fault.ts";
import { changeSource, FOLDERS } from "./place.ts";
import { SymbolIndex } from "./symbols.ts";
import { tokenize } from "./tokens.ts";

/**
 * What became of a fault:
 *
 * - `killed`: a test failed, or the tests did not end in time;
 * - `survived`: every test passed;
 * - `broken`: it says nothing, as its place was not found, or the tests could
 *   not be loaded, or they failed for a name that is not there.
 */
export type Verdict = "killed" | "survived" | "broken";

/** One fault's outcome. */
export interface MutantResult {
  /** The fault. */
  readonly fault: Fault;
  /** What became of it. */
  readonly verdict: Verdict;
  /** The first test that failed and how, or why the fault is broken. */
  readonly detail: string;
  /** Wall time. */
  readonly seconds: number;
}

/** How {@linkcode runMutants} works. */
export interface RunMutantsOptions {
  /** The repository's root. Defaults to the working directory. */
  readonly root?: string;
  /** Faults at a time. Defaults to 2. */
  readonly workers?: number;
  /** `FC_RUNS` for each fault, where the environment sets none. */
  readonly runs?: number;
  /** Seconds after which endless tests count as failed. Defaults to 300. */
  readonly timeout?: number;
  /** Called as each fault is done. */
  readonly onResult?: (result: MutantResult) => void;
}

/** Copies a folder, without what is installed or hidden. */
async function copyTree(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (name === "node_modules" || name.startsWith(".")) continue;
    const [source, copy] = [`${from}/${name}`, `${to}/${name}`];
    await (isDirectory ? copyTree(source, copy) : Deno.copyFile(source, copy));
  }
}

/** Seconds for all tests together, before anything is changed. */
const BASELINE_TIMEOUT = 900;

/** Where and how tests run. */
interface Bench {
  /** A copy of the tree. */
  readonly tree: string;
  /** The declarations that are in it. */
  readonly index: SymbolIndex;
  /** `FC_RUNS`. */
  readonly runs: number;
  /** Seconds. */
  readonly timeout: number;
}

interface TestOutcome {
  readonly passed: boolean;
  readonly timedOut: boolean;
  readonly output: string;
}

async function runTests(
  { tree, runs, timeout }: Bench,
  tests: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<TestOutcome> {
  const signal = AbortSignal.timeout(timeout * 1000);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", "--fail-fast", ...tests],
    cwd: tree,
    env: {
      NO_COLOR: "1",
      FC_RUNS: Deno.env.get("FC_RUNS") ?? String(runs),
      FC_SEED: Deno.env.get("FC_SEED") ?? "1",
      ...env,
    },
    signal,
  }).output();
  const decoder = new TextDecoder();
  return {
    passed: code === 0,
    timedOut: signal.aborted,
    output: decoder.decode(stdout) + decoder.decode(stderr),
  };
}

/** The first line of what a test threw; of a property, why it failed. */
const CAUSE =
  /^error: (?:Error: Property failed.*\nCounterexample: .*\n)?(.*)/m;

/** What code throws that names something which is not there. */
const MISSING = /([#\w]+)\]? is not (?:defined|a function)/;

/**
 * Whether the tests failed for a name that only the fault's own code has: it
 * was written when something had another name.
 */
function isStale({ find, replace }: Fault, cause: string): boolean {
  const name = cause.match(MISSING)?.[1];
  const has = (text: string) =>
    tokenize(text).some((token) => token.text === name);
  return name !== undefined && has(replace) && !has(find);
}

type Judgement = Pick<MutantResult, "verdict" | "detail">;

/** A failing test, unlike a file that does not load, is counted as failed. */
function judge(fault: Fault, outcome: TestOutcome): Judgement {
  if (outcome.timedOut) return { verdict: "killed", detail: "out of time" };
  if (outcome.passed) return { verdict: "survived", detail: "" };
  const loaded = /\| \d+ passed(?: \([^)]*\))? \| [1-9]\d* failed/.test(
    outcome.output,
  );
  if (!loaded || outcome.output.includes("(uncaught error)")) {
    const line = outcome.output.match(/^error: .*$/m)?.[0];
    return { verdict: "broken", detail: line ?? "the tests did not load" };
  }
  const test = outcome.output.match(/^(.*) \.\.\. FAILED/m)?.[1];
  const cause = outcome.output.match(CAUSE)?.[1] ?? "";
  const verdict = isStale(fault, cause) ? "broken" : "killed";
  return { verdict, detail: `${test ?? "a test"}: ${cause}` };
}

async function judgeSource(
  bench: Bench,
  fault: SourceFault,
): Promise<Judgement> {
  const { file, before, after } = changeSource(bench.index, fault);
  const path = `${bench.tree}/${file}`;
  await Deno.writeTextFile(path, after);
  try {
    return judge(fault, await runTests(bench, fault.tests));
  } finally {
    await Deno.writeTextFile(path, before);
  }
}

async function judgeKernel(
  bench: Bench,
  fault: KernelFault,
): Promise<Judgement> {
  const report = await Deno.makeTempFile({ dir: bench.tree });
  const { kernel, find, replace, all } = fault;
  const outcome = await runTests(bench, fault.tests, {
    [FAULT_VARIABLE]: JSON.stringify({ kernel, find, replace, all, report }),
  });
  const why = whyVoid(fault, await Deno.readTextFile(report));
  await Deno.remove(report);
  return why === undefined
    ? judge(fault, outcome)
    : { verdict: "broken", detail: why };
}

async function runMutant(bench: Bench, fault: Fault): Promise<MutantResult> {
  const start = performance.now();
  let judgement: Judgement;
  try {
    judgement = await ("kernel" in fault
      ? judgeKernel(bench, fault)
      : judgeSource(bench, fault));
  } catch (error) {
    judgement = { verdict: "broken", detail: (error as Error).message };
  }
  const seconds = (performance.now() - start) / 1000;
  return { fault, ...judgement, seconds };
}

/**
 * Runs the tests against each fault, each worker in a copy of the tree.
 *
 * @throws {Error} if the tests fail before anything is changed, as a failing
 * test would then mean nothing.
 */
export async function runMutants(
  faults: readonly Fault[],
  options: RunMutantsOptions = {},
): Promise<MutantResult[]> {
  const { root = Deno.cwd(), workers = 2, runs = 100, timeout = 300 } = options;
  const base = await Deno.makeTempDir({ prefix: "mutants-" });
  try {
    const index = await SymbolIndex.read(root, FOLDERS);
    const benches: Bench[] = Array.from(
      { length: workers },
      (_, i) => ({ tree: `${base}/${i}`, index, runs, timeout }),
    );
    for (const { tree } of benches) await copyTree(root, tree);
    const tests = [...new Set(faults.flatMap((fault) => fault.tests))];
    const patient = { ...benches[0], timeout: BASELINE_TIMEOUT };
    const outcome = await runTests(patient, tests);
    if (!outcome.passed) {
      throw new Error(
        `Cannot judge mutants as the tests fail without them\n${outcome.output}`,
      );
    }
    const results: MutantResult[] = [];
    const queue = faults.entries();
    await Promise.all(benches.map(async (bench) => {
      for (const [i, fault] of queue) {
        results[i] = await runMutant(bench, fault);
        options.onResult?.(results[i]);
      }
    }));
    return results;
  } finally {
    await Deno.remove(base, { recursive: true });
  }
}
