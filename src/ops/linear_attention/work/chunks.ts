/**
 * The schedule of linear attention: the chunks of each sequence, counted from
 * its first token, and the scans over them.
 *
 * Where scratch for all chunks would not fit a binding, chunks are worked on in
 * segments, one after the other, and the state of the sequence that is cut is
 * kept for the next. Neither that nor what else is in the batch changes how a
 * sequence is scanned: it is divided into blocks by its own length.
 *
 * @module
 */

import {
  CHUNK,
  KEPT_STATE,
  NO_STATE,
  STATE_RUN,
} from "../../../../kernels/linear/chunks.ts";
import { featureGroups } from "../../../../kernels/linear/operands/features.ts";
import type { RecordValues } from "../../../../kernels/record.ts";
import type { LinearProblem, LinearSequence } from "../options/problem.ts";

/** A list of records in the schedule. */
export interface RecordList {
  /** Its first word. */
  readonly at: number;
  /** Its records. */
  readonly count: number;
}

/** Chunks that are worked on together. */
export interface Segment {
  /** Its chunks. */
  readonly chunks: RecordList;
  /** Tokens of its chunks: rows of scratch. */
  readonly rows: number;
  /** Blocks of long sequences, of which each is reduced; none where none is. */
  readonly blocks: RecordList;
  /** Long sequences, as runs of blocks. */
  readonly blockRuns: RecordList;
  /** Runs of chunks: short sequences, and blocks of long ones. */
  readonly runs: RecordList;
}

/** A problem's chunks, as kernels read them. */
export interface ChunkSchedule {
  /** Groups of features, where there are any, and records of all segments. */
  readonly words: Uint32Array;
  /** What is worked on one after the other. */
  readonly segments: readonly Segment[];
  /** Sequences that go token by token: their chunks, and their runs. */
  readonly recurrent: Pick<Segment, "chunks" | "runs">;
  /** Chunks of all segments. */
  readonly chunkCount: number;
  /** Blocks of the segment that has most. */
  readonly mostBlocks: number;
  /** States that are kept, of blocks and from segment to segment. */
  readonly kept: number;
}

/** How chunks are divided. */
export interface ChunkSizes {
  /** Chunks of a segment at most. */
  readonly segment: number;
  /** Chunks of a block. */
  readonly block: number;
  /** Chunks from which on a sequence is divided into blocks. */
  readonly long: number;
  /** Tokens up to which a sequence goes token by token. */
  readonly recurrentTokens: number;
  /** Whether the state that enters each segment is kept to the end. */
  readonly keepAll?: boolean;
}

type Run = RecordValues<typeof STATE_RUN.fields>;

/** A piece of a sequence: chunks that stay together. */
interface Piece {
  readonly sequence: LinearSequence;
  /** Its first chunk in the sequence. */
  readonly first: number;
  readonly count: number;
  /** Whether it is a block of a long sequence. */
  readonly block: boolean;
}

/**
 * Writes the schedule of a problem. Each sequence goes by its own length: by
 * chunks, in blocks of them, or token by token.
 */
export function chunkSchedule(
  problem: LinearProblem,
  sizes: ChunkSizes,
): ChunkSchedule {
  const { chunk, sequences, featureMap, headDim } = problem;
  // Kernels look for groups of features at the beginning.
  const words = featureMap === "taylor" ? featureGroups(headDim) : [];
  const few = ({ count }: LinearSequence) => count <= sizes.recurrentTokens;
  const pieces = sequences.filter((own) => !few(own))
    .flatMap((own) => piecesOf(own, chunk, sizes));
  const segments = segmentsOf(pieces, sizes.segment);
  // Kept states: those of blocks, and those that segments hand over: two in
  // turns, or each its own.
  const mostBlocks = Math.max(
    0,
    ...segments.map((pieces) => pieces.filter(({ block }) => block).length),
  );
  const turns = sizes.keepAll ? segments.length : 2;
  const write = (pieces: readonly Piece[], s: number) =>
    writeSegment(pieces, {
      words,
      chunk,
      entering: KEPT_STATE + mostBlocks + (s + turns - 1) % turns,
      leaving: KEPT_STATE + mostBlocks + s % turns,
    });
  const written = segments.map(write);
  const recurrent = sequences.filter(few).map((own) => ({
    sequence: own,
    first: 0,
    count: chunksOf(own, chunk),
    block: false,
  }));
  return {
    segments: written,
    recurrent: write(recurrent, 0),
    words: Uint32Array.from(words),
    chunkCount: written.reduce((sum, { chunks }) => sum + chunks.count, 0),
    mostBlocks,
    kept: mostBlocks > 0 || written.length > 1 ? mostBlocks + turns : 0,
  };
}

