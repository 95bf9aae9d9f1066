/**
 * S2-Attention: a band of blocks, and beyond it one block in so many, another
 * one for each head.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../core/check.ts";
import { type MaskMod, maskMod } from "../../mods/mod.ts";
import type {
  AttentionPolicy,
  PolicySelection,
  PolicyShape,
} from "../../ops/mod.ts";
import {
  coverageOf,
  type HeadShifts,
  type S2Coverage,
  type S2Heads,
  shiftsOf,
} from "./heads.ts";
import { keepsBlock, keptPair } from "./kept.ts";
import { patternOf, type S2Options, type S2Pattern } from "./options.ts";

/**
 * S2-Attention as a policy; {@linkcode s2} makes it. It knows no length and no
 * number of heads: those are of the call.
 *
 * @category Policies
 */
export class S2Policy implements AttentionPolicy {
  /** What errors call it. */
  readonly name = "s2";
  readonly #pattern: S2Pattern;
  readonly #masks = new Map<string, MaskMod>();

  /** Call {@linkcode s2} instead. */
  constructor(options: S2Options) {
    this.#pattern = patternOf(options);
  }

  /** Positions of a block. */
  get block(): number {
    return this.#pattern.block;
  }

  /**
   * Whether a block that is behind a row's band and left out is left out for all
   * later rows: a cache need not keep it. So it is of causal patterns whose
   * positions are absolute, and of those that leave nothing out.
   */
  get kvEfficient(): boolean {
    const { causal, relative, stride } = this.#pattern;
    return causal && (!relative || stride === 1);
  }

