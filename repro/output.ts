/**
 * Tables, plots and files. The libraries for the first two are pinned in
 * `deno.json` beside this file.
 *
 * @module
 */

import { significant } from "../bench/support/statistics.ts";
import type { Chart, Report, Table } from "./experiment.ts";

const FOLDER = new URL("./results/", import.meta.url);

/** As much of `cli-table3` as is used here. */
interface CliTable {
  default: new (options: object) => string[][] & { toString(): string };
}

/** As much of `vega-lite` as is used here. */
interface VegaLite {
  compile(chart: Chart): { spec: object };
}

/** As much of `vega` as is used here. */
interface Vega {
  parse(spec: object): object;
  View: new (
    runtime: object,
    options: object,
  ) => { toSVG(): Promise<string>; finalize(): void };
}

/**
 * The specifier is no literal, so that type-checking the repository downloads
 * no library.
 */
async function importLibrary<T>(specifier: string): Promise<T> {
  return await import(specifier);
}

/** The table with borders. */
export async function formatTable(table: Table): Promise<string> {
  const { default: CliTable } = await importLibrary<CliTable>("cli-table3");
  const text = new CliTable({
    head: table.columns,
    colAligns: table.columns.map((_, i) => i === 0 ? "left" : "right"),
    style: { head: [], border: [], compact: true },
  });
  for (const row of table.rows) text.push(row.map(String));
  return `${table.title}\n${text}`;
}

/** The plot as SVG. */
export async function drawChart(chart: Chart): Promise<string> {
  const vegaLite = await importLibrary<VegaLite>("vega-lite");
  const vega = await importLibrary<Vega>("vega");
  const { spec } = vegaLite.compile({
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: "white",
    config: { legend: { labelLimit: 0 } },
    ...chart,
  });
  const view = new vega.View(vega.parse(spec), { renderer: "none" });
  try {
    return await view.toSVG() + "\n";
  } finally {
    view.finalize();
  }
}

/** Writes `NAME.json` and `NAME.svg`; says where. */
export async function writeReport(
  name: string,
  report: Report,
  provenance: object = {},
): Promise<string> {
  const { title, paper, setting, checks, data, chart } = report;
  const found = { title, paper, setting, ...provenance, checks, data };
  const json = JSON.stringify(
    found,
    (_, value) =>
      typeof value === "number" && !Number.isInteger(value)
        ? significant(value, 6)
        : value,
    2,
  );
  await Deno.mkdir(FOLDER, { recursive: true });
  await Deno.writeTextFile(new URL(`${name}.json`, FOLDER), json + "\n");
  const svg = await drawChart(chart);
  await Deno.writeTextFile(new URL(`${name}.svg`, FOLDER), svg);
  return `repro/results/${name}.{json,svg}`;
}
