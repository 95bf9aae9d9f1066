import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { causal, drawMask, maskFunction } from "../../../src/mods/mod.ts";
import { attentionProblem } from "../../../src/ops/mod.ts";
import { SOFTWARE_BACKWARD_TILES } from "../../../src/ops/attention_backward/tiles.ts";
import { backwardParts } from "../../../src/ops/attention_backward/parts.ts";
import { longlora, type LongLoraOptions } from "../../../src/policies/mod.ts";
import { planDevice } from "../../support/plan_device.ts";
import { property } from "../../support/property.ts";
import { groupedCalls, keptOf, meaningOf, problemOf } from "./groups.ts";

const VARIANTS = ["flash", "wrap"] as const;

for (const variant of VARIANTS) {
  property(
    `longlora() in its "${variant}" variant keeps what the authors' code keeps`,
    [groupedCalls],
    ({ heads, groups, groupSize }) => {
      const lengths = groups.map((count) => count * groupSize);
      const options = { groupSize, variant };
      const kept = keptOf(options, { heads, lengths });
      const groupSizes = lengths.map(() => groupSize);
      const meant = meaningOf({ heads, lengths, groupSizes, variant });
      const policy = longlora(options);
      lengths.forEach((tokens, batch) => {
        for (let head = 0; head < heads; head++) {
          let later = 0;
          for (let query = 0; query < tokens; query++) {
            for (let key = 0; key < tokens; key++) {
              const at = [batch, head, query, key] as const;
              assertEquals(kept(...at), meant(...at), at.join());
              if (kept(...at) && key > query) later++;
            }
          }
          const shifted = head >= heads / 2 && tokens > 0;
          assertEquals(later, shifted ? policy.antiCausalPairs(tokens) : 0);
        }
      });
    },
    { runs: 60 },
  );
}

property(
  "longlora() groups each sequence of a batch by its own length",
  [fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 4 })],
  (lengths) => {
    const heads = 2;
    for (const groupRatio of [undefined, 1 / 3, 1]) {
      const groupSizes = lengths.map((length) =>
        Math.max(1, Math.floor(length * (groupRatio ?? 0.25)))
      );
      const policy = longlora({ groupRatio });
      assertEquals(lengths.map((n) => policy.groupSizeOf(n)), groupSizes);
      const kept = keptOf({ groupRatio }, { heads, lengths });
      const meant = meaningOf({ heads, lengths, groupSizes, variant: "flash" });
      lengths.forEach((tokens, batch) => {
        for (let at = 0; at < heads * tokens * tokens; at++) {
          const key = at % tokens;
          const query = Math.floor(at / tokens) % tokens;
          const head = Math.floor(at / tokens / tokens);
          const pair = [batch, head, query, key] as const;
          assertEquals(kept(...pair), meant(...pair), pair.join());
        }
      });
    }
  },
  { runs: 40 },
);

Deno.test("longlora() wraps: the first of 64 tokens sees a key of the last group", () => {
  const call = { heads: 2, lengths: [64] };
  const wrapped = keptOf({ groupSize: 16, variant: "wrap" }, call);
  assertEquals(wrapped(0, 1, 0, 56), true);
  assertEquals(wrapped(0, 1, 0, 55), false);
  assertEquals(wrapped(0, 1, 7, 63), true);
  assertEquals(wrapped(0, 1, 8, 63), false);
  assertEquals(wrapped(0, 0, 0, 56), false);
  assertEquals(keptOf({ groupSize: 16 }, call)(0, 1, 0, 56), false);
  assertEquals(
    longlora({ groupSize: 16, variant: "wrap" }).antiCausalPairs(64),
    64,
  );
  assertEquals(longlora({ groupSize: 16 }).antiCausalPairs(64), 0);
});

Deno.test("longlora() of one group is causal attention where it is not shifted", () => {
  const call = { heads: 2, lengths: [12] };
  for (const options of [{ groupSize: 12 }, { groupSize: 13 }]) {
    const kept = keptOf(options, call);
    for (let at = 0; at < 144; at++) {
      const [query, key] = [Math.floor(at / 12), at % 12];
      assertEquals(kept(0, 0, query, key), key <= query);
    }
    assertEquals(kept(0, 1, 11, 0), false);
  }
  const none = keptOf({ groupSize: 4, shiftedHeads: "none" }, {
    heads: 3,
    lengths: [12],
  });
  assertEquals([none(0, 2, 4, 3), none(0, 2, 5, 4)], [false, true]);
});

