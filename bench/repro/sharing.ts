/**
 * What sharing saves: samples and beams of one prompt, by fork and copy on
 * write.
 *
 * @module
 */

import {
  BlockPool,
  CacheManager,
  type CacheSequence,
  OutOfBlocksError,
} from "../../src/cache/mod.ts";
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
const BLOCKS = 4096;
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
  /** Requests that the pool held at once. */
  readonly requests: number;
  /** Those that it would have held with nothing shared. */
  readonly unshared: number;
  /** Blocks that they took. */
  readonly blocks: number;
  /** Blocks that they should take, by the closed form. */
  readonly closedForm: number;
  /** Blocks with nothing shared. */
  readonly logical: number;
  /** `1 - blocks / logical`. */
  readonly saved: number;
}

/** What is shared. */
export interface SharingOptions {
  /** Which lengths. */
  readonly workload: keyof typeof WORKLOADS;
  /** Which decoding. */
  readonly decoding: Decoding;
  /** Sequences of a request. */
  readonly width: number;
  /** Blocks of the pool. Defaults to 4096. */
  readonly blocks?: number;
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

/** Decodes a request to its end; only the lengths of tokens matter. */
function decode(
  cache: CacheManager,
  request: Request,
  { decoding, width, seed }: SharingOptions & { seed: number },
): void {
  const { sequence, pending } = cache.create(new Array(request.prompt).fill(0));
  const all = [sequence];
  try {
    cache.append(sequence, pending);
    all.push(...cache.fork(sequence, width - 1));
    if (decoding === "samples") sample(cache, all, request.output);
    else search(cache, all, lineageOf(request, width, seed));
  } catch (error) {
    for (const own of all) cache.free(own);
    throw error;
  }
}

function sample(
  cache: CacheManager,
  all: readonly CacheSequence[],
  output: number,
): void {
  for (let i = 0; i < output; i++) {
    for (const sequence of all) cache.append(sequence, [i]);
  }
}

function search(
  cache: CacheManager,
  beams: readonly CacheSequence[],
  lineage: ReturnType<typeof lineageOf>,
): void {
  const tokens = beams.map((_, i) => [i]);
  for (const parents of lineage) cache.reorder({ beams, parents, tokens });
}

/** Fills a pool with requests, each decoded to its end, until one fails. */
export function countSharing(options: SharingOptions): SharingRow {
  const { workload, decoding, width, blocks = BLOCKS } = options;
  const pool = new BlockPool({ numBlocks: blocks + 1, blockSize: BLOCK_SIZE });
  const cache = new CacheManager({ pool, watermark: 0 });
  const trace = lengthTrace({
    seed: 2,
    requests: blocks,
    ...WORKLOADS[workload],
    maxLength: MAX_LENGTH,
  });
  let requests = 0;
  try {
    for (; requests < trace.length; requests++) {
      decode(cache, trace[requests], { ...options, seed: requests });
    }
  } catch (error) {
    if (!(error instanceof OutOfBlocksError)) throw error;
  }
  cache.verify();
  const served = trace.slice(0, requests);
  const logical = sum(served.map((request) => width * blocksOf(request)));
  return {
    workload,
    decoding,
    width,
    requests,
    unshared: fitting(trace.map((r) => width * blocksOf(r)), blocks),
    blocks: pool.usedBlocks,
    closedForm: sum(served.map((r, seed) => closedForm(r, options, seed))),
    logical,
    saved: 1 - pool.usedBlocks / logical,
  };
}

/** How many of these, in order, fit. */
function fitting(sizes: readonly number[], room: number): number {
  let taken = 0;
  const past = sizes.findIndex((size) => (taken += size) > room);
  return past < 0 ? sizes.length : past;
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
    more: row.requests / row.unshared,
  }));
  const panel = (title: string, y: object) => ({
    title,
    width: 280,
    height: 260,
    mark: { type: "line", point: true },
    encoding: {
      x: { field: "width", type: "quantitative", title: "sequences a request" },
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

function reportOf(rows: readonly SharingRow[]): Report {
  return {
    title: "Sharing: samples and beams by copy on write (PagedAttention)",
    paper: "up to 55 % of memory saved, 2.2x the throughput; samples 6.1-9.8 % " +
      "(Alpaca) and 16.2-30.5 % (ShareGPT), beams 37.6-55.2 % and 44.3-66.3 %",
    setting: [
      `A pool of ${BLOCKS} blocks of ${BLOCK_SIZE} tokens is filled with ` +
      "requests, each decoded to its end, until one does not fit; log-normal " +
      "lengths with the means of conversations (161 and 338 tokens) and of " +
      "instructions (19 and 58).",
      "Beams follow a toy model: the parents of each step are those of a beam " +
      "search over random log-probabilities, not a language model's.",
    ],
    tables: [{
      title: "A full pool",
      columns: [
        "requests",
        "sequences each",
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
        row.requests,
        row.unshared,
        (row.requests / row.unshared).toFixed(2),
      ]),
    }],
    checks: [
      {
        claim: "the pool holds exactly as many blocks as the closed form says",
        holds: rows.every((row) => row.blocks === row.closedForm),
      },
      {
        claim: "saved blocks rise with the number of sequences a request",
        holds: rises(rows),
      },
      {
        claim: "beams save more than samples, and at least 55 % from some width",
        holds: rows.some((r) => r.decoding === "beams" && r.saved >= 0.55) &&
          rows.filter((r) => r.decoding === "beams").every((beams) =>
            rows.some((r) =>
              r.decoding === "samples" && r.workload === beams.workload &&
              r.width === beams.width && r.saved < beams.saved
            )
          ),
      },
      {
        claim: "more requests fit than with nothing shared",
        holds: rows.every((row) => row.requests > row.unshared),
      },
    ],
    data: rows,
    chart: chartOf(rows),
  };
}

/** PagedAttention's figures 14 and 15. */
export const sharing: Experiment = { count: () => reportOf(countAll()) };
