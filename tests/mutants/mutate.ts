/**
 * Tests the tests: applies one fault at a time to a copy of the sources, and
 * sees whether the tests that should notice it fail.
 *
 * @module
 */

/** A one-line fault, and the tests that must notice it. */
export interface Mutant {
  /** What goes wrong. */
  readonly name: string;
  /** The file to change, relative to the root. */
  readonly file: string;
  /** Text that occurs exactly once in the file. */
  readonly find: string;
  /** What stands there instead. */
  readonly replace: string;
  /** Test files or folders, relative to the root; one failing test kills. */
  readonly tests: readonly string[];
}

/**
 * What became of a mutant:
 *
 * - `killed`: a test failed, or the tests did not end in time;
 * - `survived`: every test passed;
 * - `broken`: it says nothing, as the text was not found exactly once, or the
 *   tests could not be loaded.
 */
export type Verdict = "killed" | "survived" | "broken";

/** One mutant's outcome. */
export interface MutantResult {
  /** The mutant. */
  readonly mutant: Mutant;
  /** What became of it. */
  readonly verdict: Verdict;
  /** The first test that failed and how, or why the mutant is broken. */
  readonly detail: string;
  /** Wall time. */
  readonly seconds: number;
}

/** How {@linkcode runMutants} works. */
export interface RunMutantsOptions {
  /** The repository's root. Defaults to the working directory. */
  readonly root?: string;
  /** Mutants at a time. Defaults to 2. */
  readonly workers?: number;
  /** `FC_RUNS` for each mutant, where the environment sets none. */
  readonly runs?: number;
  /** Seconds after which endless tests count as failed. Defaults to 300. */
  readonly timeout?: number;
  /** Called as each mutant is done. */
  readonly onResult?: (result: MutantResult) => void;
}

/** What the tests may need, as far as it exists. */
const TREE = [
  "src",
  "kernels",
  "reference",
  "tests",
  "mod.ts",
  "deno.json",
  "deno.lock",
  "README.md",
];

async function copyTree(from: string, to: string): Promise<void> {
  const info = await Deno.stat(from).catch(() => undefined);
  if (info === undefined) return;
  if (!info.isDirectory) return await Deno.copyFile(from, to);
  await Deno.mkdir(to, { recursive: true });
  for await (const entry of Deno.readDir(from)) {
    if (entry.name === "node_modules") continue;
    await copyTree(`${from}/${entry.name}`, `${to}/${entry.name}`);
  }
}

interface TestOutcome {
  readonly passed: boolean;
  readonly timedOut: boolean;
  readonly output: string;
}

async function runTests(
  cwd: string,
  tests: readonly string[],
  { runs, timeout }: { runs: number; timeout: number },
): Promise<TestOutcome> {
  const signal = AbortSignal.timeout(timeout * 1000);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", "--fail-fast", ...tests],
    cwd,
    env: {
      NO_COLOR: "1",
      FC_RUNS: Deno.env.get("FC_RUNS") ?? String(runs),
      FC_SEED: Deno.env.get("FC_SEED") ?? "1",
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

/** A failing test, unlike a file that does not load, is counted as failed. */
function judge(outcome: TestOutcome): { verdict: Verdict; detail: string } {
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
  return { verdict: "killed", detail: `${test ?? "a test"}: ${cause}` };
}

/** Applies the fault to `text`; `undefined` unless its place is unique. */
function applyMutant(text: string, mutant: Mutant): string | undefined {
  const parts = text.split(mutant.find);
  return parts.length === 2 ? parts.join(mutant.replace) : undefined;
}

async function runMutant(
  tree: string,
  mutant: Mutant,
  limits: { runs: number; timeout: number },
): Promise<MutantResult> {
  const start = performance.now();
  const path = `${tree}/${mutant.file}`;
  const text = await Deno.readTextFile(path);
  const mutated = applyMutant(text, mutant);
  const seconds = () => (performance.now() - start) / 1000;
  if (mutated === undefined) {
    const times = text.split(mutant.find).length - 1;
    const detail = `the text to replace occurs ${times} times`;
    return { mutant, verdict: "broken", detail, seconds: seconds() };
  }
  await Deno.writeTextFile(path, mutated);
  try {
    const outcome = await runTests(tree, mutant.tests, limits);
    return { mutant, ...judge(outcome), seconds: seconds() };
  } finally {
    await Deno.writeTextFile(path, text);
  }
}

/**
 * Runs the tests against each mutant, each worker in a copy of the tree.
 *
 * @throws {Error} if the tests fail before anything is changed, as a mutant's
 * failing test would then mean nothing.
 */
export async function runMutants(
  mutants: readonly Mutant[],
  options: RunMutantsOptions = {},
): Promise<MutantResult[]> {
  const { root = Deno.cwd(), workers = 2, runs = 100, timeout = 300 } = options;
  const limits = { runs, timeout };
  const base = await Deno.makeTempDir({ prefix: "mutants-" });
  try {
    const trees = Array.from({ length: workers }, (_, i) => `${base}/${i}`);
    for (const tree of trees) {
      await Deno.mkdir(tree);
      for (const name of TREE) {
        await copyTree(`${root}/${name}`, `${tree}/${name}`);
      }
    }
    const tests = [...new Set(mutants.flatMap((mutant) => mutant.tests))];
    const outcome = await runTests(trees[0], tests, limits);
    if (!outcome.passed) {
      throw new Error(
        `Cannot judge mutants as the tests fail without them\n${outcome.output}`,
      );
    }
    const results: MutantResult[] = [];
    const queue = mutants.entries();
    await Promise.all(trees.map(async (tree) => {
      for (const [i, mutant] of queue) {
        results[i] = await runMutant(tree, mutant, limits);
        options.onResult?.(results[i]);
      }
    }));
    return results;
  } finally {
    await Deno.remove(base, { recursive: true });
  }
}
