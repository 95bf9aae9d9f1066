/** What a block table on the device must be the same as, bit by bit. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Prng } from "../../src/core/prng.ts";
import type { Gpu, GpuTensor, HostTensor } from "../../mod.ts";
import {
  attention,
  attentionBackward,
  type AttentionOptions,
  attentionProblem,
  planAttention,
  planAttentionBackward,
} from "../../src/ops/mod.ts";
import { alibi } from "../../src/mods/mod.ts";
import { SOFTWARE_TILES } from "../../src/ops/attention/variants/tiles.ts";
import { random } from "../ops/attention/tensors.ts";
import { partsFor } from "../support/attention/parts.ts";
import { gpuTest, ownGpu } from "../support/gpu.ts";

/** Compiled fast. */
const tiles = {
  forward: { ...SOFTWARE_TILES.forward, rowsPerLane: 1, keys: 4, modKeys: 4 },
};
const [BLOCKS, SIZE, HEADS, KV_HEADS, DIM] = [9, 3, 4, 2, 8];
const query = random([2, 5, HEADS, DIM], 1);
const key = random([BLOCKS, SIZE, KV_HEADS, DIM], 2);
const value = random([BLOCKS, SIZE, KV_HEADS, DIM], 3);
/** Not whole vec4s. */
const SHAPE = [2, 5];

/** A table of blocks that sequences may share, and of none past the lengths. */
function tableOf(seed: number, keyLengths: readonly number[]): Uint32Array {
  const prng = new Prng(seed);
  return Uint32Array.from({ length: 10 }, (_, i) => {
    const used = i % 5 < Math.ceil(keyLengths[Math.floor(i / 5)] / SIZE);
    return used ? prng.below(BLOCKS) : 2 ** 32 - 1;
  });
}

function optionsOf(
  blockTable: Uint32Array | GpuTensor,
  keyLengths: readonly number[],
): AttentionOptions<HostTensor> & { readonly query: HostTensor } {
  return { query, key, value, blockTable, keyLengths, causal: true };
}

/** The tensors that a plan is recorded with. */
function upload(gpu: Gpu) {
  const of = ({ data, shape }: HostTensor) =>
    gpu.tensor(data as Float32Array, shape);
  return { query: of(query), key: of(key), value: of(value) };
}

gpuTest(
  "a block table on the device is that on the host, as each recording finds it",
  async (_, gpu) => {
    const made: { destroy(): void }[] = [];
    const keep = <T extends { destroy(): void }>(one: T): T => {
      made.push(one);
      return one;
    };
    const inputs = upload(gpu);
    Object.values(inputs).forEach(keep);
    const steps = [[13, 6], [15, 15], [4, 1]].map((keyLengths, i) => ({
      keyLengths,
      tables: [2 * i, 2 * i + 1].map((seed) => tableOf(seed, keyLengths)),
    }));
    const table = keep(gpu.empty("u32", SHAPE));
    const plan = keep(
      await planAttention(gpu, {
        ...optionsOf(table, steps[0].keyLengths),
        tiles,
        splits: 2,
      }),
    );
    const outputs: GpuTensor[] = [];
    const expected: Uint32Array[] = [];
    const other = keep(gpu.empty("u32", SHAPE));
    for (const { keyLengths, tables } of steps) {
      await plan.update(attentionProblem(optionsOf(table, keyLengths)));
      const sources = tables.map((ids) => keep(gpu.tensor(ids, SHAPE)));
      const room = () => {
        const output = keep(gpu.empty("f32", query.shape));
        outputs.push(output);
        return { ...inputs, output };
      };
      // Written between two recordings of one submit, then another tensor.
      gpu.submit("steps", (encoder) => {
        for (const { buffer } of sources) {
          encoder.copyBufferToBuffer(buffer, 0, table.buffer, 0, 40);
          plan.encode(encoder, room());
        }
        encoder.copyBufferToBuffer(sources[0].buffer, 0, other.buffer, 0, 40);
        plan.encode(encoder, { ...room(), blockTable: other });
      });
      for (const ids of [...tables, tables[0]]) {
        const { output } = await attention(gpu, {
          ...optionsOf(ids, keyLengths),
          tiles,
          splits: 2,
        });
        expected.push(bitsOf(output.data as Float32Array));
      }
    }
    const found = await gpu.read(outputs);
    assertEquals(
      found.map((data) => bitsOf(data as Float32Array)),
      expected,
    );
    made.forEach((one) => one.destroy());
  },
);

function bitsOf({ buffer, byteOffset, length }: Float32Array): Uint32Array {
  return new Uint32Array(buffer, byteOffset, length);
}

gpuTest(
  "gradients through a block table on the device are those through one on the host",
  async (_, gpu) => {
    const keyLengths = [13, 6];
    const ids = tableOf(1, keyLengths);
    using table = gpu.tensor(ids, SHAPE);
    const outputGradient = random(query.shape, 4);
    const slopes = Float32Array.of(0.5, 0.25, 0.2, 0.1);
    for (
      const [scoreGradients, captured] of [
        ["stored", []],
        ["recomputed", [slopes]],
      ] as const
    ) {
      const [device, host] = await Promise.all(
        [table, ids].map(async (blockTable) => {
          const { saved } = await attention(gpu, {
            ...optionsOf(blockTable, keyLengths),
            tiles,
            scoreMod: captured.map((slopes) => alibi(slopes)),
            forBackward: true,
          });
          using state = saved!;
          return await attentionBackward(gpu, state, { outputGradient }, {
            scoreGradients,
            captureGradients: captured,
          });
        }),
      );
      assertEquals(device, host);
    }
  },
);

