/**
 * What runs is the first variant of a list that fits, and why not one before it
 * follows from the list.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { FUSED_VARIANTS } from "../../../../src/ops/attention/variants/list.ts";
import {
  HARDWARE_TILES,
  SOFTWARE_TILES,
  tilesOf,
} from "../../../../src/ops/attention/variants/tiles.ts";
import {
  type Candidate,
  chooseVariant,
  type Variant,
} from "../../../../src/ops/attention/variants/variant.ts";
import { property } from "../../../support/property.ts";
import { planDevice } from "../../../support/plan_device.ts";

const DEVICE = planDevice({ software: false, features: ["subgroups"] });
const ON = { tiles: HARDWARE_TILES, device: DEVICE };

function candidate(rows: number): Candidate {
  return { rows, headVecs: 16, valueVecs: 16, scoreMods: false };
}

/** A variant that takes up to `most` rows. */
function variant(
  name: string,
  most: number,
  features: readonly string[] = [],
): Variant {
  return {
    name,
    profile: features.length > 0 ? "subgroups" : "portable",
    features,
    misfit: ({ rows }) => rows <= most ? undefined : `${rows} are too many`,
    tile: () => {
      throw new Error("a choice needs no tile");
    },
  };
}

Deno.test("chooseVariant() takes the first that fits", () => {
  const list = [variant("few", 4), variant("some", 8), variant("any", 99)];
  const choose = (rows: number) => chooseVariant(list, candidate(rows), ON);
  assertEquals(choose(4), { variant: list[0], passedOver: [] });
  assertEquals(choose(8), {
    variant: list[1],
    passedOver: [{ variant: "few", why: "8 are too many" }],
  });
  assertEquals(choose(9), {
    variant: list[2],
    passedOver: [
      { variant: "few", why: "9 are too many" },
      { variant: "some", why: "9 are too many" },
    ],
  });
});

Deno.test("chooseVariant() says which feature the device lacks", () => {
  const list = [
    variant("matrix", 99, ["subgroups", "subgroup-matrix", "other"]),
    variant("subgroups", 4, ["subgroups"]),
    variant("any", 99),
  ];
  const lacking = {
    variant: "matrix",
    why: "the device lacks subgroup-matrix",
  };
  assertEquals(chooseVariant(list, candidate(4), ON), {
    variant: list[1],
    passedOver: [lacking],
  });
  assertEquals(chooseVariant(list, candidate(5), ON), {
    variant: list[2],
    passedOver: [lacking, { variant: "subgroups", why: "5 are too many" }],
  });
  const bare = { ...DEVICE, features: new Set<string>() };
  assertEquals(
    chooseVariant(list, candidate(4), { ...ON, device: bare }).passedOver,
    [
      { variant: "matrix", why: "the device lacks subgroups" },
      { variant: "subgroups", why: "the device lacks subgroups" },
    ],
  );
});

Deno.test("chooseVariant() throws where nothing fits", () => {
  assertThrows(
    () => chooseVariant([variant("few", 4)], candidate(5), ON),
    Error,
    "No variant takes 5 packed rows",
  );
  assertThrows(() => chooseVariant([], candidate(1), ON), Error, "No variant");
});

Deno.test("chooseVariant() asks a variant about the tiles that it gets", () => {
  const asked: unknown[] = [];
  const asking: Variant = {
    ...variant("asking", 1),
    misfit: (...given) => {
      asked.push(...given);
      return undefined;
    },
  };
  const tiles = tilesOf(DEVICE, { decode: { maxRows: 3 } });
  const one = candidate(7);
  chooseVariant([asking], one, { tiles, device: DEVICE });
  assertEquals(asked, [one, tiles]);
});

property(
  "chooseVariant(): whatever came before was passed over, in order",
  [
    fc.array(
      fc.record({
        most: fc.nat({ max: 20 }),
        features: fc.subarray(["subgroups", "lacking"]),
      }),
      { maxLength: 6 },
    ),
    fc.nat({ max: 20 }),
  ],
  (entries, rows) => {
    const list = [
      ...entries.map(({ most, features }, i) =>
        variant(`v${i}`, most, features)
      ),
      variant("last", Infinity),
    ];
    const fits = ({ most, features }: typeof entries[number]) =>
      rows <= most && !features.includes("lacking");
    const first = entries.findIndex(fits);
    const expected = first < 0 ? entries.length : first;
    const { variant: chosen, passedOver } = chooseVariant(
      list,
      candidate(rows),
      ON,
    );
    assertEquals(chosen, list[expected]);
    assertEquals(
      passedOver.map(({ variant }) => variant),
      list.slice(0, expected).map(({ name }) => name),
    );
    assert(passedOver.every(({ why }) => why.length > 0));
  },
);

Deno.test("FUSED_VARIANTS take every candidate, few rows by decode", () => {
  for (const tiles of [SOFTWARE_TILES, HARDWARE_TILES]) {
    const { maxRows } = tiles.decode;
    const choose = (rows: number) =>
      chooseVariant(FUSED_VARIANTS, candidate(rows), { tiles, device: DEVICE });
    assertEquals(choose(1).variant.name, "decode");
    assertEquals(choose(maxRows).variant.name, "decode");
    assertEquals(choose(maxRows + 1).variant.name, "forward");
    assertEquals(choose(2 ** 31).variant.name, "forward");
    assertEquals(choose(maxRows + 1).passedOver, [{
      variant: "decode",
      why: `it takes up to ${maxRows} packed query rows, here are ${
        maxRows + 1
      }`,
    }]);
  }
});

Deno.test("FUSED_VARIANTS are told apart by name, the last one needs nothing", () => {
  const names = FUSED_VARIANTS.map(({ name }) => name);
  assertEquals(new Set(names).size, names.length);
  assertEquals(FUSED_VARIANTS.at(-1)!.features, []);
  assertEquals(FUSED_VARIANTS.at(-1)!.profile, "portable");
});
