/**
 * Requests of several sequences each, decoded over one pool of blocks.
 *
 * @module
 */

import { BlockPool, CacheManager } from "../../src/cache/mod.ts";
import { lineageBlocks, toyBeamSearch } from "./beam_lineage.ts";
import { sum } from "../experiment.ts";
import { lengthTrace, type Request, WORKLOADS } from "../trace.ts";

/** Tokens of a block. */
export const BLOCK_SIZE = 16;
/** Blocks that requests are to fit in, by default. */
export const MEMORY = 8192;
/** Requests whose blocks are counted, by default. */
export const REQUESTS = 48;
const MAX_LENGTH = 2048;

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
  cache.reserve(sequence, pending);
  const all = [sequence, ...cache.fork(sequence, width - 1)];
  if (decoding === "samples") {
    const tokens = new Array(request.output).fill(0);
    for (const own of all) cache.reserve(own, tokens);
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