gpuTest(
  "an id that is no block's reads nothing outside of keys and values",
  async (_, gpu) => {
    const keyLengths = [13, 6];
    const ids = tableOf(1, keyLengths);
    const { output: expected } = await attention(gpu, {
      ...optionsOf(ids, keyLengths),
      tiles,
    });
    // Sequence 1's blocks are none.
    const wrong = ids.map((id, i) => i < 5 ? id : BLOCKS * 2 ** (3 * (i - 5)));
    using table = gpu.tensor(wrong, SHAPE);
    // In the middle of NaN.
    const bytes = key.data.byteLength;
    const size = 512 + Math.ceil(bytes / 256) * 256 + 512;
    const { STORAGE, COPY_DST } = GPUBufferUsage;
    const places = [key, value].map(({ data, shape }) => {
      const buffer = gpu.device.createBuffer({
        size,
        usage: STORAGE | COPY_DST,
      });
      gpu.queue.writeBuffer(buffer, 0, new Float32Array(size / 4).fill(NaN));
      gpu.queue.writeBuffer(buffer, 512, data as BufferSource);
      return gpu.wrap(buffer, "f32", shape, 512);
    });
    const { output } = await attention(gpu, {
      ...optionsOf(table, keyLengths),
      key: places[0],
      value: places[1],
      tiles,
    });
    const half = output.data.length / 2;
    assertEquals(output.data.slice(0, half), expected.data.slice(0, half));
    assert(output.data.every(Number.isFinite));
    for (const place of places) place.buffer.destroy();
  },
);

gpuTest(
  "a schedule has room for a block table, whatever its width",
  (_, gpu) => {
    for (let width = 0; width <= 5; width++) {
      using table = gpu.empty("u32", [2, width]);
      const lengths = width === 0 ? [0, 0] : [3, 1];
      const problem = attentionProblem(optionsOf(table, lengths));
      const { words, copies } = partsFor(problem, gpu).parts;
      const [{ to, at }] = copies!;
      assertEquals(
        words![to].byteLength - at,
        16 * Math.ceil(Math.max(1, table.byteLength) / 16),
      );
    }
  },
);

gpuTest("block tables on the device are checked", async (_, gpu) => {
  const keyLengths = [13, 6];
  const ids = tableOf(1, keyLengths);
  using table = gpu.tensor(ids, SHAPE);
  using floats = gpu.empty("f32", SHAPE);
  using flat = gpu.empty("u32", [10]);
  using wide = gpu.empty("u32", [5, 2]);
  using narrow = gpu.empty("u32", [2, 4]);
  const problem = (blockTable: Uint32Array | GpuTensor) => () =>
    attentionProblem(optionsOf(blockTable, keyLengths));
  for (
    const [fault, type, message] of [
      [problem(floats), TypeError, "blockTable.dtype must be u32"],
      [
        problem(flat),
        TypeError,
        "blockTable.shape must be [sequences (2), maxBlocks]",
      ],
      [
        problem(wide),
        TypeError,
        "blockTable.shape must be [sequences (2), maxBlocks]",
      ],
      [
        problem(narrow),
        RangeError,
        "keyLengths[0] must be <= 12, the capacity of the sequence",
      ],
    ] as const
  ) {
    assertThrows(fault, type, message);
  }
  await assertRejects(
    () =>
      planAttention(gpu, {
        ...optionsOf(table, keyLengths),
        sharedPrefix: "always",
      }),
    TypeError,
    'sharedPrefix must not be "always" with a blockTable on the device',
  );
  const inputs = upload(gpu);
  using output = gpu.empty("f32", query.shape);
  const encode = (
    plan: Awaited<ReturnType<typeof planAttention>>,
    blockTable?: GpuTensor,
  ) =>
  () =>
    gpu.submit(
      "table",
      (encoder) => plan.encode(encoder, { ...inputs, output, blockTable }),
    );
  using onDevice = await planAttention(gpu, {
    ...optionsOf(table, keyLengths),
    tiles,
  });
  using onHost = await planAttention(gpu, {
    ...optionsOf(ids, keyLengths),
    tiles,
  });
  assertThrows(
    encode(onHost, table),
    TypeError,
    "blockTable must not be given to a plan whose options have none on the device",
  );
  assertThrows(
    encode(onDevice, wide),
    TypeError,
    "blockTable.shape must be that of the plan's ([2, 5])",
  );
  assertThrows(
    encode(onDevice, floats),
    TypeError,
    "blockTable must be u32",
  );
  const elsewhere = await ownGpu();
  try {
    const foreign = elsewhere.tensor(ids, SHAPE);
    for (const plan of [planAttention, planAttentionBackward]) {
      await assertRejects(
        () => plan(gpu, optionsOf(foreign, keyLengths)),
        TypeError,
        "blockTable must be of the plan's Gpu",
      );
    }
  } finally {
    elsewhere.destroy();
  }
  table.destroy();
  assertThrows(encode(onDevice), TypeError, "has been destroyed");
  assertThrows(problem(table), TypeError, "has been destroyed");
  Object.values(inputs).forEach((tensor) => tensor.destroy());
});
