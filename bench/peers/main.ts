// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task bench:peers`: Quire beside other libraries' attention on WebGPU,
 * on the same adapter and inputs, in one process.
 *
 * @module
 */

import { readCommand } from "../../src/cli/arguments.ts";
import { formatTable } from "../../src/cli/table.ts";
import { standardOutput } from "../../src/cli/terminal.ts";
import { type Gpu, openGpu } from "../../src/gpu/mod.ts";
import { provenance, writeSection } from "../support/results.ts";
import { significant } from "../support/statistics.ts";
import { peerCases } from "./cases.ts";
import { compare, type Comparison, type Entry } from "./compare.ts";
import type { Contestant } from "./contestant.ts";
import { jax } from "./jax.ts";
import { ort } from "./ort.ts";
import { quire } from "./quire.ts";
import { tfjs } from "./tfjs.ts";

const OPTIONS = { rounds: 7, burstMs: 300 };
const QUICK_OPTIONS = { rounds: 3, burstMs: 150 };

/** Each peer's package in `deno.json` beside this file, which pins it. */
const PEERS = {
  "onnxruntime-web": ort,
  "@jax-js/jax": jax,
  "@tensorflow/tfjs-backend-webgpu": tfjs,
} as const;

const say = console.log.bind(console);

/** On standard error, so that the table stands alone on standard output. */
const progress = console.error.bind(console);

/** Peers print as they please; only the table is for the reader. */
function silencePeers(): void {
  for (const name of ["log", "info", "warn", "debug", "error"] as const) {
    console[name] = () => {};
  }
}

async function pinnedVersions(): Promise<Record<string, string>> {
  const file = new URL("./deno.json", import.meta.url);
  const { imports } = JSON.parse(await Deno.readTextFile(file));
  return Object.fromEntries(
    Object.entries<string>(imports).map(([name, specifier]) => [
      name,
      specifier.slice(specifier.lastIndexOf("@") + 1),
    ]),
  );
}

/** Quire, and the peers that start. */
async function contestants(gpu: Gpu): Promise<Contestant[]> {
  const { quire: version } = await provenance(gpu);
  const versions = await pinnedVersions();
  const all = [quire(gpu, version)];
  for (const [name, open] of Object.entries(PEERS)) {
    try {
      all.push(await open(versions[name]));
    } catch (error) {
      say(`${name} does not run here: ${(error as Error).message}`);
    }
  }
  return all;
}

function cell(entry: Entry): string {
  switch (entry.state) {
    case "timed":
      return entry.name === "quire"
        ? `${significant(entry.ms.median, 4)}`
        : `${significant(entry.ms.median, 4)} (${entry.ratio.toFixed(2)}x)`;
    case "wrong":
      return `wrong (${entry.errors.map((e) => e ?? "NaN").join(", ")})`;
    case "absent":
      return "-";
    case "failed":
      return "failed";
  }
}

function barCell({ bar }: Comparison): string {
  if (bar === null) return "no peer";
  return bar.ratio >= 1
    ? `${bar.ratio.toFixed(2)}x faster than ${bar.peer}`
    : `SLOWER: ${bar.peer} takes ${bar.ratio.toFixed(2)}x`;
}

function table(names: readonly string[], rows: readonly Comparison[]): string {
  return formatTable(
    [
      { title: "ms a call" },
      ...names.map((title) => ({ title, align: "right" }) as const),
      { title: "quire, beside the fastest right peer" },
    ],
    rows.map((row) => [row.case, ...row.entries.map(cell), barCell(row)]),
    { width: standardOutput().columns },
  );
}

function problems(rows: readonly Comparison[]): string[] {
  return rows.flatMap(({ case: name, entries }) =>
    entries.flatMap((entry) =>
      entry.state === "failed"
        ? [`${name}, ${entry.name}: ${entry.reason}`]
        : []
    )
  );
}

const COMMAND = {
  usage: `Usage: deno task bench:peers [--quick] [--filter TEXT]
  Compares with other libraries' attention on this adapter
  --quick   shorter bursts, fewer rounds; writes no results
  --filter  only cases whose name has TEXT in it; writes no results`,
  flags: {
    quick: { type: "boolean", default: false },
    filter: { type: "string", default: "" },
  },
} as const;

async function main(): Promise<void> {
  const { quick, filter } = readCommand(COMMAND, ({ values }) => values);
  silencePeers();
  const gpu = await openGpu({ label: "peers" });
  progress("Loading the peers; the first run installs about 250 MB ...");
  const all = await contestants(gpu);
  const options = quick ? QUICK_OPTIONS : OPTIONS;
  const rows: Comparison[] = [];
  const cases = peerCases().filter(({ name }) => name.includes(filter));
  for (const peerCase of cases) {
    progress(`${rows.length + 1}/${cases.length} ${peerCase.name}`);
    rows.push(await compare(peerCase, all, options));
  }
  say(
    `${gpu.info.description}; ${
      all.map((c) => `${c.name} ${c.version}`).join(", ")
    }`,
  );
  say(
    `Medians of ${options.rounds} interleaved bursts; in brackets the time over Quire's.\n`,
  );
  say(table(all.map(({ name }) => name), rows));
  for (const problem of problems(rows)) say(problem);
  if (quick || filter) {
    say("\n--quick or --filter: nothing is written.");
  } else {
    const versions = Object.fromEntries(all.map((c) => [c.name, c.version]));
    const path = await writeSection(gpu, "peers", {
      versions,
      ...options,
      rows,
    });
    say(`\nWritten: ${path}`);
  }
  // Some peers keep timers or workers, which would keep the process.
  Deno.exit(0);
}

if (import.meta.main) await main();