Deno.test("longlora() means positions: later queries stand in their own group", () => {
  const rows = (length: number) =>
    ({ dtype: "f32", shape: [1, length, 2, 8] }) as const;
  const { text } = drawMask(
    attentionProblem({
      query: rows(3),
      key: rows(10),
      value: rows(10),
      select: longlora({ groupSize: 4 }),
    }),
    { tileQueries: 1, tileKeys: 1, head: 1 },
  );
  assertEquals(text.trim().split("\n"), [
    "······██··",
    "······███·",
    "······████",
  ]);
});

Deno.test("longlora() refuses rows whose own group has no key", () => {
  const call = (
    options: LongLoraOptions,
    [queries, keys, queryOffset]: readonly [number, number, number],
  ) => {
    const rows = (...shape: number[]) => ({ dtype: "f32", shape }) as const;
    const { maskMods } = attentionProblem({
      query: rows(1, queries, 2, 8),
      key: rows(1, keys, 2, 8),
      value: rows(1, keys, 2, 8),
      queryOffset,
      select: longlora(options),
    });
    const sees = maskFunction(maskMods);
    for (let at = 0; at < 2 * queries; at++) {
      const query = queryOffset + (at >> 1);
      let kept = 0;
      for (let key = 0; key < keys; key++) {
        kept += Number(sees(0, at % 2, query, key));
      }
      assert(kept > 0 || keys === 0 || query < 0, `${query}: ${kept}`);
    }
  };
  const refused = (
    ...[options, [queries, keys, offset]]: Parameters<typeof call>
  ) =>
    assertThrows(
      () => call(options, [queries, keys, offset]),
      RangeError,
      `queryOffset of sequence 0 must leave each query a key in its own group of ${options.groupSize} for select (longlora), whose rows may have no other: there are ${keys} keys and ${queries} queries: current value is ${offset}`,
    );
  // Groups begin at 8 and 12; shifted ones of 4 at 10, of 5 at 7 and 12.
  for (const shiftedHeads of ["none", "second-half"] as const) {
    call({ groupSize: 4, shiftedHeads }, [2, 9, 8]);
    refused({ groupSize: 4, shiftedHeads }, [2, 8, 7]);
    refused({ groupSize: 4, shiftedHeads }, [4, 12, 9]);
    call({ groupSize: 4, shiftedHeads }, [0, 12, 99]);
    call({ groupSize: 4, shiftedHeads }, [4, 0, 99]);
    call({ groupSize: 4, shiftedHeads }, [4, 1, -4]);
  }
  call({ groupSize: 4, shiftedHeads: "none" }, [3, 9, 9]);
  refused({ groupSize: 4 }, [3, 9, 9]);
  call({ groupSize: 4 }, [2, 11, 10]);
  call({ groupSize: 5 }, [1, 11, 11]);
  refused({ groupSize: 5 }, [2, 11, 11]);
});

/** 64 rows x 16 keys for dQ, 64 keys x 16 rows for dK and dV. */
const ALIGNED = {
  ...SOFTWARE_BACKWARD_TILES,
  lanes: 64,
  rowsPerLane: 1,
  keys: 16,
  keysPerLane: 1,
  rows: 16,
};

