/** Block masks that do not fit the call. */

import { assertThrows } from "@std/assert";
import { attentionProblem } from "../../../../src/ops/mod.ts";
import {
  type BlockGeometry,
  blockMask,
  blockMaskFromPattern,
  causal,
} from "../../../../src/mods/mod.ts";

const OPTIONS = {
  query: { dtype: "f32", shape: [2, 32, 4, 8] },
  key: { dtype: "f32", shape: [2, 48, 2, 8] },
  value: { dtype: "f32", shape: [2, 48, 2, 8] },
} as const;
const FITTING = { queries: 32, keys: 48, queryBlock: 16 };

const whole = (changes: Partial<BlockGeometry>) =>
  blockMaskFromPattern(() => true, { ...FITTING, ...changes });

const CASES: readonly [
  name: string,
  more: Record<string, unknown>,
  error: typeof TypeError | typeof RangeError,
  message: string,
][] = [
  [
    "of other queries",
    { blockMask: whole({ queries: 33 }) },
    TypeError,
    "blockMask queries must be those of attention() (32): current value is 33",
  ],
  [
    "of other keys",
    { blockMask: whole({ keys: 47 }) },
    TypeError,
    "blockMask keys must be those of attention() (48): current value is 47",
  ],
  [
    "of heads that do not divide",
    { blockMask: whole({ heads: 3 }) },
    TypeError,
    "blockMask heads must be 1, or a divisor of the query heads (4): current value is 3",
  ],
  [
    "of other sequences",
    { blockMask: whole({ batch: 3 }) },
    TypeError,
    "blockMask batch must be 1, or the number of sequences (2): current value is 3",
  ],
  [
    "by positions that queries do not have",
    { blockMask: blockMask(causal(), FITTING), queryOffset: 0 },
    RangeError,
    "blockMask with queryOffset 16 must have a row for each query's position, of which sequence 0 has 0..31, not 16..47",
  ],
  [
    "by rows and positions that do not agree",
    {
      blockMask: whole({}).and(
        blockMask(causal(), { ...FITTING, queries: 32 }),
      ),
      queryOffset: [16, 17],
      keyLengths: [48, 48],
    },
    RangeError,
    "blockMask with queryOffset 16 must have a row for each",
  ],
  [
    "that is a mask mod",
    { blockMask: causal() },
    TypeError,
    "blockMask must be a BlockMask, made by",
  ],
  [
    "that is null",
    { blockMask: null },
    TypeError,
    "blockMask must be a BlockMask, made by",
  ],
];

for (const [name, more, error, message] of CASES) {
  Deno.test(`attention() refuses a block mask ${name}`, () => {
    assertThrows(
      () => attentionProblem({ ...OPTIONS, ...more }),
      error,
      message,
    );
  });
}

Deno.test("attention() refuses a block mask that ragged sequences exceed", () => {
  const ragged = (blockMask: ReturnType<typeof whole>) =>
    attentionProblem({
      query: { dtype: "f32", shape: [50, 4, 8] },
      key: { dtype: "f32", shape: [50, 2, 8] },
      value: { dtype: "f32", shape: [50, 2, 8] },
      cuSeqlens: [0, 10, 50],
      blockMask,
    });
  assertThrows(
    () => ragged(whole({ queries: 39, keys: 40 })),
    TypeError,
    "blockMask queries must be >= those of attention() (40)",
  );
  assertThrows(
    () => ragged(whole({ queries: 40, keys: 39 })),
    TypeError,
    "blockMask keys must be >= those of attention() (40)",
  );
  ragged(whole({ queries: 40, keys: 41 }));
  // Sequence 0 begins at its own position 0, as sequence 1 does.
  ragged(blockMask(causal(), { queries: 40, keys: 40, queryBlock: 8 }));
});

Deno.test("attention() takes rows by position in a chunk of a prompt", () => {
  const mask = whole({ queries: 48, queryOffset: 0 });
  const problem = attentionProblem({ ...OPTIONS, blockMask: mask });
  if (problem.maskMods.length !== 1) throw new Error("no mask");
});
