/**
 * How much of the library ends up in a bundle.
 *
 * @module
 */

import { run } from "./node_process.ts";

/** A bundle with one name in it. */
interface Bundle {
  /** What it imports. */
  readonly name: string;
  /** The sub-path that it is imported from; none for the root. */
  readonly path?: string;
  /** kB (1000 bytes), gzipped, of what a page loads before it can call it. */
  readonly most: number;
  /** What the path of no file in it may contain. */
  readonly without: readonly string[];
}

/**
 * The bundles that are held. The aim for attention is 35. What it has is on the
 * way of a causal call, or cannot be told apart from it before the options are
 * read: options, their checks and messages, mods and their readings, WGSL and
 * what writes it, the schedule and what it moves, the device, each about a
 * sixth.
 */
const BUNDLES: readonly Bundle[] = [
  {
    name: "causal",
    most: 2.6,
    without: ["kernels/", "src/gpu/", "src/ops/", "reference/"],
  },
  {
    name: "attention",
    most: 58,
    without: [
      "backward",
      "derivative",
      "simplify",
      "draw",
      "svg",
      "src/cache/",
      "src/kv/",
      "src/engine/",
      "reference/",
    ],
  },
  {
    name: "KvCache",
    most: 21,
    without: ["src/ops/", "src/mods/", "src/engine/", "reference/"],
  },
  {
    // With groups of states, as models with recurrent layers have them.
    name: "Scheduler",
    most: 20.5,
    without: ["src/ops/", "src/gpu/", "src/kv/", "kernels/"],
  },
  {
    // Two ways to come by the gradients of scores, of which a device takes one.
    name: "attentionBackward",
    path: "/ops",
    most: 63.2,
    without: ["src/cache/", "src/kv/", "src/engine/", "reference/"],
  },
];

/** What `node_project/bundles.js` says of a bundle. */
interface Measured {
  readonly name: string;
  readonly gzipped: number;
  readonly files: readonly string[];
  readonly atOnce: readonly Chunk[];
  readonly later: readonly Chunk[];
}

interface Chunk {
  readonly name: string;
  readonly kB: number;
  readonly gzipped: number;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** What is wrong with a bundle. */
function faultsOf(
  { name, most, without }: Bundle,
  { files, atOnce }: Measured,
): string[] {
  const size = sum(atOnce.map(({ gzipped }) => gzipped));
  return [
    ...size > most ? [`${name} has ${size} kB, more than ${most}`] : [],
    ...files.length === 0 ? [`${name} has no file of the package`] : [],
    ...files
      .filter((file) => without.some((part) => file.includes(part)))
      .map((file) => `${name} has ${file} in it`),
  ];
}

function lineOf({ name, gzipped, files, atOnce, later }: Measured): string {
  const inAll = (part: keyof Omit<Chunk, "name">) =>
    sum(atOnce.map((chunk) => chunk[part])).toFixed(1).padStart(8);
  return [
    name.padEnd(18),
    inAll("kB"),
    inAll("gzipped"),
    gzipped.toFixed(1).padStart(8),
    String(files.length).padStart(6),
    "  ",
    later.map((chunk) => `${chunk.name} ${chunk.gzipped.toFixed(1)}`)
      .join(", "),
  ].join("").trimEnd();
}

/** Those of the bundles whose name the package has. */
async function exported(project: string): Promise<Bundle[]> {
  const asked = BUNDLES.map(({ name, path = "" }) => [
    name,
    `@quire/attention${path}`,
  ]);
  const script = `
    const has = [];
    for (const [name, from] of ${JSON.stringify(asked)}) {
      has.push(name in await import(from));
    }
    console.log(JSON.stringify(has));`;
  const has: boolean[] = JSON.parse(
    await run(project, "node", ["--input-type=module", "-e", script]),
  );
  return BUNDLES.filter((_, i) => has[i]);
}

/**
 * Bundles in a project that has esbuild and rolldown, and holds the sizes.
 *
 * @returns The table of sizes.
 * @throws {Error} with it, if a bundle is too large or has what it does not need
 */
export async function checkBundles(project: string): Promise<string> {
  const bundles = await exported(project);
  const asked = bundles.map(({ name, path = "" }) => ({ name, path }));
  const measured: Measured[] = JSON.parse(
    await run(project, "node", ["bundles.js", JSON.stringify(asked)]),
  );
  const table = [
    "kB                      min    gzip  as one  files  loaded later, gzip",
    ...measured.map(lineOf),
  ].join("\n");
  const faults = bundles.flatMap((bundle, i) => faultsOf(bundle, measured[i]));
  if (faults.length > 0) throw new Error([table, ...faults].join("\n"));
  return table;
}
