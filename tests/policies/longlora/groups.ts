/**
 * Calls of LongLoRA's policy, and the masks that its authors' code means.
 *
 * @module
 */

import fc from "fast-check";
import {
  raggedGroups,
  rolledGroups,
} from "../../../reference/policies/longlora.ts";
import { type MaskFunction, maskFunction } from "../../../src/mods/mod.ts";
import { attentionProblem } from "../../../src/ops/mod.ts";
import { longlora, type LongLoraOptions } from "../../../src/policies/mod.ts";

/** A call: a batch of whole groups. */
export interface GroupedCall {
  /** Heads, an even number. */
  readonly heads: number;
  /** Groups of each sequence. */
  readonly groups: readonly number[];
  /** Tokens of a group. */
  readonly groupSize: number;
}

/** Calls, small and odd. */
export const groupedCalls: fc.Arbitrary<GroupedCall> = fc.record({
  heads: fc.integer({ min: 1, max: 3 }).map((half) => 2 * half),
  groups: fc.array(fc.integer({ min: 0, max: 5 }), {
    minLength: 1,
    maxLength: 3,
  }),
  groupSize: fc.integer({ min: 1, max: 9 }),
});

/** The problem of ragged sequences of so many tokens under the policy. */
export function problemOf(
  options: LongLoraOptions,
  { heads, lengths }: {
    readonly heads: number;
    readonly lengths: readonly number[];
  },
) {
  const cuSeqlens = [0];
  for (const length of lengths) cuSeqlens.push(cuSeqlens.at(-1)! + length);
  const shape = [cuSeqlens.at(-1)!, heads, 8];
  const rows = { dtype: "f32", shape } as const;
  return attentionProblem({
    query: rows,
    key: rows,
    value: rows,
    cuSeqlens,
    select: longlora(options),
  });
}

/** What the policy keeps of such sequences. */
export function keptOf(
  options: LongLoraOptions,
  call: { readonly heads: number; readonly lengths: readonly number[] },
): MaskFunction {
  return maskFunction(problemOf(options, call).maskMods);
}

/** What the authors' code keeps: by a roll, or by sequences of a ragged batch. */
export function meaningOf(
  { heads, lengths, groupSizes, variant }: {
    readonly heads: number;
    readonly lengths: readonly number[];
    readonly groupSizes: readonly number[];
    readonly variant: "flash" | "wrap";
  },
): MaskFunction {
  const seen = { flash: raggedGroups, wrap: rolledGroups }[variant];
  const masks = lengths.map((tokens, i) =>
    [false, true].map((shifted) =>
      seen({ tokens, groupSize: groupSizes[i], shifted })
    )
  );
  return (batch, head, query, key) => {
    const shifted = head >= heads / 2 ? 1 : 0;
    return masks[batch][shifted][query * lengths[batch] + key] === 1;
  };
}
