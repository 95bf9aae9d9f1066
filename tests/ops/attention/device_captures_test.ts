/**
 * Captured tensors that stay on the device: read as the host's arrays are, bit
 * by bit, by every kernel; neither read back nor uploaded; and the CPU's
 * readings say what they cannot know.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  additiveBias,
  alibi,
  and,
  attention,
  type AttentionOptions,
  attentionProblem,
  booleanMask,
  capture,
  causal,
  type Gpu,
  type GpuTensor,
  type MaskMod,
  maskMod,
  openGpu,
  planAttention,
  relativeBias,
  type ScoreMod,
  scoreMod,
} from "../../../mod.ts";
import { attention as oracle } from "../../../reference/mod.ts";
import { hostMods } from "../../../src/ops/mod.ts";
import {
  type CapturedTensor,
  classifyMask,
  drawMask,
  emitMods,
  maskFunction,
  scoreFunction,
} from "../../../src/mods/mod.ts";
import type { HostArray } from "../../../src/gpu/mod.ts";
import { Prng } from "../../../src/core/prng.ts";
import { gpuTest, webgpu } from "../../support/gpu.ts";
import { HEADS, type Inputs, inputs, random, upload } from "./tensors.ts";

const { queryHeads } = HEADS;

/** What a mod captures, either as arrays or as tensors. */
type Mods = Pick<AttentionOptions, "scoreMod" | "maskMod">;

/** Data of every dtype over heads and keys, some of odd length. */
function dataOf(keys: number) {
  const prng = new Prng(5);
  const size = queryHeads * keys;
  const floats = Float32Array.from({ length: size }, () => prng.normal());
  const ints = Int32Array.from(
    { length: size },
    () => Math.floor(prng.normal() * 3),
  );
  return {
    floats,
    ints,
    uints: Uint32Array.from(ints, Math.abs),
    bytes: Uint8Array.from(ints, (x) => x > 2 ? 0 : x < 0 ? 255 : x),
    odd: floats.slice(0, 3 * Math.floor(keys / 2) - 1),
  };
}

/**
 * Mods of these data; `of` is a tensor of an array, or the array with what the
 * tensor is read as.
 */
function modsOf(
  data: ReturnType<typeof dataOf>,
  keys: number,
  at: {
    float(array: Float32Array, shape: number[]): ReturnType<typeof floatAt>;
    int(array: HostArray, shape: number[]): ReturnType<typeof intAt>;
    bool(array: Uint8Array, shape: number[]): ReturnType<typeof boolAt>;
  },
): Mods {
  const shape = [queryHeads, keys];
  const bias = at.float(data.floats, shape);
  const odd = at.float(data.odd, [data.odd.length]);
  const near = at.int(data.ints, shape);
  const far = at.int(data.uints, shape);
  const byte = at.int(data.bytes, shape);
  const seen = at.bool(data.bytes, shape);
  return {
    scoreMod: scoreMod(
      "all",
      ({ score, head, key }) =>
        score.add(bias.at(head, key)).add(odd.at(key)).add(
          byte.at(head, key).toFloat().mul(0.01),
        ),
    ),
    maskMod: maskMod(
      "all",
      ({ head, query, key }) =>
        seen.at(head, key).or(near.at(head, key).lt(far.at(head, query))),
    ),
  };
}

const floatAt = (array: Float32Array, shape: number[]) =>
  capture(array, { shape });
const intAt = (array: HostArray, shape: number[]) =>
  capture(Int32Array.from(array), { shape });
const boolAt = (array: Uint8Array, shape: number[]) =>
  capture(array, { shape });

const ON_HOST = { float: floatAt, int: intAt, bool: boolAt };

function onDevice(gpu: Gpu, made: GpuTensor[]): typeof ON_HOST {
  const tensors = new Map<HostArray, GpuTensor>();
  const of = (array: HostArray) => {
    const known = tensors.get(array) ?? gpu.tensor(array, [array.length]);
    tensors.set(array, known);
    if (!made.includes(known)) made.push(known);
    return known;
  };
  return {
    float: (array, shape) => capture(of(array), { shape }),
    int: (array, shape) => capture(of(array), { shape, as: "int" }),
    bool: (array, shape) => capture(of(array), { shape, as: "bool" }),
  };
}

