/**
 * What a fault is, and short ways to list them.
 *
 * @module
 */

/** A one-line fault, and the tests that must notice it. */
interface Change {
  /** What goes wrong. */
  readonly name: string;
  /** The words to change; see `findAll()` of `tokens.ts` for variables. */
  readonly find: string;
  /** What stands there instead. */
  readonly replace: string;
  /** Test files or folders, relative to the root; one failing test kills. */
  readonly tests: readonly string[];
}

/** A fault in TypeScript, at the one place within a declaration. */
export interface SourceFault extends Change {
  /** Where: `BlockTable`, `BlockTable.reserve`, a function or a constant. */
  readonly symbol: string;
  /** The file, where others that declare the symbol have the text too. */
  readonly file?: string | undefined;
}

/** A fault in the WGSL that is compiled, whoever generated it. */
export interface KernelFault extends Change {
  /** How the labels of the kernels begin that it is in. */
  readonly kernel: string;
  /** Whether there may be several places, all of them changed. */
  readonly all: boolean;
}

/** A one-line fault, and the tests that must notice it. */
export type Fault = SourceFault | KernelFault;

/** Where a fault is, in a word. */
export function placeOf(fault: Fault): string {
  return "kernel" in fault ? fault.kernel : fault.symbol;
}

/** A fault as it is listed: its name, what to find, and what replaces it. */
export type Listed = readonly [name: string, find: string, replace: string];

/** The same of a kernel, where unrolled code may have it `all` over. */
export type ListedKernel = Listed | readonly [...Listed, all: "all"];

/** `cache/block/free_list` for `tests/cache/block/free_list_test.ts`. */
function testPaths(tests: readonly string[]): string[] {
  return tests.map((test) => `tests/${test}_test.ts`);
}

/**
 * Faults of one declaration, with the tests that must notice each of them.
 *
 * @param where A symbol; or `path/to/file.ts: symbol` where others that declare
 * it have the same text.
 */
export function faultsIn(
  where: string,
  tests: readonly string[],
  list: readonly Listed[],
): SourceFault[] {
  const [symbol, file] = where.split(": ").reverse();
  return list.map(([name, find, replace]) => ({
    name,
    symbol,
    file,
    find,
    replace,
    tests: testPaths(tests),
  }));
}

/** Faults of the kernels whose labels begin with `kernel`. */
export function faultsInKernel(
  kernel: string,
  tests: readonly string[],
  list: readonly ListedKernel[],
): KernelFault[] {
  return list.map(([name, find, replace, all]) => ({
    name,
    kernel,
    find,
    replace,
    all: all !== undefined,
    tests: testPaths(tests),
  }));
}
