/**
 * What sharing saves: samples and beams of one prompt, by fork and copy on
 * write.
 *
 * @module
 */

import { BlockPool, CacheManager } from "../../src/cache/mod.ts";
import { lineageBlocks, toyBeamSearch } from "./beam_lineage.ts";
import {
  type Chart,
  type Experiment,
  percent,
  type Report,
  sum,
} from "./experiment.ts";
import { lengthTrace, type Request, WORKLOADS } from "./trace.ts";

const BLOCK_SIZE = 16;
const MEMORY = 8192;
const REQUESTS = 48;
const MAX_LENGTH = 2048;
const WIDTHS: readonly number[] = [2, 3, 4, 5, 6, 7, 8];

/** How a request's sequences come about. */
export type Decoding = "samples" | "beams";

/** What one kind of requests takes. */
export interface SharingRow {
  /** Which lengths. */
  readonly workload: keyof typeof WORKLOADS;
  /** Which decoding. */
  readonly decoding: Decoding;
  /** Sequences of a request. */
  readonly width: number;
  /** Blocks that the requests took. */
  readonly blocks: number;
  /** Blocks that they should take, by the closed form. */
  readonly closedForm: number;
  /** Blocks with nothing shared. */
  readonly logical: number;
  /** `1 - blocks / logical`. */
  readonly saved: number;
  /** Requests that fit in the memory at once. */
  readonly fit: number;
  /** Requests that fit in it with nothing shared. */
  readonly fitUnshared: number;
}

/** What is shared. */
export interface SharingOptions {
  /** Which lengths. */
  readonly workload: keyof typeof WORKLOADS;
  /** Which decoding. */
  readonly decoding: Decoding;
  /** Sequences of a request. */
  readonly width: number;
  /** Requests that `saved` is of. Defaults to 48. */
  readonly requests?: number;
  /** Blocks that `fit` is of. Defaults to 8192. */
  readonly memory?: number;
}

/** The beam search of a request, the same for the pool and the closed form. */
function lineageOf({ output }: Request, width: number, seed: number) {
  return toyBeamSearch({ beams: width, steps: output, seed });
}

/** Blocks of one sequence. */
function blocksOf({ prompt, output }: Request): number {
  return Math.ceil((prompt + output) / BLOCK_SIZE);
}

/**
 * Samples share the prompt's full blocks: `f + n (c - f)` of `n c` blocks
 * remain. Of beams, see {@linkcode lineageBlocks}.
 */
function closedForm(
  request: Request,
  { decoding, width }: SharingOptions,
  seed: number,
): number {
  const full = Math.floor(request.prompt / BLOCK_SIZE);
  if (decoding === "samples") {
    return full + width * (blocksOf(request) - full);
  }
  return lineageBlocks({
    lineage: lineageOf(request, width, seed),
    beams: width,
    prompt: request.prompt,
    blockSize: BLOCK_SIZE,
  });
}

/** Decodes a request to its end; of tokens only their number matters. */
function decode(
  cache: CacheManager,
  request: Request,
  { decoding, width, seed }: SharingOptions & { seed: number },
): void {
  const { sequence, pending } = cache.create(new Array(request.prompt).fill(0));
  cache.append(sequence, pending);
  const all = [sequence, ...cache.fork(sequence, width - 1)];
  if (decoding === "samples") {
    const tokens = new Array(request.output).fill(0);
    for (const own of all) cache.append(own, tokens);
  } else {
    const tokens = all.map((_, i) => [i]);
    for (const parents of lineageOf(request, width, seed)) {
      cache.reorder({ beams: all, parents, tokens });
    }
  }
}

/** Decodes requests side by side to their ends, and counts. */
export function countSharing(options: SharingOptions): SharingRow {
  const { workload, decoding, width } = options;
  const { requests = REQUESTS, memory = MEMORY } = options;
  const trace = lengthTrace({
    seed: 2,
    requests: Math.max(requests, memory),
    ...WORKLOADS[workload],
    maxLength: MAX_LENGTH,
  });
  const sizes = trace.map((request) => width * blocksOf(request));
  const shared = (request: Request, seed: number) =>
    closedForm(request, options, seed);
  const measured = trace.slice(0, requests);
  const logical = sum(sizes.slice(0, requests));
  const pool = new BlockPool({ numBlocks: logical + 1, blockSize: BLOCK_SIZE });
  const cache = new CacheManager({ pool });
  measured.forEach((request, seed) =>
    decode(cache, request, { ...options, seed })
  );
  cache.verify();
  return {
    workload,
    decoding,
    width,
    blocks: pool.usedBlocks,
    closedForm: sum(measured.map(shared)),
    logical,
    saved: 1 - pool.usedBlocks / logical,
    fit: fitting(trace, shared, memory),
    fitUnshared: fitting(trace, (_, seed) => sizes[seed], memory),
  };
}

/** How many requests, in order, fit. */
function fitting(
  trace: readonly Request[],
  blocksOf: (request: Request, seed: number) => number,
  memory: number,
): number {
  let taken = 0;
  return trace.findIndex((r, seed) => (taken += blocksOf(r, seed)) > memory);
}

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
  const panel = (title: string, y: object) => ({
    title,
    width: 280,
    height: 260,
    mark: { type: "line", point: true },
    encoding: {
      x: {
        field: "width",
        type: "quantitative",
        title: "samples or beams a request",
      },
      y,
      color: { field: "of", type: "nominal", title: null },
    },
  });
  return {
    data: { values },
    hconcat: [
      panel("Blocks saved", {
        field: "saved",
        type: "quantitative",
        axis: { format: "%" },
        title: "of those with nothing shared",
      }),
      panel("Requests that fit in the same memory", {
        field: "more",
        type: "quantitative",
        title: "times as many as with nothing shared",
      }),
    ],
  };
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
