/**
 * LongLoRA's shifted sparse attention.
 *
 * @module
 */

import { checkOneOf, checkRange, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { type MaskMod, maskMod } from "../../mods/mod.ts";
import type { AttentionPolicy, PolicyShape } from "../../ops/mod.ts";
import { checkOwnKeys } from "../own_keys.ts";
import { perSequence } from "../per_sequence.ts";
import {
  checkGroups,
  groupSizeOf,
  type LongLoraGroupOptions,
  shiftOf,
} from "./groups.ts";

/**
 * What {@linkcode longlora} takes.
 *
 * @category Policies
 */
export interface LongLoraOptions extends LongLoraGroupOptions {
  /**
   * What becomes of the half groups at both ends of a shifted head: `"flash"`
   * (default) leaves each alone, as the authors' FlashAttention code does, and
   * no query sees a later key. `"wrap"` makes one group of them, as their code
   * without FlashAttention does by rolling tokens: its first tokens, which the
   * roll puts last, then see the sequence's last ones. **It is not causal**, and
   * is here to train as that code trains: a next-token loss sees its answers.
   */
  readonly variant?: "flash" | "wrap" | undefined;
  /**
   * The query heads whose groups are shifted by half a group: the second half
   * of them (default), or none, which leaves tokens of different groups apart
   * in every layer.
   */
  readonly shiftedHeads?: "second-half" | "none" | undefined;
}

/**
 * The policy that {@linkcode longlora} makes.
 *
 * @category Policies
 */
export interface LongLoraPolicy extends AttentionPolicy {
  /** What becomes of the half groups at both ends. */
  readonly variant: "flash" | "wrap";
  /** Which heads are shifted. */
  readonly shiftedHeads: "second-half" | "none";
  /** Tokens of a group of a sequence of so many keys. */
  groupSizeOf(keys: number): number;
  /**
   * Pairs of a shifted head in which a query sees a later key, in a sequence of
   * so many keys: `(groupSize / 2)^2` where groups wrap, and none else. Of an odd
   * group the halves are `floor(groupSize / 2)` and the rest.
   */
  antiCausalPairs(keys: number): number;
}

const VARIANTS = ["flash", "wrap"] as const;
const SHIFTED = ["second-half", "none"] as const;
const NAME = "longlora";

/**
 * LongLoRA's shifted sparse attention (Chen et al. 2024, "LongLoRA: Efficient
 * Fine-tuning of Long-Context Large Language Models", section 3.2), for training
 * on long sequences: a query sees its own group of keys, causally, and in the
 * second half of the heads groups are shifted by half a group, so that what
 * groups know passes between them from layer to layer. A model that was trained
 * so attends to everything at inference: leave the policy out there.
 *
 * Groups lie by position in the sequence, from 0: `floor(position / G)`, shifted
 * `floor((position + G - floor(G / 2)) / G)`. Rotary positions are those of the
 * sequence, not of the group. The last group is shorter where groups do not
 * divide the sequence. Queries that stand behind all keys of their group are
 * refused, as they would see none. It is causal by itself, so `causal: true` changes nothing;
 * with `variant: "wrap"` it is refused, see there.
 *
 * @throws {TypeError} for unknown options, and values of another type
 * @throws {RangeError} for values out of range
 *
 * @example Which keys two heads see: groups of four
 * ```ts
 * import { drawMask } from "@quire/attention/mods";
 * import { attentionProblem } from "@quire/attention/ops";
 * import { longlora } from "@quire/attention/policies";
 *
 * const rows = { dtype: "f32", shape: [1, 8, 2, 16] } as const;
 * const problem = attentionProblem({
 *   query: rows,
 *   key: rows,
 *   value: rows,
 *   select: longlora({ groupSize: 4 }),
 * });
 * const draw = (head: number) =>
 *   drawMask(problem, { head, tileQueries: 1, tileKeys: 1 }).text;
 * console.log(draw(0));
 * // █·······
 * // ██······
 * // ███·····
 * // ████····
 * // ····█···
 * // ····██··
 * // ····███·
 * // ····████
 * console.log(draw(1));
 * // █·······
 * // ██······
 * // ··█·····
 * // ··██····
 * // ··███···
 * // ··████··
 * // ······█·
 * // ······██
 * ```
 *
 * @category Policies
 */
export function longlora(options: LongLoraOptions = {}): LongLoraPolicy {
  checkOptions("longlora()", options, {
    known: ["groupSize", "groupRatio", "variant", "shiftedHeads"],
    hints: { groupSizeRatio: "write groupRatio" },
  });
  checkGroups(options);
  const { variant = "flash", shiftedHeads = "second-half" } = options;
  checkOneOf("variant", variant, VARIANTS);
  checkOneOf("shiftedHeads", shiftedHeads, SHIFTED);
  const sizeOf = (keys: number) => groupSizeOf(options, keys);
  const wraps = variant === "wrap" && shiftedHeads !== "none";
  return {
    name: NAME,
    variant,
    shiftedHeads,
    groupSizeOf: sizeOf,
    antiCausalPairs(keys) {
      const size = sizeOf(keys);
      return wraps ? shiftOf(size) * (size - shiftOf(size)) : 0;
    },
    select(shape) {
      const { queryHeads, sequences } = shape;
      checkRange(
        shiftedHeads === "none" || queryHeads % 2 === 0,
        "queryHeads",
        `must be even for ${NAME}, which shifts groups of the second half of heads; shiftedHeads: "none" shifts none`,
        queryHeads,
      );
      const groups = sequences.map(({ keyCount }) => sizeOf(keyCount));
      if (wraps) checkWrapped(shape, groups);
      checkOwnKeys(NAME, sequences, (position, i) => {
        const size = groups[i];
        const startOf = (rest: number) =>
          Math.floor((position + rest) / size) * size - rest;
        const shifted = shiftedHeads === "none" ? 0 : size - shiftOf(size);
        return {
          start: Math.max(startOf(0), startOf(shifted)),
          part: `group of ${size}`,
        };
      });
      return {
        maskMods: [groupMask(groups, {
          shifted: shiftedHeads === "none" ? undefined : queryHeads / 2,
          keys: wraps ? sequences.map(({ keyCount }) => keyCount) : undefined,
        })],
        causal: true,
      };
    },
  };
}

/** The keys up to a query's own that are of its group, of sizes by sequence. */
function groupMask(groups: readonly number[], { shifted, keys }: {
  /** The first query head whose groups are shifted, if any is. */
  readonly shifted: number | undefined;
  /** Keys of each sequence, where shifted groups wrap around them. */
  readonly keys: readonly number[] | undefined;
}): MaskMod {
  const numbers = (name: string, of: (size: number, i: number) => number) =>
    perSequence(`${NAME}'s ${name}`, groups.map(of));
  const sizeAt = numbers("group sizes", (size) => size);
  const restAt = numbers("second halves", (size) => size - shiftOf(size));
  // The roll puts the last half group before the first, which sees all of it.
  const wrapped = keys && {
    before: numbers("first half groups", shiftOf),
    from: numbers(
      "last half groups",
      (size, i) => keys[i] - (size - shiftOf(size)),
    ),
  };
  return maskMod(NAME, ({ batch, head, query, key }) => {
    const size = sizeAt(batch);
    const before = key.le(query);
    const own = before.and(query.div(size).eq(key.div(size)));
    if (shifted === undefined) return own;
    const rest = restAt(batch);
    const moved = before.and(
      query.add(rest).div(size).eq(key.add(rest).div(size)),
    );
    const seen = wrapped === undefined ? moved : moved.or(
      query.lt(wrapped.before(batch)).and(key.ge(wrapped.from(batch))),
    );
    return head.ge(shifted).select(seen, own);
  });
}

/** Throws unless groups that wrap are whole, and nothing hides what they add. */
function checkWrapped(
  { sequences, causal, window }: PolicyShape,
  groups: readonly number[],
): void {
  const what = `${NAME} with variant: "wrap"`;
  checkType(
    !causal,
    "causal",
    `must not be given beside ${what}, which is causal but for the pairs that wrap, and would lose those; leave causal out, or take variant: "flash"`,
    causal,
  );
  checkType(
    window === undefined,
    "window",
    `must not be given beside ${what}, whose pairs that wrap are as far apart as the sequence is long`,
    window,
  );
  sequences.forEach(({ queryCount, keyCount, queryOffset }, i) => {
    checkRange(
      queryCount === keyCount && queryOffset === 0,
      `sequence ${i}`,
      `must have a query for each key, from the first on, for ${what}: it is for training; keys ${keyCount}, offset ${queryOffset}`,
      queryCount,
    );
    checkRange(
      keyCount % groups[i] === 0,
      `keys of sequence ${i}`,
      `must be a multiple of the group size (${groups[i]}) for ${what}`,
      keyCount,
    );
  });
}