/** Chunks of a sequence. */
function chunksOf({ count }: LinearSequence, chunk: number): number {
  return Math.ceil(count / chunk);
}

/** A sequence in pieces: blocks of a long one, and what fits of a short one. */
function piecesOf(
  sequence: LinearSequence,
  chunk: number,
  { segment, block, long }: ChunkSizes,
): Piece[] {
  const chunks = chunksOf(sequence, chunk);
  const blocks = chunks > long && block <= segment;
  // A short sequence may be cut anywhere, as it is scanned in order.
  const most = blocks ? block : segment;
  return Array.from(
    { length: Math.max(1, Math.ceil(chunks / most)) },
    (_, i) => ({
      sequence,
      first: i * most,
      count: Math.min(most, chunks - i * most),
      block: blocks,
    }),
  );
}

/** Pieces of at most so many chunks together. */
function segmentsOf(pieces: Iterable<Piece>, most: number): Piece[][] {
  const segments: Piece[][] = [[]];
  let room = most;
  for (const piece of pieces) {
    if (piece.count > room) {
      segments.push([]);
      room = most;
    }
    segments.at(-1)!.push(piece);
    room -= piece.count;
  }
  return segments;
}

function writeSegment(
  pieces: readonly Piece[],
  { words, chunk, entering, leaving }: {
    readonly words: number[];
    readonly chunk: number;
    /** Where the state of a sequence that was cut is, and where it goes. */
    readonly entering: number;
    readonly leaving: number;
  },
): Segment {
  const chunks: number[][] = [];
  const blocks: Run[] = [];
  const blockRuns: Run[] = [];
  const runs: Run[] = [];
  let rows = 0;
  for (const { sequence: own, first, count, block } of pieces) {
    const from = chunks.length;
    for (let c = first; c < first + count; c++) {
      const tokens = Math.min(chunk, own.count - c * chunk);
      chunks.push(CHUNK.pack({
        batch: own.batch,
        token: own.token + c * chunk,
        row: rows,
        count: tokens,
      }));
      rows += tokens;
    }
    const begins = first === 0;
    const ends = first + count >= chunksOf(own, chunk);
    const initial = begins ? own.initial ?? NO_STATE : entering;
    const final = ends ? own.final ?? NO_STATE : leaving;
    if (!block) {
      runs.push({
        first: from,
        count,
        initial_slot: initial,
        final_slot: final,
      });
      continue;
    }
    const kept = KEPT_STATE + blocks.length;
    const last = blockRuns.at(-1);
    if (begins || blocks.length === 0) {
      blockRuns.push({
        first: blocks.length,
        count: 1,
        initial_slot: initial,
        final_slot: ends ? NO_STATE : leaving,
      });
    } else {
      blockRuns[blockRuns.length - 1] = {
        ...last!,
        count: last!.count + 1,
        final_slot: ends ? NO_STATE : leaving,
      };
    }
    blocks.push({
      first: from,
      count,
      initial_slot: NO_STATE,
      final_slot: kept,
    });
    runs.push({
      first: from,
      count,
      initial_slot: kept,
      final_slot: ends ? final : NO_STATE,
    });
  }
  const write = (records: readonly (readonly number[])[]): RecordList => {
    const at = words.length;
    for (const record of records) words.push(...record);
    return { at, count: records.length };
  };
  const writeRuns = (all: readonly Run[]) =>
    write(all.map((run) => STATE_RUN.pack(run)));
  return {
    chunks: write(chunks),
    rows,
    blocks: writeRuns(blocks),
    blockRuns: writeRuns(blockRuns),
    runs: writeRuns(runs),
  };
}
