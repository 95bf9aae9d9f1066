/**
 * What S2-Attention is told: its band, its stride, and how the heads divide the
 * rest among themselves.
 *
 * @module
 */

import {
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkType,
} from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";

/** So that sums of a block and a phase are i32, whatever the heads. */
const MAX_STRIDE = 32_767;
const MAX = 2 ** 31 - 1;

/**
 * Blocks on each side of a row's own, which both sides count.
 *
 * @category Policies
 */
export interface S2Band {
  /** Blocks up to the row's own, that one included: at least 1. */
  readonly left: number;
  /** Blocks from the row's own on, that one included: at least 1. */
  readonly right: number;
}

/**
 * The pattern of {@linkcode s2}.
 *
 * @category Policies
 */
export interface S2Options {
  /** Positions of a block; 64 by default. */
  readonly block?: number;
  /**
   * The band: blocks up to the row's own, that one included, or of both sides
   * where the pattern is not causal; one number is for both.
   */
  readonly localBlocks: number | S2Band;
  /** Beyond the band, one block in so many is kept; 1 keeps all. */
  readonly stride: number;
  /** Whether a row sees no later key; `true` by default. */
  readonly causal?: boolean;
  /**
   * What is counted beyond the band: `"absolute"`, a key's block, which heads
   * shift; or `"relative"`, how many blocks it is from the band, the same for
   * all heads. By default the first if causal, else the second.
   */
  readonly positions?: "absolute" | "relative";
  /**
   * By how many blocks a key/value head shifts the pattern of the one before.
   * By default `max(1, floor(stride / queryHeads))`; 0 gives all heads the same.
   */
  readonly headStep?: number;
  /**
   * Whose numbering the phase follows: head `h` keeps the blocks `k` with `(k + h
   * * headStep + offset) % stride === 0` in DKernel (the default), and in vLLM
   * with 1 more in the sum. That is the phase alone: vLLM shifts each query head,
   * also of those that share keys, which is what keys and values give that are
   * repeated for each query head.
   */
  readonly phase?: "dkernel" | "vllm";
  /** Added to the phase; 0 by default. */
  readonly offset?: number;
  /** The last so many key/value heads keep all blocks; 0 by default. */
  readonly denseHeads?: number;
  /**
   * Whether to throw for heads that together leave blocks out; `false` by
   * default. {@linkcode S2Policy.coverage} says which.
   */
  readonly requireCoverage?: boolean;
}

/** The pattern with nothing left open but the heads. */
export interface S2Pattern {
  /** Positions of a block. */
  readonly block: number;
  /** The band. */
  readonly band: S2Band;
  /** Beyond the band, one block in so many. */
  readonly stride: number;
  /** Whether a row sees no later key. */
  readonly causal: boolean;
  /** Whether blocks are counted from the band. */
  readonly relative: boolean;
  /** From head to head, if it does not follow from their number. */
  readonly headStep: number | undefined;
  /** The phase of head 0, in `0..stride - 1`. */
  readonly offset: number;
  /** Heads that keep all. */
  readonly denseHeads: number;
  /** Whether to throw for heads that together leave blocks out. */
  readonly requireCoverage: boolean;
}

/**
 * Options as a pattern.
 *
 * @throws {TypeError} if an option is unknown, of another type, or has no
 * meaning beside the others
 * @throws {RangeError} if a number is out of range
 */
export function patternOf(options: S2Options): S2Pattern {
  checkOptions("s2()", options, {
    known: [
      "block",
      "localBlocks",
      "stride",
      "causal",
      "positions",
      "headStep",
      "phase",
      "offset",
      "denseHeads",
      "requireCoverage",
    ],
    hints: {
      blockSize: "write block",
      vertStride: "write stride",
      homoHead: "write headStep: 0",
      numDenseHeads: "write denseHeads",
      headSlidingStep: "write headStep",
      headSlidingOffset: "write offset",
      vertPositionType: "write positions",
      bidirectional: "write causal: false",
      numHeads: "leave it out: heads are those of the call",
      numKvHeads: "leave it out: heads are those of the call",
      maxSeqLen: "leave it out: lengths are those of the call",
    },
  });
  const { block = 64, stride, causal = true, denseHeads = 0 } = options;
  const { requireCoverage = false, phase = "dkernel", offset = 0 } = options;
  checkInteger("block", block, 1, MAX);
  checkInteger("stride", stride, 1, MAX_STRIDE);
  checkBoolean("causal", causal);
  checkBoolean("requireCoverage", requireCoverage);
  checkInteger("denseHeads", denseHeads, 0, MAX);
  const { positions = causal ? "absolute" : "relative", headStep } = options;
  checkOneOf("positions", positions, ["absolute", "relative"]);
  checkOneOf("phase", phase, ["dkernel", "vllm"]);
  if (headStep !== undefined) checkInteger("headStep", headStep, 0, MAX);
  checkInteger("offset", offset, -MAX, MAX);
  if (positions === "relative") refuseShifts(options);
  const shift = (offset % stride) + stride + (phase === "vllm" ? 1 : 0);
  return {
    block,
    band: bandOf(options.localBlocks, causal),
    stride,
    causal,
    relative: positions === "relative",
    headStep: headStep === undefined ? undefined : headStep % stride,
    offset: shift % stride,
    denseHeads,
    requireCoverage,
  };
}

function bandOf(given: number | S2Band, causal: boolean): S2Band {
  if (typeof given === "object" && given !== null) {
    checkOptions("localBlocks", given, { known: ["left", "right"] });
    checkType(
      !causal,
      "localBlocks",
      "must be a number, as a causal pattern has blocks on one side",
      given,
    );
    checkInteger("localBlocks.left", given.left, 1, MAX);
    checkInteger("localBlocks.right", given.right, 1, MAX);
    return { left: given.left, right: given.right };
  }
  checkInteger("localBlocks", given, 1, MAX);
  return { left: given, right: causal ? 1 : given };
}

/** What shifts the pattern from head to head is nothing to distances. */
function refuseShifts(options: S2Options): void {
  for (const name of ["headStep", "phase", "offset"] as const) {
    checkType(
      options[name] === undefined,
      name,
      'must not be given with positions "relative", where all heads keep the same distances',
      options[name],
    );
  }
}
