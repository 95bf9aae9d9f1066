import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  pack,
  Packing,
  RowsPlan,
  takeRows,
  unpack,
} from "../../../src/ops/mod.ts";
import type { Gpu, GpuTensor } from "../../../src/gpu/mod.ts";
import { Prng } from "../../../src/core/prng.ts";
import { gpuTest } from "../../support/gpu.ts";
import { runsOf, SEED } from "../../support/property.ts";

/** Rows of 16, 4, 12, 2 and 6 bytes, and of several dimensions. */
const ROWS = [[4], [1], [3], [2, 4], [5]];

interface Case {
  readonly packing: Packing;
  readonly row: number[];
  readonly dtype: "f32" | "f16" | "u32" | "i32";
  readonly random: Prng;
}

/** Random batches, and those that are empty in some way. */
function cases(features: ReadonlySet<string>): Case[] {
  const random = new Prng(SEED);
  const types = features.has("shader-f16")
    ? ["f32", "f16", "u32", "i32"] as const
    : ["f32", "u32", "i32"] as const;
  const drawn = Array.from({ length: runsOf(40) }, (_, i): Case => {
    const [batch, length] = [random.below(5), random.below(70)];
    const dense = random.uniform();
    const mask = Array.from(
      { length: batch * length },
      () => random.uniform() < dense,
    );
    return {
      packing: new Packing({ mask, shape: [batch, length] }),
      row: ROWS[random.below(ROWS.length)],
      dtype: types[i % types.length],
      random: new Prng(random.u32()),
    };
  });
  const empty = [[0, 0], [1, 0], [0]].map((lengths, i): Case => ({
    packing: new Packing({ lengths, length: 3 }),
    row: [3],
    dtype: types[i % types.length],
    random: new Prng(i),
  }));
  return [...drawn, ...empty];
}

/** Any bits: NaNs with a payload and denormals are to be moved as they are. */
function anyBits(gpu: Gpu, { dtype, random }: Case, shape: number[]) {
  const size = shape.reduce((a, b) => a * b, 1);
  const words = Uint32Array.from({ length: size }, () => random.u32());
  if (dtype === "f32") return gpu.tensor(new Float32Array(words.buffer), shape);
  if (dtype === "i32") return gpu.tensor(new Int32Array(words.buffer), shape);
  if (dtype === "u32") return gpu.tensor(words, shape);
  return gpu.tensor(new Float16Array(Uint16Array.from(words).buffer), shape);
}

type Bits = Uint8Array;

async function bitsOf(
  gpu: Gpu,
  tensors: readonly GpuTensor[],
): Promise<Bits[]> {
  const arrays = await gpu.read(tensors);
  return arrays.map(({ buffer, byteOffset, byteLength }) =>
    new Uint8Array(buffer.slice(byteOffset, byteOffset + byteLength))
  );
}

/** The same bytes as rows of bytes, which the host moves. */
function asRows(data: Bits, shape: readonly number[], { row, dtype }: Case) {
  const width = row.reduce((a, b) => a * b, dtype === "f16" ? 2 : 4);
  return { data, shape: [...shape, width] };
}

gpuTest("pack() and unpack() are the host's, bit for bit", async (_, gpu) => {
  const made: GpuTensor[] = [];
  const keep = (tensor: GpuTensor) => (made.push(tensor), tensor);
  const all = cases(gpu.features);
  for (const one of all) {
    const { packing, row } = one;
    const padded = keep(anyBits(gpu, one, packing.paddedShape(row)));
    const packed = keep(anyBits(gpu, one, [packing.tokens, ...row]));
    keep(await pack(gpu, padded, packing));
    keep(await unpack(gpu, packed, packing));
  }
  const bits = await bitsOf(gpu, made);
  for (const [i, one] of all.entries()) {
    const { packing, row } = one;
    const [padded, packed, down, up] = bits.slice(4 * i, 4 * i + 4);
    const shape = [packing.batch, packing.length];
    assertEquals(down, packing.pack(asRows(padded, shape, one)).data);
    assertEquals(
      up,
      packing.unpack(asRows(packed, [packing.tokens], one)).data,
    );
    assertEquals(made[4 * i + 2].shape, [packing.tokens, ...row]);
    assertEquals(made[4 * i + 3].shape, [...shape, ...row]);
  }
  for (const tensor of made) tensor.destroy();
});

gpuTest(
  "takeRows() takes rows in any order, as often as asked",
  async (_, gpu) => {
    const random = new Prng(SEED);
    for (const dtype of ["u32", "f16"] as const) {
      if (dtype === "f16" && !gpu.features.has("shader-f16")) continue;
      for (const width of [1, 3, 4]) {
        const size = 7 * width;
        const numbers = Array.from({ length: size }, (_, i) => i + 1);
        using tensor = gpu.tensor(
          dtype === "u32"
            ? Uint32Array.from(numbers)
            : Float16Array.from(numbers),
          [7, width],
        );
        const rows = Array.from({ length: 23 }, () => random.below(8) - 1);
        using taken = await takeRows(gpu, tensor, rows);
        assertEquals(taken.shape, [23, width]);
        assertEquals(
          [...await gpu.readOne(taken)],
          rows.flatMap((row) =>
            Array.from(
              { length: width },
              (_, i) => row < 0 ? 0 : row * width + i + 1,
            )
          ),
        );
      }
    }
  },
);

