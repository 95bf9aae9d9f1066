/** What block masks refuse, and in which words. */

import { assertThrows } from "@std/assert";
import {
  blockMask,
  blockMaskFromLists,
  blockMaskFromPattern,
  causal,
  type GivenLists,
  maskMod,
  prefixLm,
  throughTable,
} from "../../../src/mods/mod.ts";

const GEOMETRY = { queries: 32, keys: 48, queryBlock: 16 };
const full = (lists: GivenLists) => () =>
  blockMaskFromLists({ full: lists }, GEOMETRY);
const words = (...values: number[]) => Uint32Array.from(values);
const whole = () => blockMaskFromPattern(() => true, GEOMETRY);
const perHead = maskMod("perHead", ({ head, key }) => key.ge(head));

const CASES: readonly [
  name: string,
  make: () => unknown,
  error: typeof TypeError | typeof RangeError,
  message: string,
][] = [
  [
    "a block out of range",
    full([[0], [3]]),
    RangeError,
    "full row 1, entry 0, must be an integer in 0..2: current value is 3",
  ],
  [
    "a negative block",
    full([[-1], []]),
    RangeError,
    "full row 0, entry 0, must be an integer in 0..2",
  ],
  [
    "unsorted blocks",
    full([[2, 1], []]),
    RangeError,
    "full row 0, entry 1, must be above the entry before it (2)",
  ],
  [
    "a block twice",
    full([[], [1, 1]]),
    RangeError,
    "full row 1, entry 1, must be there once: current value is 1",
  ],
  [
    "a block that is full and partial",
    () =>
      blockMaskFromLists({
        full: [[0, 1], []],
        partial: [[1], []],
        maskMod: causal(),
      }, GEOMETRY),
    RangeError,
    "partial row 0, entry 0, must not be among the full blocks too",
  ],
  [
    "rows of another geometry",
    full([[0], [1], [2]]),
    TypeError,
    "full must have a row for each sequence, head and block of queries (2)",
  ],
  [
    "compressed rows of another geometry",
    full({ offsets: words(0, 1), indices: words(0) }),
    TypeError,
    "full.offsets, less one, must have a row for each",
  ],
  [
    "offsets that do not end with the indices",
    full({ offsets: words(0, 1, 1), indices: words(0, 1) }),
    RangeError,
    "full.offsets must begin with 0 and end with the number of indices (2)",
  ],
  [
    "offsets that fall",
    full({ offsets: words(0, 2, 1), indices: words(0) }),
    RangeError,
    "full.offsets[2] must not be below the one before it (2)",
  ],
  [
    "indices in a plain array",
    full({ offsets: words(0, 0, 1), indices: [0] } as never),
    TypeError,
    "full must be { offsets, indices }, each a Uint32Array, or an array a row",
  ],
  [
    "a row that is no list",
    full([[0], 1] as never),
    TypeError,
    "full[1] must be an array of blocks of keys",
  ],
  [
    "no lists",
    () => blockMaskFromLists({}, GEOMETRY),
    TypeError,
    "full must be given, or partial",
  ],
  [
    "partial blocks without a mask",
    () => blockMaskFromLists({ partial: [[], []] }, GEOMETRY),
    TypeError,
    "maskMod must be given, as it decides in partial blocks",
  ],
  [
    "a mask without partial blocks",
    () => blockMaskFromLists({ full: [[], []], maskMod: causal() }, GEOMETRY),
    TypeError,
    "maskMod must be given with partial blocks",
  ],
  [
    "FlexAttention's names",
    () => blockMaskFromLists({ kv_indices: [] } as never, GEOMETRY),
    TypeError,
    "kv_indices must not be given, as blockMaskFromLists() has no such option; write full and partial",
  ],
  [
    "a pattern of another size",
    () => blockMaskFromPattern(new Uint8Array(5), GEOMETRY),
    TypeError,
    "pattern.length must be batch x heads x blocks of queries x blocks of keys (1 x 1 x 2 x 3): current value is 5",
  ],
  [
    "a pattern that says no boolean",
    () => blockMaskFromPattern((() => 1) as never, GEOMETRY),
    TypeError,
    "pattern(0, 0, 0, 0) must be a boolean: current value is 1",
  ],
  [
    "a pattern that is none",
    () => blockMaskFromPattern("causal" as never, GEOMETRY),
    TypeError,
    "pattern must be a function, booleans or a Uint8Array",
  ],
  [
    "a mask of the head for all heads",
    () => blockMask(perHead, GEOMETRY),
    TypeError,
    "heads must be given, as the mask depends on the head: current value is 1",
  ],
  [
    "a mask of the sequence for all sequences",
    () => blockMask(prefixLm(words(1, 2)), GEOMETRY),
    TypeError,
    "batch must be given, as the mask depends on the batch: current value is 1",
  ],
  [
    "a mask of the head for groups of heads",
    () => blockMask(perHead, { ...GEOMETRY, heads: 2 }).maskMod(4),
    TypeError,
    "block mask must have as many heads as there are query heads",
  ],
  [
    "heads that do not divide",
    () =>
      blockMaskFromPattern(() => true, { ...GEOMETRY, heads: 3 }).maskMod(4),
    TypeError,
    "heads must be a multiple of the block mask's (3): current value is 4",
  ],
  [
    "no masks",
    () => blockMask([], GEOMETRY),
    TypeError,
    "masks must be at least one",
  ],
  [
    "a function for a mask",
    () => blockMask((() => true) as never, GEOMETRY),
    TypeError,
    "masks must be a MaskMod: current value is a function",
  ],
  [
    "a block of no queries",
    () => blockMask(causal(), { ...GEOMETRY, queryBlock: 0 }),
    RangeError,
    "queryBlock must be an integer in 1..",
  ],
  [
    "too many blocks",
    () =>
      blockMask(causal(), { queries: 2 ** 20, keys: 2 ** 20, queryBlock: 1 }),
    RangeError,
    "queryBlock and keyBlock must make at most 268435456 blocks",
  ],
  [
    "an option by another name",
    () => blockMask(causal(), { ...GEOMETRY, Q_BLOCK_SIZE: 16 } as never),
    TypeError,
    "Q_BLOCK_SIZE must not be given, as a block mask's geometry has no such option; write queryBlock",
  ],
  [
    "masks of other blocks",
    () => whole().and(blockMask(causal(), { ...GEOMETRY, keyBlock: 8 })),
    TypeError,
    "keyBlock must be the other block mask's (16): current value is 8",
  ],
  [
    "masks of other keys",
    () => whole().or(blockMask(causal(), { ...GEOMETRY, keys: 40 })),
    TypeError,
    "keys must be the other block mask's (48): current value is 40",
  ],
  [
    "masks of other heads",
    () =>
      blockMaskFromPattern(() => true, { ...GEOMETRY, heads: 2 })
        .and(blockMaskFromPattern(() => true, { ...GEOMETRY, heads: 3 })),
    TypeError,
    "heads must be the other block mask's (2) or 1: current value is 3",
  ],
  [
    "a mask mod where a block mask belongs",
    () => whole().and(causal() as never),
    TypeError,
    "and() operand must be a BlockMask",
  ],
  [
    "a cache's block that does not divide the mask's",
    () => throughTable(whole(), { blockTable: words(1), blockSize: 5 }),
    RangeError,
    "blockSize must divide the block mask's keyBlock (16): current value is 5",
  ],
  [
    "a block table that is too short",
    () => throughTable(whole(), { blockTable: words(1, 2), blockSize: 16 }),
    RangeError,
    "blockTable must have 3 blocks of 16 for each sequence's 48 keys: current value is 2",
  ],
  [
    "a head that is not drawn",
    () => whole().draw({ head: 1 }),
    RangeError,
    "head must be an integer in 0..0: current value is 1",
  ],
];

for (const [name, make, error, message] of CASES) {
  Deno.test(`block masks refuse ${name}`, () => {
    assertThrows(make, error, message);
  });
}
