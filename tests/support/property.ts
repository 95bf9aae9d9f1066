/**
 * Property tests whose runs, seed and path come from the environment, and
 * whose failures end in one line that replays them.
 *
 * - `FC_RUNS`: the number of runs of every property, in place of its own. From
 *   1000 on some lists of commands are thousands long.
 * - `FC_SEED`: the seed. A fixed one where `CI` is set, else a random one.
 * - `FC_PATH`: the path to one counterexample, as the replay line prints it.
 * - `FC_REPLAY_PATH`: the same for the commands of a stateful property.
 *
 * @module
 */

import fc from "fast-check";

/** How one property is run. */
export interface PropertyOptions {
  /** Runs when `FC_RUNS` is not set. Defaults to 100. */
  readonly runs?: number;
  /** Inputs that always run first. */
  readonly examples?: readonly unknown[][];
  /** Skips the test, for a stated reason. */
  readonly ignore?: boolean;
}

/** Arbitraries for each argument of a predicate. */
export type Arbitraries<T extends unknown[]> = {
  [K in keyof T]: fc.Arbitrary<T[K]>;
};

/** Returns (or resolves to) `false` or throws where the property fails. */
export type Predicate<T extends unknown[]> = (
  ...args: T
) => boolean | void | Promise<boolean | void>;

const CI_SEED = 20250917;

function integerFrom(name: string): number | undefined {
  const text = Deno.env.get(name);
  if (text === undefined || text === "") return undefined;
  const value = Number(text);
  if (!Number.isInteger(value)) {
    throw new RangeError(
      `${name} must be an integer: current value is ${JSON.stringify(text)}`,
    );
  }
  return value;
}

/** The number of runs: `FC_RUNS` where it is set, else `runs`. */
export function runsOf(runs: number): number {
  return integerFrom("FC_RUNS") ?? runs;
}

/** The seed of this process: `FC_SEED`, fixed in CI, else random. */
export const SEED: number = integerFrom("FC_SEED") ??
  (Deno.env.get("CI") ? CI_SEED : (Math.random() * 0x100000000) | 0);

/** `FC_REPLAY_PATH`, as `fc.commands` takes it; stateful tests pass it on. */
export function replayPath(): { replayPath?: string } {
  const path = Deno.env.get("FC_REPLAY_PATH");
  return path ? { replayPath: path } : {};
}

/** Whether this is the long run, as `deno task test:full` is. */
function isLongRun(): boolean {
  return runsOf(0) >= 1000;
}

/** The longest list of commands in the long run. */
const MOST_COMMANDS = 3000;

/**
 * Lists of commands for a stateful property, which `FC_REPLAY_PATH` replays. In
 * the long run one in fifty is up to thousands of commands long.
 */
export function commandLists<Model extends object, Real>(
  commands: fc.Arbitrary<fc.Command<Model, Real>>[],
  constraints: Pick<fc.CommandsContraints, "maxCommands" | "size"> = {},
): fc.Arbitrary<Iterable<fc.Command<Model, Real>>> {
  const replay = replayPath();
  const usual = fc.commands(commands, { ...constraints, ...replay });
  if (!isLongRun()) return usual;
  const long = fc.commands(commands, {
    maxCommands: MOST_COMMANDS,
    size: "max",
    ...replay,
  });
  return fc.oneof(
    { weight: 49, arbitrary: usual },
    { weight: 1, arbitrary: long },
  );
}

/** The test file that is on the stack, relative to the working directory. */
function testFile(stack: string): string {
  const url = stack.match(/file:\/\/\S*_test\.ts/)?.[0];
  if (url === undefined) return "";
  const path = decodeURIComponent(new URL(url).pathname);
  const root = Deno.cwd() + "/";
  return path.startsWith(root) ? path.slice(root.length) : path;
}

function quote(text: string): string {
  return `"${text.replace(/["\\$`]/g, "\\$&")}"`;
}

function replayLine<T>(
  details: fc.RunDetails<T>,
  name: string,
  file: string,
): string {
  const path = details.counterexamplePath;
  const commands = fc.stringify(details.counterexample)
    .match(/replayPath="([^"]*)"/)?.[1];
  return [
    `FC_SEED=${details.seed}`,
    ...(path ? [`FC_PATH=${path}`] : []),
    ...(commands ? [`FC_REPLAY_PATH=${commands}`] : []),
    // What is generated depends on it.
    ...(isLongRun() ? ["FC_RUNS=1000"] : []),
    `deno test -A ${file} --filter ${quote(name)}`,
  ].join(" ");
}

function report<T>(
  details: fc.RunDetails<T>,
  name: string,
  file: string,
): Error {
  const cause = details.errorInstance;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new Error(
    `Property failed after ${details.numRuns} runs and ${details.numShrinks} shrinks: ${name}
Counterexample: ${fc.stringify(details.counterexample)}
${reason}
${replayLine(details, name, file)}`,
    { cause },
  );
}

/**
 * Checks a property now, inside a test of another making.
 *
 * @param name The name of the surrounding test, for the replay line.
 */
export async function checkProperty<T extends [unknown, ...unknown[]]>(
  name: string,
  arbitraries: Arbitraries<T>,
  predicate: Predicate<T>,
  options: PropertyOptions = {},
): Promise<void> {
  await run(name, testFile(new Error().stack ?? ""), {
    arbitraries,
    predicate,
    options,
  });
}

async function run<T extends [unknown, ...unknown[]]>(
  name: string,
  file: string,
  { arbitraries, predicate, options }: {
    arbitraries: Arbitraries<T>;
    predicate: Predicate<T>;
    options: PropertyOptions;
  },
): Promise<void> {
  const path = Deno.env.get("FC_PATH");
  const property = fc.asyncProperty<T>(
    ...arbitraries,
    async (...args: T) => {
      if (await predicate(...args) === false) {
        throw new Error("The predicate returned false");
      }
    },
  );
  const details = await fc.check(property, {
    numRuns: runsOf(options.runs ?? 100),
    seed: SEED,
    ...(path ? { path } : {}),
    ...(options.examples ? { examples: options.examples as T[] } : {}),
  });
  if (details.failed) throw report(details, name, file);
}

/**
 * Registers a test that holds `predicate` against generated arguments.
 *
 * ```ts ignore
 * property("gcd() divides both", [fc.nat(), fc.nat()], (a, b) => {
 *   assertEquals(a % gcd(a, b), 0);
 * });
 * ```
 */
export function property<T extends [unknown, ...unknown[]]>(
  name: string,
  arbitraries: Arbitraries<T>,
  predicate: Predicate<T>,
  options: PropertyOptions = {},
): void {
  const file = testFile(new Error().stack ?? "");
  Deno.test({
    name,
    ignore: options.ignore ?? false,
    fn: () => run(name, file, { arbitraries, predicate, options }),
  });
}