gpuTest("RowsPlan writes its rows alone, again and again", async (_, gpu) => {
  if (!gpu.features.has("shader-f16")) return;
  using plan = await RowsPlan.create(gpu, {
    rows: [1, -1, 0],
    sourceRows: 2,
    width: 1,
    dtype: "f16",
  });
  using whole = gpu.tensor(new Float16Array(8).fill(7), [8]);
  const destination = gpu.wrap(whole.buffer, "f16", [3, 1]);
  using source = gpu.tensor(Float16Array.of(1, 2), [2, 1]);
  for (const values of [[1, 2], [3, 4]]) {
    source.write(Float16Array.from(values));
    gpu.submit(
      "rows",
      (encoder) => plan.encode(encoder, { source, destination }),
    );
    assertEquals(
      [...await gpu.readOne(whole)],
      [values[1], 0, values[0], 7, 7, 7, 7, 7],
    );
  }
});

gpuTest(
  "RowsPlan leaves zeros where there is nothing to take",
  async (_, gpu) => {
    using plan = await RowsPlan.create(gpu, {
      rows: [-1, -1],
      sourceRows: 0,
      width: 3,
      dtype: "f32",
    });
    using source = gpu.empty("f32", [0, 3]);
    using destination = gpu.tensor(new Float32Array(6).fill(7), [2, 3]);
    gpu.submit(
      "rows",
      (encoder) => plan.encode(encoder, { source, destination }),
    );
    assertEquals([...await gpu.readOne(destination)], [0, 0, 0, 0, 0, 0]);
  },
);

gpuTest("pack() goes beyond one dimension of a grid", async (_, gpu) => {
  // Words of 63 to a row, so that there are few rows and many invocations.
  const width = 63;
  const most = gpu.limits.maxComputeWorkgroupsPerDimension;
  const count = Math.ceil((most * 64 + 77) / width);
  assert(count * width * 4 <= gpu.limits.maxStorageBufferBindingSize);
  const numbers = Uint32Array.from({ length: count * width }, (_, i) => i);
  using tensor = gpu.tensor(numbers, [count, width]);
  const rows = Uint32Array.from({ length: count }, (_, i) => count - 1 - i);
  using reversed = await takeRows(gpu, tensor, rows);
  const found = await gpu.readOne(reversed);
  const wrong = found.findIndex((value, i) => {
    const row = count - 1 - Math.floor(i / width);
    return value !== row * width + i % width;
  });
  assertEquals(wrong, -1);
});

gpuTest("pack(), unpack() and takeRows() say what is wrong", async (_, gpu) => {
  // deno-lint-ignore no-explicit-any
  const wrong = (value: unknown): any => value;
  const packing = new Packing({ lengths: [1, 2], length: 2 });
  using padded = gpu.empty("f32", [2, 2, 3]);
  using packed = gpu.empty("f32", [3, 3]);
  using bytes = gpu.empty("u8", [3, 4]);
  using scalar = gpu.empty("f32", []);
  const gone = gpu.empty("f32", [3, 3]);
  gone.destroy();
  const cases: [() => Promise<unknown>, typeof Error, string][] = [
    [
      () => pack(gpu, packed, packing),
      TypeError,
      "padded.shape must be [2, 2, ...]",
    ],
    [
      () => unpack(gpu, padded, packing),
      TypeError,
      "packed.shape must be [3, ...]",
    ],
    [
      () => pack(gpu, wrong({ data: [] }), packing),
      TypeError,
      "padded must be a GpuTensor",
    ],
    [
      () => unpack(gpu, packed, wrong([0, 1, 3])),
      TypeError,
      "packing must be a Packing",
    ],
    [() => unpack(gpu, gone, packing), TypeError, "destroyed"],
    [
      () => unpack(gpu, bytes, packing),
      TypeError,
      "dtype must be f32, f16, u32 or i32",
    ],
    [
      () => takeRows(gpu, packed, [3]),
      RangeError,
      "rows[0] must be an integer in -1..2",
    ],
    [
      () => takeRows(gpu, packed, wrong(3)),
      TypeError,
      "rows must be an array of integers",
    ],
    [
      () => takeRows(gpu, scalar, [0]),
      TypeError,
      "tensor.shape must have a dimension",
    ],
    [
      () =>
        RowsPlan.create(gpu, {
          rows: wrong("0"),
          sourceRows: 1,
          width: 1,
          dtype: "f32",
        }),
      TypeError,
      "rows must be an array of row numbers",
    ],
    [
      () =>
        RowsPlan.create(gpu, {
          rows: [0],
          sourceRows: 2 ** 20,
          width: 2 ** 12,
          dtype: "f32",
        }),
      RangeError,
      "elements must be < 2^32",
    ],
  ];
  for (const [make, kind, message] of cases) {
    await assertRejects(make, kind, message);
  }
  using plan = await RowsPlan.create(gpu, {
    rows: [0, 1],
    sourceRows: 3,
    width: 3,
    dtype: "f32",
  });
  using two = gpu.empty("f32", [2, 3]);
  using integers = gpu.empty("u32", [2, 3]);
  gpu.submit("wrong", (encoder) => {
    const encode = (source: GpuTensor, destination: GpuTensor) => () =>
      plan.encode(encoder, { source, destination });
    assertThrows(
      encode(two, two),
      TypeError,
      "source.shape must have 9 elements",
    );
    assertThrows(encode(packed, packed), TypeError, "destination.shape");
    assertThrows(
      encode(packed, integers),
      TypeError,
      "destination.dtype must be f32",
    );
    assertThrows(encode(packed, gone), TypeError, "destroyed");
  });
});