gpuTest(
  "what is captured on the device is read as on the host",
  async (_, gpu) => {
    for (
      const [queries, options] of [
        [5, {}],
        [1, {}], // decode
        [1, { splits: 3, invariant: false }],
        [5, { algorithm: "standard" }],
        [5, { returnLse: true }],
      ] as const
    ) {
      const keys = 11;
      const host = inputs({ batch: 2, queries, keys });
      const data = dataOf(keys);
      const made: GpuTensor[] = [];
      const run = (mods: Mods) =>
        attention(gpu, { ...host, ...options, ...mods });
      const expected = await run(modsOf(data, keys, ON_HOST));
      const actual = await run(modsOf(data, keys, onDevice(gpu, made)));
      assertEquals(actual.output.data, expected.output.data, `${queries}`);
      assertEquals(actual.lse?.data, expected.lse?.data);
      made.forEach((tensor) => tensor.destroy());
    }
  },
);

gpuTest(
  "halves, odd lengths and offsets are read as they are",
  async (_, gpu) => {
    const keys = 13;
    const host = inputs({ batch: 1, queries: 3, keys });
    const wide = random([queryHeads, keys], 9).data;
    const halves = Float16Array.from(wide);
    // Made by its bits, so that the device needs no f16 of its own.
    using tensor = gpu.empty("f16", [queryHeads, keys]);
    tensor.writeBits(new Uint16Array(halves.buffer));
    const shape = [queryHeads, 1, keys];
    const run = (data: Parameters<typeof additiveBias>[0]) =>
      attention(gpu, { ...host, scoreMod: additiveBias(data, shape) });
    const expected = await run(Float32Array.from(halves));
    assertEquals((await run(tensor)).output.data, expected.output.data);
    assertEquals((await run(halves)).output.data, expected.output.data);
    const bits = {
      data: new Uint16Array(halves.buffer),
      dtype: "f16",
    } as const;
    assertEquals((await run(bits)).output.data, expected.output.data);

    // A part of a larger buffer, bytes of which are others'.
    const offset = gpu.limits.minStorageBufferOffsetAlignment;
    using arena = gpu.tensor(
      Uint32Array.from(
        { length: offset / 4 + keys },
        (_, i) => i < offset / 4 ? 0 : i % 3,
      ),
      [offset / 4 + keys],
    );
    const part = gpu.wrap(arena.buffer, "u32", [keys], offset);
    const masked = await attention(gpu, {
      ...host,
      maskMod: booleanMask(part, [keys]),
    });
    const same = await attention(gpu, {
      ...host,
      maskMod: booleanMask(
        Uint8Array.from({ length: keys }, (_, i) => (offset / 4 + i) % 3),
        [keys],
      ),
    });
    assertEquals(masked.output.data, same.output.data);
  },
);

gpuTest(
  "alibi() and relativeBias() take tensors and 16 bits",
  async (_, gpu) => {
    const host = inputs({ batch: 1, queries: 3, keys: 7 });
    const slopes = Float32Array.of(0.5, 0.25, -0.125, 2);
    const table = random([queryHeads, 5], 2).data as Float32Array;
    using onDevice = gpu.tensor(slopes, [queryHeads]);
    using tableOnDevice = gpu.tensor(table, [queryHeads, 5]);
    const run = async (mod: ScoreMod) =>
      (await attention(gpu, { ...host, scoreMod: mod })).output.data;
    const expected = await run(alibi(slopes));
    const option = await attention(gpu, { ...host, alibi: onDevice });
    assertEquals(option.output.data, expected);
    assertEquals(await run(alibi(onDevice)), expected);
    const bits = Uint16Array.from(
      slopes,
      (x) => new Uint32Array(Float32Array.of(x).buffer)[0] >>> 16,
    );
    assertEquals(await run(alibi({ data: bits, dtype: "bf16" })), expected);
    assertEquals(
      await run(relativeBias(tableOnDevice, [queryHeads, 5])),
      await run(relativeBias(table, [queryHeads, 5])),
    );
  },
);

/** The bytes that are written to the device, and the maps, during `run`. */
async function traffic(
  gpu: Gpu,
  run: () => unknown,
): Promise<[number, number]> {
  let [bytes, maps] = [0, 0];
  const { queue, device } = gpu;
  const { writeBuffer } = queue;
  const { createBuffer } = device;
  queue.writeBuffer = (buffer, offset, data, start, size) => {
    const { byteLength } = data as Uint8Array;
    bytes += size ?? byteLength;
    return writeBuffer.call(queue, buffer, offset, data, start, size);
  };
  device.createBuffer = (descriptor) => {
    if (descriptor.usage & 1) maps++;
    return createBuffer.call(device, descriptor);
  };
  try {
    await run();
  } finally {
    Reflect.deleteProperty(queue, "writeBuffer");
    Reflect.deleteProperty(device, "createBuffer");
  }
  return [bytes, maps];
}

