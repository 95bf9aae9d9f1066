/**
 * Tables, plots and files. The libraries for the first two are pinned in
 * `deno.json` beside this file; only that for tables is the repository's own.
 *
 * @module
 */

import { formatTable as drawTable } from "../src/cli/table.ts";
import { standardOutput } from "../src/cli/terminal.ts";
import { significant } from "../bench/support/statistics.ts";
import type { Chart, Report, Table } from "./experiment.ts";

const FOLDER = new URL("./results/", import.meta.url);

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

/** The table under its title, as wide as the terminal at most. */
export function formatTable({ title, columns, rows }: Table): string {
  const { columns: width } = standardOutput();
  const drawn = drawTable(
    columns.map((title, c) => ({ title, align: c === 0 ? "left" : "right" })),
    rows.map((row) => row.map(String)),
    { width },
  );
  return `${title}\n\n${drawn}`;
}

/** Colours that the colour-blind can tell apart (Okabe and Ito's). */
const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];

/** How every plot looks. */
const CONFIG = {
  title: { anchor: "start", subtitleColor: "#555", offset: 12 },
  axis: { labelFlush: false, titleFontWeight: "normal", gridColor: "#e5e5e5" },
  legend: { orient: "bottom", columns: 2, labelLimit: 0, symbolSize: 120 },
  line: { strokeWidth: 2 },
  range: { category: PALETTE },
};

/** The plot as SVG. */
export async function drawChart(chart: Chart): Promise<string> {
  const vegaLite = await importLibrary<VegaLite>("vega-lite");
  const vega = await importLibrary<Vega>("vega");
  const { spec } = vegaLite.compile({
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: "white",
    padding: 12,
    config: CONFIG,
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
