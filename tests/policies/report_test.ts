import fc from "fast-check";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { keptPairs } from "../../src/policies/kept_pairs.ts";
import {
  type AttentionPolicy,
  longlora,
  policyReport,
} from "../../src/policies/mod.ts";
import {
  type BlockGeometry,
  blockMaskFromPattern,
  booleanMask,
  maskFunction,
  maskMod,
  slidingWindow,
} from "../../src/mods/mod.ts";
import { DeviceBlockMask } from "../../src/ops/mod.ts";
import { gpuTest } from "../support/gpu.ts";
import { property } from "../support/property.ts";
import { maskCases } from "../mods/masks_arbitrary.ts";

/** A mask of heads and sequences of their own, which blocks do not divide. */
const patterned = maskMod(
  "patterned",
  ({ batch, head, query, key }) =>
    query.div(5).add(key.div(3)).add(head).add(batch).rem(3).ne(0),
);

const sequences = fc.array(
  fc.record({
    queryCount: fc.nat(40),
    keyCount: fc.nat(60),
    queryOffset: fc.integer({ min: -20, max: 50 }),
  }),
  { minLength: 1, maxLength: 2 },
);

property(
  "keptPairs() counts what masks keep, pair by pair",
  [maskCases, fc.boolean(), sequences, fc.constantFrom([1, 1], [4, 2], [3, 1])],
  ({ mask }, more, sequences, [queryHeads, kvHeads]) => {
    const masks = more ? [mask, patterned] : [mask];
    const sees = maskFunction(masks);
    const expected = { pairs: 0, rows: 0, keys: 0 };
    sequences.forEach(({ queryCount, keyCount, queryOffset }, batch) => {
      const keys = new Set<string>();
      for (let head = 0; head < queryHeads; head++) {
        const kvHead = Math.floor(head / (queryHeads / kvHeads));
        for (let row = 0; row < queryCount; row++) {
          const before = expected.pairs;
          for (let key = 0; key < keyCount; key++) {
            if (!sees(batch, head, row + queryOffset, key)) continue;
            expected.pairs++;
            keys.add(`${kvHead} ${key}`);
          }
          if (expected.pairs > before) expected.rows++;
        }
      }
      expected.keys += keys.size;
    });
    assertEquals(
      keptPairs(masks, { sequences, queryHeads, kvHeads }),
      expected,
    );
  },
  { runs: 60 },
);

const ROWS = { dtype: "f16", shape: [2, 64, 4, 16] } as const;
const KEYS = { dtype: "f16", shape: [2, 64, 2, 16] } as const;
const VALUES = { dtype: "f16", shape: [2, 64, 2, 8] } as const;
const CALL = { query: ROWS, key: KEYS, value: VALUES, causal: true };

/** A policy of these masks. */
const keeping = (
  ...maskMods: ReturnType<typeof maskMod>[]
): AttentionPolicy => ({
  name: "test",
  select: () => ({ maskMods }),
});

Deno.test("policyReport() counts beside what the call's other masks leave", () => {
  const last = maskMod("last 24", ({ key }) => key.ge(40));
  const report = policyReport(keeping(last), CALL);
  const [kept, all] = [24 * 25 / 2, 64 * 65 / 2];
  const bytes = 2 * 2 * (16 + 8) * 2; // sequences, kv heads, elements, f16
  assertEquals({ ...report, draw: undefined }, {
    name: "test",
    pairs: 8 * kept,
    densePairs: 8 * all,
    density: kept / all,
    emptyRows: 8 * 40,
    keyBytes: 24 * bytes,
    denseKeyBytes: 64 * bytes,
    draw: undefined,
  });
  assertEquals(
    report.draw({ tileQueries: 8 }).text.split("\n").slice(4, 7),
    ["········", "·····▒··", "·····█▒·"],
  );
  assert(report.draw().svg.includes("<svg"));
});

Deno.test("policyReport() of a call without pairs keeps all of them", () => {
  const none = { dtype: "f32", shape: [1, 0, 2, 4] } as const;
  const { pairs, density, emptyRows } = policyReport(keeping(), {
    query: none,
    key: none,
    value: none,
  });
  assertEquals([pairs, density, emptyRows], [0, 1, 0]);
});

Deno.test("policyReport() does not look at pairs that the masks decide", () => {
  // 2^32 pairs a head, which are not looked at.
  const rows = { dtype: "f32", shape: [1, 2 ** 16, 2, 16] } as const;
  const { pairs } = policyReport(longlora({ groupSize: 2 ** 13 }), {
    query: rows,
    key: rows,
    value: rows,
    causal: true,
    window: { left: 0 },
  });
  assertEquals(pairs, 2 ** 17);
});