/** A plan's output under what its options capture. */
async function runPlan(
  gpu: Gpu,
  plan: Awaited<ReturnType<typeof planAttention>>,
  host: Inputs,
): Promise<HostArray> {
  using tensors = upload(gpu, host);
  gpu.submit("run", (encoder) => plan.encode(encoder, tensors));
  return await gpu.readOne(tensors.output);
}

gpuTest(
  "captured tensors are neither read back nor uploaded",
  async (_, gpu) => {
    const [queries, keys] = [8, 512];
    const host = inputs({ batch: 1, queries, keys });
    const shape = [queryHeads, queries, keys];
    using first = gpu.tensor(random(shape, 3).data, shape);
    using other = gpu.tensor(random(shape, 4).data, shape);
    const of = (attnMask: GpuTensor) => ({ ...host, attnMask });
    using plan = await planAttention(gpu, of(first));
    const [bytes, maps] = await traffic(gpu, async () => {
      using made = await planAttention(gpu, of(first));
      for (const mask of [other, first, other]) {
        await made.update(attentionProblem(of(mask)));
      }
    });
    assert(
      bytes < first.byteLength / 8,
      `${bytes} of ${first.byteLength} bytes`,
    );
    assertEquals(maps, 0);

    // Another tensor, and other values of the same: each run reads what is there.
    const expect = async (mask: GpuTensor, name: string) => {
      const attnMask = { data: await gpu.readOne(mask) as Float32Array, shape };
      const { output } = await attention(gpu, { ...host, attnMask });
      assertEquals(await runPlan(gpu, plan, host), output.data, name);
    };
    await expect(first, "as planned");
    await plan.update(attentionProblem(of(other)));
    await expect(other, "after an update");
    other.write(random(shape, 5).data);
    await expect(other, "after a write");
  },
);

gpuTest("a plan takes another attnMask at each recording", async (_, gpu) => {
  const [queries, keys] = [3, 9];
  const host = inputs({ batch: 1, queries, keys });
  const shape = [queries, keys];
  const masks = [3, 4, 5].map((seed) => random(shape, seed));
  const [first, ...others] = masks.map(({ data }) => gpu.tensor(data, shape));
  using plan = await planAttention(gpu, { ...host, attnMask: first });
  using tensors = upload(gpu, host);
  const outputs = masks.map(() => gpu.empty("f32", host.query.shape));
  gpu.submit("layers", (encoder) => {
    plan.encode(encoder, { ...tensors, output: outputs[0] });
    others.forEach((attnMask, i) =>
      plan.encode(encoder, { ...tensors, output: outputs[i + 1], attnMask })
    );
  });
  const found = await gpu.read(outputs);
  for (const [layer, { data }] of masks.entries()) {
    const attnMask = { data: data as Float32Array, shape };
    const { output } = await attention(gpu, { ...host, attnMask });
    assertEquals(found[layer], output.data, `layer ${layer}`);
  }
  const encoder = gpu.device.createCommandEncoder();
  using turned = gpu.tensor(masks[0].data, [
    keys,
    queries,
  ]);
  using ints = gpu.empty("u32", shape);
  using plain = await planAttention(gpu, host);
  for (
    const [run, message] of [
      [
        () => plan.encode(encoder, { ...tensors, attnMask: turned }),
        "attnMask.shape must be that of the plan's ([3, 9])",
      ],
      [
        () => plan.encode(encoder, { ...tensors, attnMask: ints }),
        "attnMask.dtype must be that of the plan's (f32)",
      ],
      [
        () => plain.encode(encoder, { ...tensors, attnMask: first }),
        "attnMask must not be given to a plan whose options have none",
      ],
    ] as const
  ) {
    const { message: own } = assertThrows(run, TypeError);
    assert(own.startsWith(message), own);
  }
  for (const made of [first, ...others, ...outputs]) made.destroy();
});

