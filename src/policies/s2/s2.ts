/**
 * S2-Attention: a band of blocks, and beyond it one block in so many, another
 * one for each head.
 *
 * @module
 */

import { BlockTable } from "../../cache/mod.ts";
import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { type MaskMod, maskMod } from "../../mods/mod.ts";
import type {
  AttentionPolicy,
  PolicySelection,
  PolicyShape,
} from "../../ops/mod.ts";
import { unseenBlocks } from "./eviction.ts";
import {
  coverageOf,
  type S2Coverage,
  type S2Heads,
  shiftsOf,
} from "./heads.ts";
import { keepsBlock, keptPair } from "./kept.ts";
import { patternOf, type S2Options, type S2Pattern } from "./options.ts";
import { checkRows } from "./rows.ts";

/**
 * S2-Attention as a policy; {@linkcode s2} makes it. It knows no length and no
 * number of heads: those are of the call.
 *
 * @example What two heads keep of six blocks
 * ```ts
 * import { s2 } from "@quire/attention/policies";
 *
 * const policy = s2({ block: 64, localBlocks: 2, stride: 4 });
 * const heads = { queryHeads: 4, kvHeads: 2 };
 * const keptBy = (kvHead: number) =>
 *   [0, 1, 2, 3, 4, 5].filter((column) =>
 *     policy.keeps(heads, { kvHead, row: 5, column })
 *   );
 * console.log(keptBy(0).length, keptBy(1).length); // of six blocks
 * console.log(policy.kvEfficient); // true
 * ```
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
    checkRows(this.#pattern, shiftsOf(this.#pattern, shape), shape);
    return { maskMods, causal: this.#pattern.causal };
  }

  /**
   * The policy of calls that read a block table of its own for each key/value
   * head, as `packHeadTables()` packs them: their batch is `sequences *
   * kvHeads`, heads of a sequence one after the other, and their heads are the
   * query heads of one key/value head.
   *
   * @throws {TypeError} if query heads are not a multiple of kv heads
   * @throws {RangeError} if there are fewer kv heads than dense ones
   */
  forHeadTables(heads: S2Heads): AttentionPolicy {
    const pattern = this.#pattern;
    const shifts = shiftsOf(pattern, heads);
    const { queryHeads } = heads;
    const kvHeads = queryHeads / shifts.group;
    const mask = maskMod(
      "s2",
      ({ batch, query, key }) =>
        keptPair(pattern, shifts, { query, key, kvHead: batch.rem(kvHeads) }),
    );
    return {
      name: this.name,
      select: (shape) => {
        checkHeadTables(shape, { group: shifts.group, kvHeads });
        if (pattern.requireCoverage) this.#checkCoverage(heads);
        checkRows(pattern, shifts, {
          sequences: shape.sequences,
          ownHead: (sequence) => sequence % kvHeads,
        });
        return { maskMods: [mask], causal: pattern.causal };
      },
    };
  }

  /**
   * Gives back the blocks of one sequence's tables that no row from a position on
   * sees, however they were shared: what later rows give stays the same, bit by
   * bit. What is left of a head is its band and one block in `stride`. Where
   * `withFallback()` leaves short sequences dense, evict once they are long
   * enough, not before.
   *
   * @param tables One for each key/value head, in order.
   * @param options `queryHeads` of the layer, and `from`: the first position whose
   * row is yet to be computed.
   * @returns How many blocks were given up.
   * @throws {TypeError} if the pattern is not KV-efficient, or a table is none,
   * freed or given twice
   * @throws {RangeError} if `from` is beyond what a table has written, or a table
   * lacks a block that these rows see
   *
   * @example Of 64 blocks, what two heads keep for the rows that follow
   * ```ts
   * import { BlockPool, BlockTable } from "@quire/attention/cache";
   * import { s2 } from "@quire/attention/policies";
   *
   * const pool = new BlockPool({ numBlocks: 200, blockSize: 16 });
   * const tables = [new BlockTable(pool), new BlockTable(pool)];
   * for (const table of tables) {
   *   table.reserve(1024);
   *   table.commit();
   * }
   * const policy = s2({ block: 16, localBlocks: 4, stride: 8 });
   * console.log(policy.evict(tables, { queryHeads: 2, from: 1024 })); // 106
   * console.log(tables.map((table) => table.slot(1023))); // [1039, 2063]
   * console.log(pool.usedBlocks); // 22
   * ```
   */
  evict(
    tables: readonly BlockTable[],
    options: { readonly queryHeads: number; readonly from: number },
  ): number {
    checkOptions("evict()", options, { known: ["queryHeads", "from"] });
    checkType(
      Array.isArray(tables) && tables.length > 0 &&
        tables.every((table) => table instanceof BlockTable) &&
        new Set(tables).size === tables.length,
      "tables",
      "must be a BlockTable for each key/value head",
      tables,
    );
    checkType(
      this.kvEfficient,
      "evict (s2): kvEfficient",
      "must be true, as blocks that a row leaves out may come back; make the pattern causal with absolute positions",
      this.kvEfficient,
    );
    const { queryHeads, from } = options;
    const kvHeads = tables.length;
    const shifts = shiftsOf(this.#pattern, { queryHeads, kvHeads });
    const unseen = tables.map((table, kvHead) =>
      unseenBlocks(this.#pattern, shifts, { table, kvHead, from })
    );
    return tables.reduce((sum, table, i) => sum + table.drop(unseen[i]), 0);
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
}

/** Throws unless a call's batch are tables of heads. */
function checkHeadTables(
  { queryHeads, kvHeads, sequences }: PolicyShape,
  expected: { readonly group: number; readonly kvHeads: number },
): void {
  checkType(
    kvHeads === 1 && queryHeads === expected.group,
    "select (s2): heads",
    `must be ${expected.group} query heads over 1 kv head, as each table is one kv head's`,
    [queryHeads, kvHeads],
  );
  checkType(
    sequences.length % expected.kvHeads === 0,
    "select (s2): batch",
    `must be a multiple of ${expected.kvHeads}: a table for each kv head of each sequence`,
    sequences.length,
  );
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