gpuTest("policyReport() of what the device selected", async (_, gpu) => {
  const geometry = { queries: 64, keys: 64, queryBlock: 16 };
  using mask = await DeviceBlockMask.create(gpu, geometry, { threshold: 0.5 });
  using scores = gpu.tensor(
    Float32Array.from({ length: 16 }, (_, i) => i % 5 === 0 ? 1 : 0),
    [1, 1, 4, 4],
  );
  gpu.submit("select", (encoder) => mask.encode(encoder, scores));
  const policy: AttentionPolicy = {
    name: "diagonal",
    select: () => ({ blocks: { mask, encode: () => {} } }),
  };
  const selected = await mask.read();
  const { pairs, emptyRows } = policyReport(policy, CALL, { selected });
  assertEquals([pairs, emptyRows], [8 * 4 * 16 * 17 / 2, 0]);
  assertThrows(
    () => policyReport(policy, CALL),
    TypeError,
    "selected must be given for diagonal, which selects on the device",
  );
});

gpuTest(
  "policyReport() refuses what was selected for another call",
  async (_, gpu) => {
    const geometry = { queries: 64, keys: 64, queryBlock: 16 };
    using mask = await DeviceBlockMask.create(gpu, geometry, { threshold: 0 });
    const policy: AttentionPolicy = {
      name: "test",
      select: () => ({ blocks: { mask, encode: () => {} } }),
    };
    const report = (other: Partial<BlockGeometry>, by = policy) =>
      policyReport(by, CALL, {
        selected: blockMaskFromPattern(() => true, { ...geometry, ...other }),
      });
    assertEquals(report({}).density, 1);
    for (
      const [other, message] of [
        [{ keys: 48 }, "selected keys must be >= those of attention() (64)"],
        [{ keys: 80 }, "selected keys must be that of what the device selects"],
        [{ queries: 48 }, "selected queries must be >= those of attention()"],
        [{ heads: 3 }, "selected heads must be 1, or a divisor of the query"],
        [{ heads: 2 }, "selected heads must be that of what the device"],
        [{ batch: 3 }, "selected batch must be 1, or the number of sequences"],
        [{ queryBlock: 32 }, "selected queryBlock must be that of what the"],
        [{ keyBlock: 8 }, "selected keyBlock must be that of what the device"],
      ] as const
    ) {
      assertThrows(() => report(other), TypeError, message);
    }
    assertThrows(() => report({ keys: 48 }, keeping()), TypeError, "selected");
  },
);

gpuTest(
  "policyReport() counts a call's own blocks on the device with and without the policy",
  async (_, gpu) => {
    const geometry = { queries: 64, keys: 64, queryBlock: 16 };
    using blockMask = await DeviceBlockMask.create(gpu, geometry);
    const half = maskMod("half", ({ key }) => key.rem(2).eq(0));
    const first = (_: number, _query: number, key: number) => key === 0;
    const selected = blockMaskFromPattern(first, geometry);
    const call = { ...CALL, blockMask };
    const { pairs, densePairs } = policyReport(keeping(half), call, {
      selected,
    });
    const all = 8 * (16 * 17 / 2 + 48 * 16);
    assertEquals([pairs, densePairs], [8 * (72 + 48 * 8), all]);
  },
);

gpuTest("policyReport() refuses what it cannot count", (_, gpu) => {
  using bias = gpu.empty("u32", [64, 64]);
  const cases = [
    [
      () => policyReport(keeping(), { ...CALL, attnMask: bias }),
      TypeError,
      "attnMask",
    ],
    [
      () =>
        policyReport(keeping(), CALL, {
          selected: slidingWindow({ left: 1 }) as never,
        }),
      TypeError,
      "selected must be a BlockMask: what test selected, read",
    ],
    [
      () => policyReport(keeping(), CALL, { block: 64 } as never),
      TypeError,
      "policyReport()",
    ],
    [
      () => policyReport(undefined as never, CALL),
      TypeError,
      "policy must be a policy",
    ],
    [
      () =>
        policyReport(
          keeping(),
          { ...CALL, select: keeping() } as typeof CALL,
        ),
      TypeError,
      "select must be left out of the call",
    ],
    [
      () =>
        policyReport(
          longlora({ groupSize: 4 }),
          { ...CALL, causal: 1 } as never,
        ),
      TypeError,
      "causal must be a boolean",
    ],
  ] as const;
  for (const [fault, type, message] of cases) {
    assertThrows(fault, type, message);
  }
});

Deno.test("policyReport() binds what was selected to the call's rows", () => {
  // Rows go by queries, whose positions begin at 32.
  const kept = (_: number, query: number, key: number) =>
    query === 0 ? key < 2 : key === 3;
  const selected = blockMaskFromPattern(kept, {
    queries: 32,
    keys: 64,
    queryBlock: 16,
    keyBlock: 16,
  });
  const few = { dtype: "f16", shape: [2, 32, 4, 16] } as const;
  const seen = booleanMask(
    Uint8Array.from(
      { length: 32 * 64 },
      (_, i) => Math.floor(i / 64) === 3 ? 1 : 0,
    ),
    [32, 64],
  );
  const { pairs } = policyReport(keeping(seen), { ...CALL, query: few }, {
    selected,
  });
  assertEquals(pairs, 8 * 32);
});