gpuTest("what is not finite in a mask on the device hides", async (_, gpu) => {
  const keys = 6;
  const host = inputs({ batch: 1, queries: 2, keys });
  const finite = [0.5, NaN, -Infinity, -2, Infinity, 1];
  const data = Float32Array.from(
    finite,
    (x) => Number.isFinite(x) ? x : -Infinity,
  );
  const expected = await attention(gpu, {
    ...host,
    attnMask: { data, shape: [keys] },
  });
  using f32 = gpu.tensor(Float32Array.from(finite), [keys]);
  using f16 = gpu.empty("f16", [keys]);
  f16.writeBits(new Uint16Array(Float16Array.from(finite).buffer));
  for (const attnMask of [f32, f16]) {
    const { output } = await attention(gpu, { ...host, attnMask });
    assertEquals(output.data, expected.output.data, attnMask.dtype);
  }
  // A bias of one's own reads them as 0, and can ask.
  const bias = capture(f32);
  const seen = capture(f32, { as: "finite" });
  const { output } = await attention(gpu, {
    ...host,
    scoreMod: scoreMod("b", ({ score, key }) => score.add(bias.at(key))),
    maskMod: maskMod("m", ({ key }) => seen.at(key)),
  });
  assertEquals(output.data, expected.output.data);
});

Deno.test({
  name: "tensors are gathered where the device has too few bindings",
  ignore: (await webgpu()) === undefined,
  fn: async () => {
    const adapter = await (await webgpu()).requestAdapter();
    if (adapter === null) return;
    // No limits asked for: 8 storage buffers.
    const device = await adapter.requestDevice();
    using gpu = await openGpu({ device });
    const host = inputs({ batch: 2, queries: 3, keys: 9 });
    const data = dataOf(9);
    const made: GpuTensor[] = [];
    const mods = modsOf(data, 9, onDevice(gpu, made));
    for (const returnLse of [false, true]) {
      using plan = await planAttention(gpu, { ...host, ...mods, returnLse });
      const { captures } = plan.explain();
      assertEquals(captures.map(({ placement }) => placement), [
        ...new Array(5).fill("gathered"),
      ]);
      const run = (own: Mods) => attention(gpu, { ...host, ...own, returnLse });
      const expected = await run(modsOf(data, 9, ON_HOST));
      const actual = await run(mods);
      assertEquals(actual.output.data, expected.output.data);
      assertEquals(actual.lse?.data, expected.lse?.data);
    }
    // Of 8, a log-sum-exp leaves one, and none leaves two.
    const [one] = made;
    const placements = async (returnLse: boolean, scoreMods: ScoreMod[]) => {
      const options = { ...host, scoreMod: scoreMods, returnLse };
      using plan = await planAttention(gpu, options);
      return plan.explain().captures.map(({ placement }) => placement);
    };
    const bias = additiveBias(one, [queryHeads, 1, 9]);
    const slopes = gpu.tensor(new Float32Array(queryHeads), [queryHeads]);
    const other = alibi(slopes);
    const both = [bias, other];
    assertEquals(await placements(true, [bias]), ["bound"]);
    assertEquals(await placements(false, both), ["bound", "bound"]);
    assertEquals(await placements(true, both), ["gathered", "gathered"]);
    device.destroy();
  },
});

gpuTest("explain() says which tensors skip no tiles", async (_, gpu) => {
  const keys = 4096;
  const host = {
    query: { dtype: "f32", shape: [1, 64, 1, 16] },
    key: { dtype: "f32", shape: [1, keys, 1, 16] },
    value: { dtype: "f32", shape: [1, keys, 1, 16] },
    // Small, as nothing runs and what is large takes long to compile.
    tiles: { forward: { lanes: 8, rowsPerLane: 1, keys: 4, modKeys: 4 } },
  } as const;
  using last = gpu.tensor(Int32Array.of(20), [1]);
  const upTo = (range?: readonly [number, number]) => {
    const end = capture(last, {
      as: "int",
      name: "end",
      ...range && { range },
    });
    return maskMod("upTo", ({ key }) => key.le(end.at(0)));
  };
  const explained = async (mask: MaskMod) => {
    using plan = await planAttention(gpu, { ...host, maskMod: mask });
    const { captures, tileCounts } = plan.explain();
    return { captures, tileCounts };
  };
  const unknown = await explained(upTo());
  assertEquals(unknown.captures, [{
    names: ["end"],
    placement: "bound",
    skipsTiles: false,
  }]);
  assertEquals(unknown.tileCounts.visited, unknown.tileCounts.total);
  const known = await explained(upTo([0, 127]));
  assertEquals(known.captures[0].skipsTiles, true);
  assert(known.tileCounts.visited * 8 < known.tileCounts.total);
  // Skipping by what is known besides goes on.
  const both = await explained(and(causal(), upTo([0, 127])));
  assert(both.tileCounts.visited <= known.tileCounts.visited);
  using bias = gpu.tensor(new Float32Array(1), [1]);
  using plan = await planAttention(gpu, {
    ...host,
    scoreMod: additiveBias(bias, [1]),
  });
  assertEquals(plan.explain().captures[0].skipsTiles, true);
});

