import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  decide,
  indistinguishable,
  setPair,
  slotsNeeded,
} from "../../../repro/recall/disjointness.ts";
import { property } from "../../support/property.ts";

const sizes = fc.record({
  former: fc.nat(8),
  latter: fc.nat(8),
  universe: fc.constant(20),
  seed: fc.nat(),
});

property(
  "decide() decides if, and only if, the store has slotsNeeded()",
  [sizes, fc.nat(10), fc.constantFrom(1, 2, 3)],
  (size, slots, readings) => {
    const sets = setPair(size);
    assertEquals(sets.former.length, size.former);
    assertEquals(sets.latter.length, size.latter);
    const verdict = decide(sets, { slots, readings });
    const enough = slots >= slotsNeeded(size, readings);
    assertEquals(verdict !== "unknown", enough);
    if (!enough) return;
    const common = sets.former.some((x) => sets.latter.includes(x));
    assertEquals(verdict, common ? "common" : "disjoint");
  },
);

property(
  "indistinguishable() sets differ in what a store has forgotten",
  [
    sizes.filter(({ former, latter }) => former > 0 && latter > 0),
    fc.nat(),
    fc.nat(),
  ],
  (size, pick, drop) => {
    const sets = setPair(size);
    const forgotten = sets.former[pick % size.former];
    const store = sets.former.filter((x) => x !== forgotten)
      .filter((_, i) => i !== drop);
    const [common, disjoint] = indistinguishable(sets, {
      forgotten,
      fresh: 99,
    });
    const seen = ({ latter }: typeof common) =>
      latter.map((x) => store.includes(x));
    assertEquals(seen(common), seen(disjoint));
    const [a, b] = [common, disjoint].map((pair) =>
      decide(pair, { slots: size.former, readings: 1 })
    );
    assertEquals([a, b], ["common", "disjoint"]);
  },
);

Deno.test("setPair() has some with an element in common, and some without", () => {
  const common = Array.from({ length: 40 }, (_, seed) => {
    const { former, latter } = setPair({
      former: 3,
      latter: 3,
      universe: 20,
      seed,
    });
    return former.some((x) => latter.includes(x));
  });
  assert(common.includes(true) && common.includes(false));
});
