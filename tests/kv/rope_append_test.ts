import { assert, assertEquals, assertThrows } from "@std/assert";
import { KvCache, rotaryTable } from "../../mod.ts";
import { rope, type RopePairing } from "../../reference/mod.ts";
import { gpuTest } from "../support/gpu.ts";
import { randomRows, readCache, uploadRows } from "./cache_image.ts";

const POSITIONS = 5000;

/** Rotating a float32 pair: two products, a sum and two rounded factors. */
const ULPS = 4;

interface Case {
  readonly pairing: RopePairing;
  readonly headDim: number;
  readonly dim: number;
  readonly dtype?: "f32" | "f16";
}

const CASES: readonly Case[] = [
  { pairing: "half-split", headDim: 16, dim: 16 },
  { pairing: "half-split", headDim: 20, dim: 12 },
  { pairing: "interleaved", headDim: 16, dim: 16 },
  { pairing: "interleaved", headDim: 7, dim: 6 },
  { pairing: "half-split", headDim: 8, dim: 8, dtype: "f16" },
];

for (const { pairing, headDim, dim, dtype = "f32" } of CASES) {
  gpuTest(
    `KvCache.append() rotates keys: ${pairing}, ${dim} of ${headDim}, ${dtype}`,
    async (_, gpu) => {
      using cache = await KvCache.create(gpu, {
        numBlocks: 6,
        blockSize: 5,
        kvHeads: 2,
        headDim,
        dtype,
        rope: { pairing, dim },
      });
      const positions = Uint32Array.from([0, 1, 2, 77, 4096, 4999, 3]);
      const rows = randomRows(cache, positions.length, dim);
      using uploaded = uploadRows(gpu, cache, rows);
      using table = gpu.tensor(
        rotaryTable({ positions: POSITIONS, dim }),
        [POSITIONS, dim / 2, 2],
      );
      using at = gpu.tensor(positions, [positions.length]);
      const sequence = cache.createSequence();
      cache.append([{ sequence, count: positions.length }], {
        key: uploaded.key,
        value: uploaded.value,
        rotation: { positions: at, table },
      });
      const [image] = await readCache(gpu, cache);
      const ulp = dtype === "f16" ? 2 ** -11 : 2 ** -24;
      positions.forEach((position, token) => {
        const found = image.slot(sequence.slot(token));
        for (let head = 0; head < 2; head++) {
          const from = (token * 2 + head) * headDim;
          const row = rows.key.slice(from, from + headDim);
          const wanted = rope(row, { position, dim, pairing });
          const scale = Math.max(...row.map(Math.abs));
          wanted.forEach((value, i) => {
            const error = Math.abs(found[head * headDim + i] - value);
            assert(
              error <= ULPS * ulp * scale,
              `position ${position}, element ${i}: error ${error}`,
            );
          });
        }
        // Values and what lies past the rotated part stay bit for bit.
        const value = found.slice(2 * headDim);
        const from = token * 2 * headDim;
        assertEquals(value, [...rows.value.slice(from, from + 2 * headDim)]);
      });
    },
  );
}

gpuTest(
  "KvCache.append() wants a rotation if and only if it rotates",
  async (_, gpu) => {
    using plain = await KvCache.create(gpu, {
      numBlocks: 3,
      kvHeads: 1,
      headDim: 4,
    });
    using rotating = await KvCache.create(gpu, {
      numBlocks: 3,
      kvHeads: 1,
      headDim: 4,
      rope: { pairing: "half-split" },
    });
    using table = gpu.tensor(rotaryTable({ positions: 9, dim: 4 }), [9, 2, 2]);
    using wide = gpu.tensor(rotaryTable({ positions: 9, dim: 6 }), [9, 3, 2]);
    using positions = gpu.tensor(new Uint32Array(1), [1]);
    using two = gpu.tensor(new Uint32Array(2), [2]);
    using rows = uploadRows(gpu, plain, randomRows(plain, 1, 1));
    const { key, value } = rows;
    const append = (cache: KvCache, rotation?: object) => () =>
      cache.append([{ sequence: cache.createSequence(), count: 1 }], {
        key,
        value,
        ...(rotation &&
          {
            rotation: rotation as { positions: typeof key; table: typeof key },
          }),
      });
    assertThrows(append(rotating), TypeError, "rotation must be given");
    assertThrows(
      append(plain, { positions, table }),
      TypeError,
      "rotation must not be given",
    );
    assertThrows(
      append(rotating, { positions: two, table }),
      TypeError,
      "rotation.positions.size",
    );
    assertThrows(
      append(rotating, { positions, table: wide }),
      TypeError,
      "rotation.table.shape",
    );
    assertThrows(
      append(rotating, { positions: table, table }),
      TypeError,
      "rotation.positions",
    );
  },
);

Deno.test("rotaryTable() refuses what it cannot make", () => {
  assertThrows(() => rotaryTable({ positions: 1, dim: 3 }), RangeError, "dim");
  assertThrows(() => rotaryTable({ positions: -1, dim: 2 }), RangeError);
  assertThrows(
    () => rotaryTable({ positions: 1, dim: 2, base: NaN }),
    RangeError,
    "base",
  );
  for (
    const [name, advice] of [["theta", "write base"], [
      "ropeScaling",
      "write factor",
    ], ["headDim", "write dim"]]
  ) {
    assertThrows(
      () => rotaryTable({ positions: 1, dim: 2, [name]: 8 }),
      TypeError,
      advice,
    );
  }
});
