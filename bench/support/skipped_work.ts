/**
 * What is not computed, and so should not take time: blocks that a mask has not,
 * and padding.
 *
 * @module
 */

import { type Column, formatTable } from "../../src/cli/table.ts";
import type { Gpu } from "../../src/gpu/mod.ts";
import { Packing } from "../../src/ops/mod.ts";
import { fittedLine, type Line } from "../../repro/fit.ts";
import { textLengths } from "../../repro/packing/mosaicbert_counts.ts";
import { type PackedTimes, timePacked } from "./packed_times.ts";
import {
  type SparseBackwardTimes,
  timeSparseBackward,
} from "./sparse_backward_times.ts";
import { type SparseTimes, timeSparse } from "./sparse_times.ts";
import { significant } from "./statistics.ts";

/** Block-sparse attention by density. */
export interface SparseTable extends SparseTimes {
  /** Queries and keys. */
  readonly length: number;
  /** The line nearest to the times of blocks that the host knows. */
  readonly line: Line;
}

/** Gradients by density. */
export interface SparseBackwardTable extends SparseBackwardTimes {
  /** The line nearest to them. */
  readonly line: Line;
}

/** Packed attention beside padded. */
export interface PackedRow extends PackedTimes {
  /** Tokens at which texts are cut off. */
  readonly cutOff: number;
  /** Tokens of each text. */
  readonly lengths: readonly number[];
  /** Pairs of query and key, padded over packed. */
  readonly pairs: number;
}

/** How much is measured. */
export interface SkippedExtent {
  /** Queries and keys of the block-sparse rows. */
  readonly sparseLength: number;
  /** Texts of a batch. */
  readonly texts: number;
  /** Where texts are cut off. */
  readonly cutOffs: readonly number[];
  /** Runs of each contestant. */
  readonly repeats: number;
}

/** All of it. */
export interface SkippedWork {
  /** By density. */
  readonly sparse: SparseTable;
  /** Gradients by density, of the same length. */
  readonly gradients: SparseBackwardTable;
  /** By where texts are cut off. */
  readonly packed: readonly PackedRow[];
}

/** Measures it. */
export async function measureSkipped(
  gpu: Gpu,
  { sparseLength: length, texts, cutOffs, repeats }: SkippedExtent,
): Promise<SkippedWork> {
  const { dense, rows } = await timeSparse(gpu, { length, repeats });
  const line = fittedLine(rows.map(({ density, host }) => [density, host]));
  const gradients = await timeSparseBackward(gpu, { length, repeats });
  const packed: PackedRow[] = [];
  for (const cutOff of cutOffs) {
    packed.push(
      await packedRow(gpu, textLengths(cutOff, texts), {
        cutOff,
        repeats,
      }),
    );
  }
  return {
    sparse: {
      length,
      dense: significant(dense),
      rows: rows.map(({ density, host, device }) => ({
        density,
        host: significant(host),
        device: significant(device),
      })),
      line: significantLine(line),
    },
    gradients: {
      dense: significant(gradients.dense),
      rows: gradients.rows.map(({ density, ms }) => ({
        density,
        ms: significant(ms),
      })),
      line: significantLine(
        fittedLine(gradients.rows.map(({ density, ms }) => [density, ms])),
      ),
    },
    packed,
  };
}

function significantLine({ atZero, slope, r2 }: Line): Line {
  return {
    atZero: significant(atZero),
    slope: significant(slope),
    r2: significant(r2),
  };
}

async function packedRow(
  gpu: Gpu,
  lengths: readonly number[],
  { cutOff, repeats }: { readonly cutOff: number; readonly repeats: number },
): Promise<PackedRow> {
  const packing = new Packing({ lengths, length: Math.max(...lengths) });
  const { padded, packed } = await timePacked(gpu, packing, repeats);
  return {
    cutOff,
    lengths,
    pairs: pairsRatio(lengths),
    padded: significant(padded),
    packed: significant(packed),
  };
}

/** Pairs of query and key of a padded batch, over those of its tokens. */
export function pairsRatio(lengths: readonly number[]): number {
  const pairs = lengths.reduce((sum, length) => sum + length ** 2, 0);
  return lengths.length * Math.max(...lengths) ** 2 / pairs;
}

/** The tables for a reader. */
export function skippedTables(
  { sparse, gradients, packed }: SkippedWork,
  width: number,
): string {
  const right = (title: string): Column => ({ title, align: "right" });
  const { dense, line } = sparse;
  const bySparsity = formatTable(
    [
      { title: `blocks of ${sparse.length}x${sparse.length}` },
      right("ms"),
      right("selected on the device, ms"),
      right("dense / sparse"),
      right("gradients, ms"),
      right("dense / sparse"),
    ],
    [
      [
        "all, without a mask",
        dense.toFixed(2),
        "",
        "",
        gradients.dense.toFixed(2),
        "",
      ],
      ...sparse.rows.map(({ density, host, device }, i) => [
        `${100 * density} %`,
        host.toFixed(2),
        device.toFixed(2),
        `${(dense / host).toFixed(2)}x`,
        gradients.rows[i].ms.toFixed(2),
        `${(gradients.dense / gradients.rows[i].ms).toFixed(2)}x`,
      ]),
    ],
    { width },
  );
  const byPadding = formatTable(
    [
      { title: "texts" },
      right("padded ms"),
      right("packed ms"),
      right("padded / packed"),
      right("of pairs"),
    ],
    packed.map(({ cutOff, lengths, padded, packed, pairs }) => [
      `${lengths.length} of up to ${cutOff}`,
      padded.toFixed(2),
      packed.toFixed(2),
      `${(padded / packed).toFixed(2)}x`,
      `${pairs.toFixed(2)}x`,
    ]),
    { width },
  );
  return `${bySparsity}\n` +
    `Nearest line: ${lineText(line)}\n` +
    `Of gradients: ${lineText(gradients.line)}\n\n` +
    byPadding;
}

function lineText({ atZero, slope, r2 }: Line): string {
  return `${atZero.toFixed(2)} ms + ` +
    `${slope.toFixed(2)} ms * density, R^2 ${r2.toFixed(4)}`;
}