  /**
   * Which blocks the heads of a call keep together.
   *
   * @throws {TypeError} if query heads are not a multiple of kv heads
   * @throws {RangeError} if there are fewer kv heads than dense ones
   */
  coverage(heads: S2Heads): S2Coverage {
    return coverageOf(this.#pattern, heads);
  }

  /**
   * Whether rows of a block see keys of another, for a key/value head of a call.
   *
   * @param row The number of the rows' block.
   * @param column The number of the keys' block.
   * @throws {RangeError} if a number is negative, or there is no such head
   */
  keeps(
    heads: S2Heads,
    at: {
      readonly kvHead: number;
      readonly row: number;
      readonly column: number;
    },
  ): boolean {
    const shifts = shiftsOf(this.#pattern, heads);
    checkInteger("kvHead", at.kvHead, 0, heads.queryHeads / shifts.group - 1);
    checkInteger("row", at.row, 0);
    checkInteger("column", at.column, 0);
    return keepsBlock(this.#pattern, shifts, at);
  }

  /**
   * The mask of calls with so many heads: what an oracle is given, and what parts
   * of the keys are computed with that are merged later.
   *
   * @throws {TypeError} if query heads are not a multiple of kv heads
   * @throws {RangeError} if there are fewer kv heads than dense ones
   */
  maskMods(heads: S2Heads): readonly MaskMod[] {
    const shifts = shiftsOf(this.#pattern, heads);
    const { group, sparse, step } = shifts;
    const key = [group, sparse, step].join();
    let mask = this.#masks.get(key);
    if (mask === undefined) {
      mask = maskMod(
        "s2",
        ({ head, query, key }) =>
          keptPair(this.#pattern, shifts, {
            query,
            key,
            kvHead: group === 1 ? head : head.div(group),
          }),
      );
      this.#masks.set(key, mask);
    }
    return [mask];
  }

  /**
   * The mask for a call, which leaves no row of it without keys.
   *
   * @throws {RangeError} if there are fewer kv heads than dense ones, rows would
   * be left without keys, or heads leave blocks out and must not
   */
  select(shape: PolicyShape): PolicySelection {
    const maskMods = this.maskMods(shape);
    if (this.#pattern.requireCoverage) this.#checkCoverage(shape);
    this.#checkRows(shape);
    return { maskMods };
  }

  #checkCoverage(heads: S2Heads): void {
    const { complete, missing } = this.coverage(heads);
    checkRange(
      complete,
      "select (s2): requireCoverage",
      `must find every block kept by some head, and none of ${heads.queryHeads} heads over ${
        heads.kvHeads ?? heads.queryHeads
      } kv heads keeps those of ${missing.length} residues modulo ${this.#pattern.stride}; give it more kv heads, a dense one or a smaller stride`,
      missing,
    );
  }

  /** A row whose band has no key may have no block of the stride either. */
  #checkRows(shape: PolicyShape): void {
    const { causal, block, band, stride } = this.#pattern;
    const shifts = shiftsOf(this.#pattern, shape);
    shape.sequences.forEach(({ queryCount, keyCount, queryOffset }, i) => {
      if (queryCount === 0 || keyCount === 0) return;
      const name = `select (s2): queryOffset of sequence ${i}`;
      checkRange(
        causal || queryOffset >= 0,
        name,
        "must be >= 0, as blocks begin at position 0; give it causal: true, or rows that stand among the keys",
        queryOffset,
      );
      const last = Math.floor((queryOffset + queryCount - 1) / block);
      // Rows before this one have a key within their band.
      const beyond = Math.ceil(keyCount / block) + band.left - 1;
      const first = Math.max(beyond, Math.floor(queryOffset / block));
      // What is kept beyond the band repeats with the stride, for rows too.
      for (let row = first; row <= Math.min(last, first + stride); row++) {
        const kvHead = this.#emptyHead(shifts, row, keyCount);
        checkRange(
          kvHead === undefined,
          name,
          `must leave every row a key, but rows of block ${row} have none of ${keyCount} keys in kv head ${kvHead}; give maskMods() as maskMod where that is meant`,
          queryOffset,
        );
      }
    });
  }

  /** A head in which a block of rows behind all keys sees none of them. */
  #emptyHead(
    shifts: HeadShifts,
    row: number,
    keyCount: number,
  ): number | undefined {
    const { block, stride } = this.#pattern;
    const blocks = Math.ceil(keyCount / block);
    const heads = Math.min(shifts.sparse, stride);
    const first = Math.max(0, blocks - stride);
    for (let kvHead = 0; kvHead < heads; kvHead++) {
      let sees = false;
      for (let column = first; column < blocks && !sees; column++) {
        sees = keepsBlock(this.#pattern, shifts, { kvHead, row, column });
      }
      if (!sees) return kvHead;
    }
    return undefined;
  }
}

/**
 * S2-Attention (Lin et al. 2024, the pattern of DKernel): key/value head `h`
 * keeps, of the blocks `k` up to a row's block `q`, those in its band, `q - k <
 * localBlocks`, and beyond it those with `(k + h * headStep + offset) % stride ===
 * 0`. So heads share the context out among themselves, and all query heads of a
 * key/value head see the same. Causal: within its own block a row sees no later
 * key.
 *
 * That the heads together see everything is not so of all numbers: with fewer
 * key/value heads than the stride they do not, which
 * {@linkcode S2Policy.coverage} tells and `requireCoverage` refuses.
 *
 * `{ causal: false }` keeps, to both sides, the blocks whose distance from the
 * band is a multiple of the stride (DKernel's bidirectional form).
 *
 * @throws {TypeError} if an option is unknown or of another type, or has no
 * meaning beside the others
 * @throws {RangeError} if a number is out of range
 *
 * @example Two heads, one token a block, a band of two, a stride of three
 * ```ts
 * import { drawMask } from "@quire/attention/mods";
 * import { s2 } from "@quire/attention/policies";
 *
 * const policy = s2({ block: 1, localBlocks: 2, stride: 3 });
 * const [mask] = policy.maskMods({ queryHeads: 2 });
 * const pairs = { keys: 8, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // █·······
 * // ██······
 * // ███·····
 * // █·██····
 * // █··██···
 * // █··███··
 * // █··█·██·
 * // █··█··██
 * console.log(drawMask(mask, { ...pairs, head: 1 }).text);
 * // █·······
 * // ██······
 * // ·██·····
 * // ··██····
 * // ··███···
 * // ··█·██··
 * // ··█··██·
 * // ··█··███
 * console.log(policy.coverage({ queryHeads: 2 }).missing); // [1]
 * ```
 *
 * @example In a call
 * ```ts
 * import { attention, openGpu } from "@quire/attention";
 * import { s2 } from "@quire/attention/policies";
 *
 * const gpu = await openGpu();
 * const noise = (length: number) => Float32Array.from({ length }, Math.random);
 * const rows = () => ({ data: noise(64 * 2 * 8), shape: [1, 64, 2, 8] });
 * const { output } = await attention(gpu, {
 *   query: rows(),
 *   key: rows(),
 *   value: rows(),
 *   select: s2({ block: 8, localBlocks: 2, stride: 2, requireCoverage: true }),
 * });
 * console.log(output.shape); // [1, 64, 2, 8]
 * gpu.destroy();
 * ```
 *
 * @category Policies
 */
export function s2(options: S2Options): S2Policy {
  return new S2Policy(options);
}
