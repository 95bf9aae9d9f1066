import fc from "fast-check";
import { assertEquals, assertThrows } from "@std/assert";
import { type HostRows, Packing } from "../../../src/ops/mod.ts";
import { Prng } from "../../../src/core/prng.ts";
import { property } from "../../support/property.ts";

/** A batch by a mask that may have holes, or by lengths. */
const batches = fc.record({
  batch: fc.nat(5),
  length: fc.nat(9),
  seed: fc.nat(),
  by: fc.constantFrom("mask", "left", "right"),
  row: fc.constantFrom<number[]>([], [1], [3], [2, 2], [0]),
}).map(({ batch, length, seed, by, row }) => {
  const random = new Prng(seed);
  const kept = Array.from({ length: batch }, () => {
    const mask = Array.from({ length }, () => random.below(2) === 1);
    const count = random.below(length + 1);
    if (by === "left") return mask.map((_, i) => i >= length - count);
    return by === "right" ? mask.map((_, i) => i < count) : mask;
  });
  const packing = by === "mask"
    ? new Packing({ mask: kept.flat(), shape: [batch, length] })
    : new Packing({
      lengths: kept.map((row) => row.filter(Boolean).length),
      length,
      padding: by,
    });
  const width = row.reduce((a, b) => a * b, 1);
  return { kept, packing, row, width, random };
});

type Batch = typeof batches extends fc.Arbitrary<infer T> ? T : never;

function integers(random: Prng, size: number): Int32Array {
  return Int32Array.from({ length: size }, () => random.below(100) - 50);
}

function dot(a: HostRows<Int32Array>, b: HostRows<Int32Array>): number {
  return a.data.reduce((sum, value, i) => sum + value * b.data[i], 0);
}

function both({ kept, packing, row, width, random }: Batch) {
  const shape = [kept.length, packing.length, ...row];
  const rows = kept.length * packing.length;
  const padded = { data: integers(random, rows * width), shape };
  const packed = {
    data: integers(random, packing.tokens * width),
    shape: [packing.tokens, ...row],
  };
  return { padded, packed };
}

property("Packing keeps the tokens in order", [batches], (batch) => {
  const { kept, packing, row, width } = batch;
  const { padded } = both(batch);
  const expected = kept.flatMap((mask, b) =>
    mask.flatMap((token, i) => {
      const at = (b * packing.length + i) * width;
      return token ? [...padded.data.slice(at, at + width)] : [];
    })
  );
  const packed = packing.pack(padded);
  assertEquals([...packed.data], expected);
  assertEquals(packed.shape, [packing.tokens, ...row]);
  const lengths = kept.map((mask) => mask.filter(Boolean).length);
  assertEquals([...packing.lengths], lengths);
  assertEquals(packing.maxLength, Math.max(0, ...lengths));
  assertEquals(packing.cuSeqlens.length, kept.length + 1);
  assertEquals(packing.cuSeqlens.at(-1), packing.tokens);
});

property(
  "Packing.unpack() undoes pack(), and pads with 0",
  [batches],
  (batch) => {
    const { kept, packing, width } = batch;
    const { padded, packed } = both(batch);
    assertEquals(packing.pack(packing.unpack(packed)), packed);
    const again = packing.unpack(packing.pack(padded));
    assertEquals(again.shape, padded.shape);
    kept.flat().forEach((token, row) => {
      const [start, end] = [row * width, (row + 1) * width];
      assertEquals(
        [...again.data.slice(start, end)],
        token ? [...padded.data.slice(start, end)] : Array(width).fill(0),
      );
    });
  },
);

property(
  "Packing's two ways are each other's transpose",
  [batches],
  (batch) => {
    const { packing } = batch;
    const { padded, packed } = both(batch);
    assertEquals(
      dot(packing.pack(padded), packed),
      dot(padded, packing.unpack(packed)),
    );
  },
);

property(
  "Packing does not look at what the padding holds",
  [batches],
  (batch) => {
    const { kept, packing, width } = batch;
    const { padded } = both(batch);
    const poisoned = padded.data.slice();
    kept.flat().forEach((token, row) => {
      if (!token) poisoned.fill(99, row * width, (row + 1) * width);
    });
    assertEquals(
      packing.pack({ ...padded, data: poisoned }),
      packing.pack(padded),
    );
  },
);