Deno.test("longlora() visits the tiles of its groups and no other", () => {
  const groupSize = 256;
  const tokens = 1024;
  const tile = 32;
  const problem = problemOf({ groupSize }, { heads: 2, lengths: [tokens] });
  const countOf = (head: number) =>
    drawMask(problem, { head, tileQueries: tile, tileKeys: tile }).tiles;
  // A triangle of tiles for each group, its diagonal mixed.
  const triangle = (size: number) => {
    const n = size / tile;
    return { full: n * (n - 1) / 2, mixed: n };
  };
  const [whole, half] = [triangle(groupSize), triangle(groupSize / 2)];
  const total = (tokens / tile) ** 2;
  assertEquals(countOf(0), {
    full: 4 * whole.full,
    mixed: 4 * whole.mixed,
    empty: total - 4 * (whole.full + whole.mixed),
  });
  const shifted = {
    full: 3 * whole.full + 2 * half.full,
    mixed: 3 * whole.mixed + 2 * half.mixed,
  };
  assertEquals(countOf(1), {
    ...shifted,
    empty: total - shifted.full - shifted.mixed,
  });
  const wrapped = drawMask(
    problemOf({ groupSize, variant: "wrap" }, { heads: 2, lengths: [tokens] }),
    { head: 1, tileQueries: tile, tileKeys: tile },
  ).tiles;
  assertEquals(wrapped.full, shifted.full + (groupSize / 2 / tile) ** 2);
  assertEquals(wrapped.mixed, shifted.mixed);
  const { explanation } = backwardParts(
    { problem: { ...problem, lse: true }, lseGradient: false },
    planDevice({ workgroupBytes: 32768 }),
    { tiles: ALIGNED },
  );
  // A triangle in tiles of 64 x 16: 4, 8, 12, ... of them, 4 on the diagonal.
  const tiles = (size: number) => {
    const n = size / 64;
    return { visited: 2 * n * (n + 1), full: 2 * n * (n - 1) };
  };
  const [long, short] = [tiles(groupSize), tiles(groupSize / 2)];
  const { query, keyValue } = explanation.kernels;
  assertEquals(keyValue.tileCounts, {
    total: 2 * tokens / 64 * tokens / 16,
    visited: (4 + 3) * long.visited + 2 * short.visited,
    full: (4 + 3) * long.full + 2 * short.full,
  });
  assertEquals(query.tileCounts.visited, keyValue.tileCounts.visited);
});

Deno.test("longlora() refuses what it cannot mean, by name", () => {
  const call = { heads: 2, lengths: [8] };
  const bad: [object, typeof TypeError | typeof RangeError, string][] = [
    [{ groupSizeRatio: 0.5 }, TypeError, "write groupRatio"],
    [{ groupSize: 4, groupRatio: 0.5 }, TypeError, "groupRatio"],
    [{ groupSize: 0 }, RangeError, "groupSize"],
    [{ groupSize: 2.5 }, RangeError, "groupSize"],
    [{ groupSize: "4" }, TypeError, "groupSize"],
    [{ groupSize: 2 ** 30 + 1 }, RangeError, "groupSize"],
    [{ groupRatio: 0 }, RangeError, "groupRatio"],
    [{ groupRatio: 1.01 }, RangeError, "groupRatio"],
    [{ groupRatio: NaN }, RangeError, "groupRatio"],
    [{ variant: "roll" }, TypeError, "variant"],
    [{ shiftedHeads: "first-half" }, TypeError, "shiftedHeads"],
  ];
  for (const [options, kind, message] of bad) {
    assertThrows(() => longlora(options as LongLoraOptions), kind, message);
  }
  assertThrows(
    () => problemOf({ groupSize: 4 }, { heads: 3, lengths: [8] }),
    RangeError,
    "queryHeads must be even for longlora",
  );
  assertThrows(
    () => problemOf({ groupSize: 3, variant: "wrap" }, call),
    RangeError,
    "keys of sequence 0 must be a multiple of the group size (3)",
  );
  problemOf({ groupSize: 3 }, call);
  problemOf({ groupSize: 3, variant: "wrap", shiftedHeads: "none" }, call);
});

Deno.test("longlora() that wraps is refused where its pairs would be lost", () => {
  const rows = (length: number) =>
    ({ dtype: "f32", shape: [1, length, 2, 8] }) as const;
  const select = longlora({ groupSize: 4, variant: "wrap" });
  const call = (queries: number, more: object) =>
    attentionProblem({
      query: rows(queries),
      key: rows(8),
      value: rows(8),
      select,
      ...more,
    });
  call(8, {});
  call(8, { causal: false });
  assertThrows(
    () => call(8, { causal: true }),
    TypeError,
    'causal must not be given beside longlora with variant: "wrap"',
  );
  assertThrows(
    () => call(8, { window: { right: 0 } }),
    TypeError,
    'window must not be given beside longlora with variant: "wrap"',
  );
  for (const [queries, queryOffset] of [[4, 4], [4, 0], [8, 1]]) {
    assertThrows(
      () => call(queries, { queryOffset }),
      RangeError,
      "sequence 0 must have a query for each key",
    );
  }
  // The other variant is causal by itself.
  const flash = (more: object) =>
    call(8, { select: longlora({ groupSize: 4 }), ...more }).maskMods;
  assertEquals(flash({ causal: true }).length, flash({}).length + 1);
  assert(flash({ causal: true })[0].name === causal().name);
});
