import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { fittedExponent } from "../../../repro/fit.ts";
import { flex } from "../../../repro/paging/flex.ts";
import {
  countFlex,
  memoryCurve,
  slotsAt,
} from "../../../repro/paging/flex_counts.ts";
import { grownCapacity } from "../../../src/cache/mod.ts";

Deno.test("fittedExponent() finds the exponent of a power law", () => {
  const points = [1, 2, 5, 40].map((x) => [x, 3 * x ** 1.5] as const);
  assertAlmostEquals(fittedExponent(points), 1.5);
});

Deno.test("work of a token is what the causal mask lets through", () => {
  const contexts = [1, 15, 16, 17, 40, 100];
  for (const { context, pairs, tiles } of countFlex(contexts).work) {
    let seen = 0;
    const visited = new Set<string>();
    for (let query = 0; query < context; query++) {
      for (let key = 0; key <= query; key++) {
        seen++;
        visited.add(`${query >> 4},${key >> 4}`);
      }
    }
    assertEquals(pairs, { cached: context, uncached: seen });
    assertEquals(tiles, {
      cached: Math.ceil(context / 16),
      uncached: visited.size,
    });
  }
});

for (const policy of ["page", "powerOfTwo", "max"] as const) {
  Deno.test(`memory of a sequence steps by growth ${policy}`, () => {
    for (const blockSize of [16, 128]) {
      const curve = memoryCurve({ policy, blockSize });
      for (let length = 0; length <= 2048; length++) {
        assertEquals(
          slotsAt(curve, length),
          grownCapacity(length, { policy, blockSize, maxLength: 2048 }),
        );
      }
    }
  });
}

Deno.test("flex shows what it claims", () => {
  const { checks } = flex.count();
  assert(checks.length > 0);
  for (const { claim, holds } of checks) assert(holds, claim);
});
