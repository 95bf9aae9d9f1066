import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  LINEAR_GATES,
  linearErrorBound,
  recurrentLinearAttention,
} from "../../../reference/mod.ts";
import { UnsupportedError } from "../../../src/core/errors.ts";
import { recurrentTokens } from "../../../src/ops/linear_attention/work/recurrent_tokens.ts";
import { linearAttention, planLinearAttention } from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import {
  LINEAR_HEADS,
  type LinearCase,
  linearProblemOf,
  PLAIN_LINEAR,
} from "../../support/linear_cases.ts";
import { linearOptionsOf } from "../../support/linear_runner.ts";

const SHAPES = [
  { headDim: 16, valueHeadDim: 16, gates: "mild" },
  { headDim: 33, valueHeadDim: 20, gates: "strong" },
  { headDim: 64, valueHeadDim: 5, gates: "extreme" },
  { headDim: 7, valueHeadDim: 64, gates: "mixed" },
  { headDim: 130, valueHeadDim: 33, gates: "zero" },
  { headDim: 256, valueHeadDim: 8, gates: "mild" },
] as const;

/** Each rule and kind of gate, with other heads and dims each. */
const CASES: readonly LinearCase[] = [
  undefined,
  "head",
  "channel",
  "constant_head",
  "constant_channel",
].flatMap((decay, d) =>
  [undefined, "head", "one"].map((beta, b) => {
    const own = (3 * d + b) % SHAPES.length;
    return {
      ...PLAIN_LINEAR,
      ...LINEAR_HEADS[own],
      ...SHAPES[own],
      seed: 3 * d + b,
      layout: "ragged",
      sequences: [5, 0, 20, 1],
      initialState: true,
      decay,
      beta,
    } as LinearCase;
  })
);

gpuTest("recurrentKernel() is the recurrence of every rule", async (_, gpu) => {
  for (const c of CASES) {
    const { headDim, valueHeadDim, valueHeads, sequences } = c;
    const { initialState, ...options } = linearOptionsOf(c);
    const size = valueHeads * headDim * valueHeadDim;
    // Slots in another order, and one that is nobody's.
    const pool = new Float32Array(5 * size).fill(NaN);
    sequences.forEach((_, n) =>
      pool.set(
        initialState!.data.subarray(n * size, (n + 1) * size),
        (4 - n) * size,
      )
    );
    using states = gpu.tensor(pool, [5, valueHeads, headDim, valueHeadDim]);
    const { output } = await linearAttention(gpu, {
      ...options,
      states,
      stateIndices: [4, 3, 2, 1],
      form: "recurrent",
      // Of which the longest sequence has three.
      chunk: 8,
      subChunk: 8,
    });
    const problem = linearProblemOf(c);
    const bound = linearErrorBound(problem, {
      chunk: 1,
      gate: LINEAR_GATES.wgsl,
    });
    const want = recurrentLinearAttention(problem);
    const near = (got: number, x: number, most: number) =>
      assert(
        Math.abs(got - x) <= most,
        `${got} is not ${x}: ${JSON.stringify(c)}`,
      );
    want.output.forEach((x, i) => near(output.data[i], x, bound.output));
    const written = await gpu.readOne(states) as Float32Array;
    want.state.forEach((x, i) => {
      const n = Math.floor(i / size);
      near(written[(4 - n) * size + i % size], x, bound.state);
    });
    assert(written.subarray(0, size).every(Number.isNaN));
  }
});

gpuTest("a sequence's own length decides its form", async (_, gpu) => {
  const c: LinearCase = {
    ...PLAIN_LINEAR,
    layout: "ragged",
    decay: "channel",
    sequences: [40, 3, 17, 16],
  };
  const { initialState: _none, ...options } = linearOptionsOf(c);
  const { output } = await linearAttention(gpu, options);
  const row = c.queryHeads * c.valueHeadDim;
  let first = 0;
  for (const [n, count] of c.sequences.entries()) {
    const rows = <T extends { data: Float32Array; shape: readonly number[] }>(
      { data, shape }: T,
    ) => {
      const size = data.length / shape[0];
      return {
        data: data.slice(first * size, (first + count) * size),
        shape: [count, ...shape.slice(1)],
      };
    };
    const alone = await linearAttention(gpu, {
      query: rows(options.query),
      key: rows(options.key),
      value: rows(options.value),
      decay: rows(options.decay!),
      cuSeqlens: [0, count],
      form: n === 1 || n === 3 ? "recurrent" : "chunked",
    });
    const from = first * row;
    assertEquals(
      alone.output.data,
      output.data.slice(from, from + count * row),
    );
    first += count;
  }
});

Deno.test("recurrentTokens() counts the buffers that the kernel binds", () => {
  const gate = { dtype: "f32", kind: "head", elements: 1 } as const;
  const whole = { ...gate, batch: 0, token: 0, head: 0, channel: 0 };
  const both = { initial: true, final: true };
  const of = (form: "auto" | "recurrent", slots?: number) =>
    recurrentTokens(
      {
        form,
        decay: whole,
        beta: whole,
        states: { ...both, slots },
        featureMap: "identity",
        headDim: 16,
      },
      { limits: { maxStorageBuffersPerShaderStage: 8 } },
    );
  assertEquals(of("auto"), -1);
  assertEquals(of("auto", 3), 16);
  assertEquals(of("recurrent", 3), Infinity);
  let message = "";
  try {
    of("recurrent");
  } catch (error) {
    assert(error instanceof UnsupportedError);
    message = error.message;
  }
  assert(message.includes("9 buffers"), message);
});

gpuTest("form is one of three", async (_, gpu) => {
  const rows = { dtype: "f32", shape: [1, 4, 1, 4] } as const;
  await assertRejects(
    () =>
      planLinearAttention(gpu, {
        query: rows,
        key: rows,
        value: rows,
        form: "fast" as "auto",
      }),
    TypeError,
    'form must be "auto", "chunked" or "recurrent"',
  );
});