gpuTest("hostMods() gives the oracle what the device has", async (_, gpu) => {
  const keys = 11;
  const host = inputs({ batch: 2, queries: 5, keys });
  const data = dataOf(keys);
  const made: GpuTensor[] = [];
  const mods = modsOf(data, keys, onDevice(gpu, made));
  const score = mods.scoreMod as ScoreMod;
  const mask = mods.maskMod as MaskMod;
  for (
    const evaluate of [() => scoreFunction([score]), () => maskFunction([mask])]
  ) {
    assertThrows(evaluate, TypeError, "read it back with hostMods(gpu, mods)");
  }
  assertThrows(
    () => drawMask(mask),
    TypeError,
    "must have its data on the host",
  );
  const [scores, masks] = [
    await hostMods(gpu, [score]),
    await hostMods(gpu, [mask]),
  ];
  const reference = oracle({
    batch: 2,
    query: host.query.data,
    key: host.key.data,
    value: host.value.data,
    queryLength: 5,
    keyLength: keys,
    queryHeads,
    kvHeads: HEADS.kvHeads,
    headDim: HEADS.headDim,
    valueHeadDim: HEADS.headDim,
    queryOffset: keys - 5,
    score: scoreFunction(scores),
    mask: maskFunction(masks),
  });
  const { output } = await attention(gpu, { ...host, ...mods });
  const error = (output.data as Float32Array).reduce(
    (most, x, n) => Math.max(most, Math.abs(x - reference.output[n])),
    0,
  );
  assert(error < 1e-5, `off by ${error}`);
  using odd = gpu.tensor(Float32Array.of(NaN, 1, -Infinity), [3]);
  const read = await hostMods(gpu, [additiveBias(odd, [3])]);
  assertEquals(
    [0, 1, 2].map((key) => scoreFunction(read)(2, 0, 0, 0, key)),
    [2, 3, 2],
  );
  // Read back, they are as if they had always been on the host.
  const back = await attention(gpu, {
    ...host,
    scoreMod: scores,
    maskMod: masks,
  });
  assertEquals(back.output.data, output.data);
  made.forEach((tensor) => tensor.destroy());
});

/** A tensor that is on no device. */
function fake(
  dtype: CapturedTensor["dtype"],
  ...shape: number[]
): CapturedTensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return { gpu: {}, dtype, shape, size, destroyed: false };
}

Deno.test("intervals of captured tensors are what bounds say", () => {
  const at = {
    batch: [0, 0],
    head: [0, 0],
    query: [0, 63],
    key: [0, 63],
  } as const;
  const below = (tensor: CapturedTensor, range?: [number, number]) =>
    maskMod("below", ({ key }) =>
      key.lt(
        capture(tensor, { as: "int", ...range && { range } }).at(0),
      ));
  const bytes = fake("u8", 1);
  const words = fake("i32", 1);
  assertEquals(classifyMask([below(words)], at), "some");
  assertEquals(classifyMask([below(words, [64, 70])], at), "all");
  assertEquals(classifyMask([below(words, [-3, 0])], at), "none");
  assertEquals(
    classifyMask([below(bytes)], { ...at, key: [256, 300] }),
    "none",
  );
  assertEquals(
    classifyMask([below(bytes)], { ...at, key: [130, 200] }),
    "some",
  );
  const floats = capture(fake("f32", 1), { range: [1, 2] });
  const positive = maskMod("p", () => floats.at(0).gt(0.5));
  assertEquals(classifyMask([positive], at), "all");
  const unknown = capture(fake("f32", 1));
  assertEquals(
    classifyMask([maskMod("u", () => unknown.at(0).gt(0.5))], at),
    "some",
  );
  const bool = capture(bytes, { as: "bool" });
  assertEquals(classifyMask([maskMod("b", () => bool.at(0))], at), "some");
});

