/**
 * What sharing saves: samples and beams of one prompt, by fork and copy on
 * write.
 *
 * @module
 */

import {
  type Channel,
  colours,
  fractions,
  numbers,
  PANEL,
  panels,
} from "../axes.ts";
import {
  type Chart,
  type Experiment,
  percent,
  type Report,
} from "../experiment.ts";
import {
  BLOCK_SIZE,
  countSharing,
  type Decoding,
  MEMORY,
  REQUESTS,
  type SharingRow,
} from "./sharing_counts.ts";
import { WORKLOADS } from "../trace.ts";

const WIDTHS: readonly number[] = [2, 3, 4, 5, 6, 7, 8];

function countAll(): SharingRow[] {
  return (Object.keys(WORKLOADS) as (keyof typeof WORKLOADS)[]).flatMap(
    (workload) =>
      (["samples", "beams"] as const).flatMap((decoding) =>
        WIDTHS.map((width) => countSharing({ workload, decoding, width }))
      ),
  );
}

function chartOf(rows: readonly SharingRow[]): Chart {
  const values = rows.map((row) => ({
    of: `${row.decoding}, ${row.workload}`,
    width: row.width,
    saved: row.saved,
    more: row.fit / row.fitUnshared,
  }));
  const order = ["beams", "samples"].flatMap((decoding) =>
    Object.keys(WORKLOADS).map((workload) => `${decoding}, ${workload}`)
  );
  const marks = (y: Channel) => ({
    ...PANEL,
    data: { values },
    mark: { type: "line", point: true },
    encoding: {
      x: numbers("width", "samples or beams of a request", {
        scale: { domain: [2, 8] },
        axis: { tickCount: WIDTHS.length },
      }),
      y,
      color: colours("of", order),
    },
  });
  return panels({
    title: "Blocks saved by sharing",
    subtitle: "of those with nothing shared",
    marks: marks(fractions("saved")),
  }, {
    title: "Requests that fit in the same memory",
    subtitle: "times as many as with nothing shared",
    marks: marks(
      numbers("more", null, { scale: { nice: 5 }, axis: { tickCount: 5 } }),
    ),
  });
}

function rises(rows: readonly SharingRow[]): boolean {
  return rows.every(({ saved }, i) => {
    const { decoding, workload } = rows[i];
    const before = rows[i - 1];
    return before?.decoding !== decoding || before.workload !== workload ||
      saved > before.saved;
  });
}

function beamsSaveMore(rows: readonly SharingRow[]): boolean {
  const of = (decoding: Decoding) =>
    rows.filter((row) => row.decoding === decoding);
  const samples = of("samples");
  const beams = of("beams");
  return beams.every((row, i) => row.saved > samples[i].saved) &&
    beams.every(({ width, saved }) => width < 8 || saved >= 0.55);
}

function reportOf(rows: readonly SharingRow[]): Report {
  return {
    title: "Sharing: samples and beams by copy on write (PagedAttention)",
    paper:
      "up to 55 % of memory saved, 2.2x the throughput; samples 6.1-9.8 % " +
      "(Alpaca) and 16.2-30.5 % (ShareGPT), beams 37.6-55.2 % and 44.3-66.3 %",
    setting: [
      `${REQUESTS} requests, decoded to their ends in blocks of ${BLOCK_SIZE} ` +
      "tokens; log-normal lengths with the means of conversations (161 and " +
      "338 tokens) and of instructions (19 and 58). Then: how many requests " +
      `fit in ${MEMORY} blocks, by the closed form.`,
      "Beams follow a toy model: the parents of each step are those of a beam " +
      "search over random log-probabilities, not a language model's.",
    ],
    tables: [{
      title: "Blocks at the end of all requests",
      columns: [
        "requests",
        "width",
        "saved",
        "blocks",
        "closed form",
        "fit",
        "unshared",
        "times",
      ],
      rows: rows.map((row) => [
        `${row.decoding}, ${row.workload}`,
        row.width,
        percent(row.saved),
        row.blocks,
        row.closedForm,
        row.fit,
        row.fitUnshared,
        (row.fit / row.fitUnshared).toFixed(2),
      ]),
    }],
    checks: [
      {
        claim: "the pool gives out exactly the blocks of the closed form",
        holds: rows.every((row) => row.blocks === row.closedForm),
      },
      {
        claim: "saved blocks rise with the number of sequences a request",
        holds: rises(rows),
      },
      {
        claim: "beams save more than samples, of both lengths 55 % and more",
        holds: beamsSaveMore(rows),
      },
      {
        claim: "more requests fit than with nothing shared",
        holds: rows.every((row) => row.fit > row.fitUnshared),
      },
    ],
    data: rows,
    chart: chartOf(rows),
  };
}

/** PagedAttention's figures 14 and 15. */
export const sharing: Experiment = { count: () => reportOf(countAll()) };
