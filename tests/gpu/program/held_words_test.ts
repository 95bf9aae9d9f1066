import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { HeldWords } from "../../../src/gpu/program/held_words.ts";
import { type Gpu, Program } from "../../../src/gpu/mod.ts";
import { causal, planAttention } from "../../../mod.ts";
import { attentionProblem, type TensorShape } from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { property } from "../../support/property.ts";
import { addition, outputOf } from "../programs.ts";

property(
  "HeldWords.take() names what changed and no more",
  [fc.array(fc.array(fc.nat(2), { maxLength: 6 }), { maxLength: 12 })],
  (steps) => {
    const held = new HeldWords();
    const device: number[] = [];
    for (const step of steps) {
      const words = Uint32Array.from(step);
      const changed = held.take(words);
      if (changed) {
        const { first, end } = changed;
        assertEquals(device[first] === words[first], false);
        assertEquals(device[end - 1] === words[end - 1], false);
        for (let i = first; i < end; i++) device[i] = words[i];
      }
      assertEquals(device.slice(0, step.length), step);
      words.fill(9); // The caller's array is the caller's.
    }
  },
);

/** Bytes that `run` writes to buffers from the CPU, a call an entry. */
async function bytesWritten(
  { queue }: Gpu,
  run: () => void | Promise<void>,
): Promise<number[]> {
  const bytes: number[] = [];
  const original = queue.writeBuffer;
  queue.writeBuffer = function (buffer, offset, data, ...rest) {
    bytes.push(data.byteLength);
    original.call(this, buffer, offset, data, ...rest);
  };
  try {
    await run();
  } finally {
    Reflect.deleteProperty(queue, "writeBuffer");
  }
  return bytes;
}

gpuTest("Program writes words that changed and no others", async (_t, gpu) => {
  const words = [1, 2, 3, 4, 5, 6, 7, 8];
  using program = await Program.create(gpu, "test", addition(1, words));
  const update = (next: number[]) =>
    bytesWritten(gpu, () => program.update(addition(1, next)));
  const [uniforms, ...none] = await update(words);
  assertEquals(none, []);
  words[3] = 40;
  words[5] = 60;
  assertEquals(await update(words), [uniforms, 12]);
  assertEquals(await update(words.slice(0, 4)), [uniforms]);
  assertEquals(await update(words), [uniforms]);
  const output = await outputOf(
    gpu,
    8,
    (resources) =>
      gpu.submit("test", (encoder) => program.encode(encoder, resources)),
  );
  assertEquals(output, words.map((word) => word + 1));
});

gpuTest("a mask that stays is uploaded once", async (_t, gpu) => {
  const f32 = (...shape: number[]): TensorShape => ({ dtype: "f32", shape });
  const shape = [1, 1024];
  const data = new Float32Array(1024).fill(0.5);
  const options = (keys: number) => ({
    query: f32(1, 1, 1, 8),
    key: f32(1, 1024, 1, 8),
    value: f32(1, 1024, 1, 8),
    keyLengths: [keys],
    attnMask: { data, shape },
    maskMod: causal(),
  });
  using plan = await planAttention(gpu, options(1000));
  // The slot of the first plan is free, so it is met again.
  const bytes = await bytesWritten(
    gpu,
    () => plan.update(attentionProblem(options(1001))),
  );
  assertEquals(Math.max(...bytes) < 4096, true, bytes.join());
});