Deno.test("Packing keeps the class of an array, and takes bigints", () => {
  const packing = new Packing({ lengths: [1n, 2n], length: 2 });
  for (
    const data of [
      Float32Array.of(1, NaN, 3, 4),
      Uint32Array.of(1, 9, 3, 4),
      Uint8Array.of(1, 9, 3, 4),
    ]
  ) {
    const packed = packing.pack({ data, shape: [2, 2] });
    assertEquals(packed.data.constructor, data.constructor);
    assertEquals([...packed.data], [1, 3, 4]);
  }
});

Deno.test("Packing takes anything but 0 and false for a token", () => {
  const shape = [1, 3];
  for (
    const mask of [Uint8Array.of(7, 0, 1), [-1, 0, 0.5], [true, false, true]]
  ) {
    assertEquals([...new Packing({ mask, shape }).indices], [0, 2]);
  }
});

Deno.test("Packing refuses what is no batch", () => {
  // deno-lint-ignore no-explicit-any
  const wrong = (value: unknown): any => value;
  const packing = new Packing({ lengths: [1, 2], length: 2 });
  const data = new Float32Array(4);
  const cases: [() => unknown, typeof Error, string][] = [
    [
      () => new Packing({ lengths: [3], length: 2 }),
      RangeError,
      "lengths[0] must be an integer in 0..2: current value is 3",
    ],
    [() => new Packing({ lengths: [-1], length: 2 }), RangeError, "lengths[0]"],
    [
      () => new Packing({ lengths: [1.5], length: 2 }),
      RangeError,
      "lengths[0]",
    ],
    [
      () => new Packing({ lengths: [1] }),
      TypeError,
      "length must be an integer",
    ],
    [
      () => new Packing({ lengths: wrong("1"), length: 2 }),
      TypeError,
      "lengths must be an array of integers",
    ],
    [
      () => new Packing({ lengths: [1], length: 2, padding: wrong("both") }),
      TypeError,
      "padding",
    ],
    [() => new Packing({}), TypeError, "either lengths or mask"],
    [
      () => new Packing({ lengths: [1], length: 1, mask: [1] }),
      TypeError,
      "either lengths or mask",
    ],
    [
      () => new Packing({ lengths: [1], length: 1, shape: [1, 1] }),
      TypeError,
      "shape must be given with mask",
    ],
    [
      () => new Packing({ mask: [1, 0], shape: [2, 2] }),
      TypeError,
      "mask.length must be 4",
    ],
    [
      () => new Packing({ mask: [1, 0] }),
      TypeError,
      "shape must be [batch, length]",
    ],
    [
      () => new Packing({ mask: [1], shape: [1, 1], length: 1 }),
      TypeError,
      "length must not be given with mask",
    ],
    [
      () => new Packing({ mask: wrong(["1"]), shape: [1, 1] }),
      TypeError,
      "mask[0] must be a number or a boolean",
    ],
    [
      () => new Packing({ mask: wrong(1), shape: [1, 1] }),
      TypeError,
      "mask must be",
    ],
    [
      () => new Packing(wrong({ seqlens: [1], length: 1 })),
      TypeError,
      "write lengths, with length",
    ],
    [
      () => packing.pack({ data, shape: [4] }),
      TypeError,
      "padded.shape must be [2, 2, ...]",
    ],
    [() => packing.pack({ data, shape: [2, 3] }), TypeError, "padded.shape"],
    [
      () => packing.pack({ data, shape: [2, 2, 2] }),
      TypeError,
      "padded.data.length must be 8",
    ],
    [
      () => packing.pack({ data: wrong([1, 2, 3, 4]), shape: [2, 2] }),
      TypeError,
      "padded.data must be",
    ],
    [() => packing.pack(wrong(undefined)), TypeError, "padded.shape"],
    [
      () => packing.unpack({ data, shape: [4] }),
      TypeError,
      "packed.shape must be [3, ...]",
    ],
    [
      () => packing.unpack({ data, shape: [3, 2] }),
      TypeError,
      "packed.data.length must be 6",
    ],
  ];
  for (const [make, kind, message] of cases) assertThrows(make, kind, message);
});