Deno.test("emitMods() binds a tensor once, and each of several apart", () => {
  const [a, b] = [fake("f16", 3), fake("u8", 5)];
  const mod = scoreMod(
    "m",
    ({ score, key }) =>
      score.add(capture(a).at(key)).add(
        capture(a, { name: "again" }).at(key),
      ).add(
        capture(b, { as: "int" }).at(key).toFloat(),
      ),
  );
  const mods = { scoreMods: [mod], maskMods: [] };
  const bound = emitMods(mods);
  assertEquals(bound.tensors.map(({ binding, word }) => [binding, word]), [
    ["captured_0", 0],
    ["captured_1", 0],
  ]);
  assertEquals(bound.tensors[0].names, ["capture", "again"]);
  const gathered = emitMods({ ...mods, tensors: "gathered" });
  assertEquals(gathered.tensors.map(({ binding, word }) => [binding, word]), [
    ["captured", 0],
    ["captured", 4],
  ]);
  // Where a tensor begins is a word of the data, sizes too: not in the source.
  const other = scoreMod(
    "m",
    ({ score, key }) => {
      const long = fake("f16", 300);
      return score.add(capture(long).at(key)).add(capture(long).at(key)).add(
        capture(fake("u8", 7), { as: "int" }).at(key).toFloat(),
      );
    },
  );
  assertEquals(emitMods({ ...mods, scoreMods: [other] }).code, bound.code);
});

gpuTest("captured tensors that cannot be are refused", async (_, gpu) => {
  const host = inputs({ batch: 1, queries: 2, keys: 4 });
  const wrong: [() => unknown, typeof TypeError | typeof RangeError, string][] =
    [
      [
        () => capture(fake("u32", 4)),
        TypeError,
        'capture as must be "int" or "bool" for a tensor of u32: current value is "float"',
      ],
      [
        () => capture(fake("f16", 4), { as: "bool", name: "b" }),
        TypeError,
        'b as must be "float" or "finite" for a tensor of f16',
      ],
      [
        () => capture(fake("f32", 4), { as: "half" as "float" }),
        TypeError,
        'must be "float", "int", "bool" or "finite"',
      ],
      [
        () => capture(fake("f32", 4), { shape: [5] }),
        TypeError,
        "capture shape must have as many elements as the data (4)",
      ],
      [() => capture(fake("f32", 0)), RangeError, "capture shape[0]"],
      [
        () => capture(fake("f32", 4), { range: [1, 0] }),
        RangeError,
        "capture range must be finite, and least <= greatest: current value is [1, 0]",
      ],
      [
        () => capture(fake("i32", 4), { as: "int", range: [0, 0.5] }),
        RangeError,
        "of i32",
      ],
      [
        () => capture(fake("u8", 4), { as: "bool", range: [0, 1] } as object),
        TypeError,
        "capture range must not be given for booleans",
      ],
      [
        () => capture(new Float32Array(1), { range: [0, 1] } as object),
        TypeError,
        "range must not be given, as capture() has no such option; it is read off the array",
      ],
      [
        () => capture({ ...fake("f32", 4), destroyed: true }),
        TypeError,
        "capture must not be destroyed",
      ],
      [
        () => booleanMask(fake("f32", 4), [4]),
        TypeError,
        'booleanMask as must be "float" or "finite"',
      ],
      [
        () =>
          attentionProblem({
            ...host,
            maskMod: booleanMask(fake("u8", 5), [5]),
          }),
        TypeError,
        "keys must be 4 or 1, not 5",
      ],
    ];
  for (const [run, kind, message] of wrong) {
    const error = assertThrows(run, kind);
    assert(error.message.includes(message), error.message);
  }
  const bias = gpu.tensor(new Float32Array(4), [4]);
  const options = { ...host, scoreMod: additiveBias(bias, [4]) };
  using plan = await planAttention(gpu, options);
  using tensors = upload(gpu, host);
  const encoder = gpu.device.createCommandEncoder();
  assertThrows(
    () =>
      plan.encode(encoder, {
        ...tensors,
        output: gpu.wrap(bias.buffer, "f32", [0]),
      }),
    TypeError,
    "output must have",
  );
  bias.destroy();
  assertThrows(() => plan.encode(encoder, tensors), TypeError, "destroyed");
  await assertRejects(() => attention(gpu, options), TypeError, "destroyed");
  const foreign = { ...host, scoreMod: additiveBias(fake("f32", 4), [4]) };
  await assertRejects(
    () => attention(gpu, foreign),
    TypeError,
    'capture "additiveBias" must be a GpuTensor of the plan\'s Gpu',
  );
  using shared = gpu.empty("f32", host.query.shape);
  const aliased = await planAttention(gpu, {
    ...host,
    scoreMod: additiveBias(gpu.wrap(shared.buffer, "f32", [4]), [4]),
  });
  assertThrows(
    () => aliased.encode(encoder, { ...tensors, output: shared }),
    TypeError,
    'output must not share a buffer with capture "additiveBias"',
  );
  aliased.destroy();
});
