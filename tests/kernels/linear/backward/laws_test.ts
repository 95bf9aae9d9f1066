/**
 * Laws of linear attention's gradients: states handed over, sequences apart,
 * linearity, layouts, what is broadcast, plans, and what is refused.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertLessOrEqual,
  assertRejects,
  assertThrows,
} from "@std/assert";
import type { Gpu, GpuTensor } from "../../../../src/gpu/mod.ts";
import {
  linearAttention,
  linearAttentionBackward,
  type LinearAttentionOptions,
  planLinearAttentionBackward,
} from "../../../../src/ops/mod.ts";
import { gpuTest } from "../../../support/gpu.ts";
import {
  backwardRunOf,
  type LinearBackwardResult,
  type LinearBackwardRun,
  linearGradients,
} from "../../../support/linear_backward_check.ts";
import {
  LINEAR_HEADS,
  type LinearCase,
  PLAIN_LINEAR,
} from "../../../support/linear_cases.ts";

interface Rows {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

const CASE: LinearCase = {
  ...PLAIN_LINEAR,
  ...LINEAR_HEADS[3],
  layout: "ragged",
  sequences: [40],
  headDim: 6,
  valueHeadDim: 8,
  decay: "channel",
  gates: "mild",
  initialState: true,
};
const SIZES = { chunk: 16, subChunk: 8 };

const DELTA: LinearCase = { ...CASE, beta: "head" };

const TOKENS = ["query", "key", "value", "decay", "beta"] as const;

/** The gradients by token that a run has. */
function tokensOf({ options }: LinearBackwardRun) {
  return TOKENS.filter((name) => options[name] !== undefined);
}

/** Tokens of a ragged tensor. */
function tokens({ data, shape }: Rows, first: number, end: number): Rows {
  const size = data.length / shape[0];
  return {
    data: data.slice(first * size, end * size),
    shape: [end - first, ...shape.slice(1)],
  };
}

/** A part of a ragged run of one sequence. */
function part(
  { options, upstream }: LinearBackwardRun,
  [first, end]: readonly [number, number],
): LinearBackwardRun {
  const of = (name: typeof TOKENS[number]) =>
    tokens(options[name] as Rows, first, end);
  const { data } = tokens(
    {
      data: upstream.outputGradient,
      shape: [(options.query as Rows).shape[0]],
    },
    first,
    end,
  );
  return {
    options: {
      ...options,
      query: of("query"),
      key: of("key"),
      value: of("value"),
      decay: of("decay"),
      ...options.beta && { beta: of("beta") },
      cuSeqlens: [0, end - first],
    },
    upstream: { ...upstream, outputGradient: data },
  };
}

function joined(
  parts: readonly LinearBackwardResult[],
  name: keyof LinearBackwardResult,
): number[] {
  return parts.flatMap((one) => [...one[name]!]);
}

for (const [rule, c] of [["", CASE], [" by a delta rule", DELTA]] as const) {
  gpuTest(
    `gradients go through a state that is handed over${rule}`,
    async (_, gpu) => {
      const whole = backwardRunOf(c, SIZES);
      const head = part(whole, [0, 16]);
      const { state } = await linearAttention(gpu, {
        ...head.options,
        returnState: true,
      });
      const tail = part(whole, [16, 40]);
      const [all, two] = await linearGradients(gpu, [whole, {
        ...tail,
        options: { ...tail.options, initialState: state as Rows },
      }]);
      const [one] = await linearGradients(gpu, [{
        ...head,
        upstream: { ...head.upstream, stateGradient: two.initialState! },
      }]);
      // The parts meet where a chunk begins, so not a bit is different.
      for (const name of tokensOf(whole)) {
        assertEquals(joined([one, two], name), [...all[name]!], name);
      }
      assertEquals(one.initialState, all.initialState);
    },
  );
}

for (const [rule, own] of [["", CASE], [" by a delta rule", DELTA]] as const) {
  gpuTest(
    `sequences have the gradients that they have alone${rule}`,
    async (_, gpu) => {
      const c = { ...own, sequences: [21, 0, 1, 40] };
      const run = backwardRunOf(c, SIZES);
      const states = (array: Float32Array, n: number) => {
        const size = array.length / c.sequences.length;
        return array.slice(n * size, (n + 1) * size);
      };
      let first = 0;
      const alone = c.sequences.map((count, n) => {
        const piece = part(run, [first, first += count]);
        const { data, shape } = run.options.initialState as Rows;
        return {
          options: {
            ...piece.options,
            initialState: {
              data: states(data, n),
              shape: [1, ...shape.slice(1)],
            },
          },
          upstream: {
            ...piece.upstream,
            stateGradient: states(run.upstream.stateGradient!, n),
          },
        };
      });
      const [all, ...each] = await linearGradients(gpu, [run, ...alone]);
      for (const name of [...tokensOf(run), "initialState"] as const) {
        assertEquals(joined(each, name), [...all[name]!], name);
      }
      // What no token changed goes through as it is.
      assertEquals(
        each[1].initialState,
        states(run.upstream.stateGradient!, 1),
      );
    },
  );
}

gpuTest("gradients are linear in what the loss sends back", async (_, gpu) => {
  const run = backwardRunOf(DELTA, SIZES);
  const { outputGradient, stateGradient } = run.upstream;
  const of = (output: number, state: number): LinearBackwardRun => ({
    ...run,
    upstream: {
      outputGradient: outputGradient.map((x) => output * x),
      stateGradient: stateGradient!.map((x) => state * x),
    },
  });
  const [one, twice, none, left, right] = await linearGradients(gpu, [
    of(1, 1),
    of(-2, -2),
    of(0, 0),
    of(1, 0),
    of(0, 1),
  ]);
  for (const name of [...tokensOf(run), "initialState"] as const) {
    assertEquals(twice[name], one[name]!.map((x) => -2 * x), name);
    assert(none[name]!.every((x) => x === 0), name);
    const most = Math.max(...one[name]!.map(Math.abs));
    one[name]!.forEach((x, i) =>
      assertLessOrEqual(
        Math.abs(left[name]![i] + right[name]![i] - x),
        2 ** -18 * most,
      )
    );
  }
});

/** `[batch, tokens, heads, dim]` with heads first. */
function headsFirst({ data, shape }: Rows): Rows {
  const [batch, count, heads, dim] = shape;
  const out = data.slice();
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < count; t++) {
      for (let h = 0; h < heads; h++) {
        const from = ((b * count + t) * heads + h) * dim;
        const to = ((b * heads + h) * count + t) * dim;
        out.set(data.subarray(from, from + dim), to);
      }
    }
  }
  return { data: out, shape: [batch, heads, count, dim] };
}

gpuTest("layouts and strides change no bit of gradients", async (_, gpu) => {
  const c: LinearCase = { ...DELTA, layout: "dense", sequences: [20, 20] };
  const run = backwardRunOf(c, SIZES);
  const { options, upstream } = run;
  const rows = (name: "query" | "key" | "value") => options[name] as Rows;
  const heads = { query: 4, key: 1, value: 2, output: 4 };
  const output = {
    data: upstream.outputGradient,
    shape: [2, 20, heads.output, c.valueHeadDim],
  };
  const [one, turned] = await linearGradients(gpu, [run, {
    options: {
      ...options,
      layout: "bhsd",
      query: headsFirst(rows("query")),
      key: headsFirst(rows("key")),
      value: headsFirst(rows("value")),
    },
    upstream: { ...upstream, outputGradient: headsFirst(output).data },
  }]);
  for (const name of ["query", "key", "value"] as const) {
    const own = { data: one[name]!, shape: rows(name).shape };
    assertEquals(turned[name], headsFirst(own).data, name);
  }
  assertEquals(turned.decay, one.decay);
  // Rows with gaps between them, in which there is NaN.
  const gaps = ({ data, shape }: Rows) => {
    const dim = shape.at(-1)!;
    const wide = new Float32Array(data.length / dim * (dim + 3)).fill(NaN);
    for (let row = 0; row * dim < data.length; row++) {
      wide.set(data.subarray(row * dim, (row + 1) * dim), row * (dim + 3) + 2);
    }
    const [, count, own] = shape;
    const strides = [count * own, own, 1].map((n) => n * (dim + 3));
    return { data: wide, shape, strides: [...strides, 1], offset: 2 };
  };
  const apart = await linearAttentionBackward(gpu, {
    ...options,
    query: gaps(rows("query")),
    key: gaps(rows("key")),
    value: gaps(rows("value")),
  }, {
    outputGradient: output,
    stateGradient: {
      data: upstream.stateGradient!,
      shape: (options.initialState as Rows).shape,
    },
  });
  for (const name of [...TOKENS, "initialState"] as const) {
    assertEquals((apart[name] as Rows).data, one[name], name);
  }
  assertEquals(apart.key.shape, rows("key").shape);
});

gpuTest("the gradient of what is broadcast is a sum", async (_, gpu) => {
  const [batch, count, heads, dim] = [2, 300, 2, 4];
  const c: LinearCase = {
    ...CASE,
    layout: "dense",
    sequences: [count, count],
    headDim: dim,
    valueHeadDim: 4,
  };
  const run = backwardRunOf(c, { chunk: 64, subChunk: 16 });
  const full = [batch, count, heads, dim];
  const spread = ({ data, shape }: Rows, to: readonly number[]): Rows => {
    const size = to.reduce((a, b) => a * b, 1);
    const out = Float32Array.from({ length: size }, (_, i) => {
      let [at, stride, rest] = [0, 1, i];
      for (let axis = to.length - 1; axis >= 0; axis--) {
        if (shape[axis] > 1) at += stride * (rest % to[axis]);
        stride *= shape[axis];
        rest = Math.floor(rest / to[axis]);
      }
      return data[at];
    });
    return { data: out, shape: to };
  };
  const shapes = [
    [batch, 1, heads, dim],
    [1, count, heads, dim],
    [1, 1, 1, dim],
    [batch, count, 1, dim],
    [batch, 1, 1, 1],
    [1, count, 1, 1],
    [1, 1, heads, 1],
    [1, 1, 1, 1],
  ];
  const runs = shapes.flatMap((shape) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const decay = {
      data: Float32Array.from({ length: size }, (_, i) => -0.01 * (1 + i % 7)),
      shape,
    };
    // Gates of channels stay so.
    const whole = spread(decay, shape[3] > 1 ? full : [...full.slice(0, 3), 1]);
    return [decay, whole].map((decay) => ({
      ...run,
      options: { ...run.options, decay },
    }));
  });
  const results = await linearGradients(gpu, runs);
  shapes.forEach((shape, n) => {
    const [own, whole] = [results[2 * n], results[2 * n + 1]];
    assertEquals(own.query, whole.query);
    const to = shape[3] > 1 ? full : [...full.slice(0, 3), 1];
    const size = own.decay!.length;
    const places = spread({
      data: Float32Array.from({ length: size }, (_, i) => i),
      shape,
    }, to).data;
    const [sums, most] = [new Float64Array(size), new Float64Array(size)];
    whole.decay!.forEach((x, i) => {
      sums[places[i]] += x;
      most[places[i]] += Math.abs(x);
    });
    // A fold of 256 terms, and one of what these give, of sums of channels.
    own.decay!.forEach((x, i) =>
      assertLessOrEqual(Math.abs(x - sums[i]), 600 * 2 ** -24 * most[i])
    );
  });
});

gpuTest("gradients of no tokens are the last states'", async (_, gpu) => {
  const c = { ...DELTA, sequences: [0, 0], decay: "constant_head" } as const;
  const run = backwardRunOf(c);
  const [result] = await linearGradients(gpu, [run]);
  assertEquals(result.initialState, run.upstream.stateGradient);
  assertEquals([...result.decay!], [0, 0]);
  assertEquals(result.query!.length, 0);
});

/** A case's tensors on the device, and room for its gradients. */
function onDevice(gpu: Gpu, { options, upstream }: LinearBackwardRun) {
  const made: GpuTensor[] = [];
  const tensor = (data: Float32Array, shape: readonly number[]) => {
    const one = gpu.tensor(data, shape);
    made.push(one);
    return one;
  };
  const tensors: Record<string, GpuTensor> = {};
  for (
    const name of [...tokensOf({ options, upstream }), "initialState"] as const
  ) {
    const { data, shape } = options[name] as Rows;
    tensors[name] = tensor(data, shape);
    tensors[`${name}Gradient`] = tensor(data.map(() => NaN), shape);
  }
  const { shape } = options.initialState as Rows;
  const { outputGradient, stateGradient } = upstream;
  tensors.outputGradient = tensor(outputGradient, [outputGradient.length]);
  tensors.stateGradient = tensor(stateGradient!, shape);
  return { tensors: tensors as never, made };
}

gpuTest("a plan of gradients takes problems and tensors", async (_, gpu) => {
  const run = backwardRunOf(CASE, SIZES);
  const other = backwardRunOf({ ...CASE, sequences: [7, 50] }, SIZES);
  const expected = await linearGradients(gpu, [run, other]);
  const choices = { stateGradient: true };
  using plan = await planLinearAttentionBackward(gpu, run.options, choices);
  using second = await planLinearAttentionBackward(gpu, other.options, choices);
  const { problem } = second;
  for (const [n, own] of [run, other].entries()) {
    if (n === 1) await plan.update(problem);
    const { tensors, made } = onDevice(gpu, own);
    gpu.submit("plan", (encoder) => {
      plan.encode(encoder, tensors);
      plan.encode(encoder, tensors);
    });
    const keys = (tensors as Record<string, GpuTensor>).keyGradient;
    assertEquals(await gpu.readOne(keys), expected[n].key);
    const swapped = { ...tensors as object, keyGradient: tensors["key"] };
    const missing = { ...tensors as object, decayGradient: undefined };
    gpu.submit("refused", (encoder) => {
      for (const [given, name] of [[swapped, "key"], [missing, "decay"]]) {
        assertThrows(
          () => plan.encode(encoder, given as never),
          TypeError,
          `${name}Gradient`,
        );
      }
    });
    for (const one of made) one.destroy();
  }
  plan.destroy();
  await assertRejects(() => plan.update(problem), TypeError, "destroyed");
});

gpuTest("memory of gradients grows with the tokens", async (_, gpu) => {
  const rows = (count: number) => ({
    dtype: "f32" as const,
    shape: [1, count, 2, 64],
  });
  const bytes = async (count: number) => {
    const of = rows(count);
    using plan = await planLinearAttentionBackward(gpu, {
      query: of,
      key: of,
      value: of,
      decay: of,
    });
    return plan.explain().scratchBytes;
  };
  const [one, two] = [await bytes(1024), await bytes(2048)];
  assertEquals(two, 2 * one);
  // Six tensors' worth of states, scores and terms, twice, and the terms.
  assertLessOrEqual(one, 16 * 4 * 1024 * 2 * 64);
});

gpuTest("linearAttentionBackward() refuses what is wrong", async (_, gpu) => {
  const { options, upstream } = backwardRunOf({ ...CASE, sequences: [4] });
  const outputGradient = { data: upstream.outputGradient, shape: [4, 4, 8] };
  const refuses = (
    own: Record<string, unknown>,
    gradients: Record<string, unknown>,
    message: string,
    run: Record<string, unknown> = {},
  ) =>
    assertRejects(
      () =>
        linearAttentionBackward(
          gpu,
          { ...options, ...own } as LinearAttentionOptions,
          { outputGradient, ...gradients } as never,
          run as never,
        ),
      TypeError,
      message,
    );
  const shape = [4, 4, 7];
  await refuses({}, { outputGradient: { ...outputGradient, shape } }, "shape");
  await refuses({}, { dout: outputGradient }, "outputGradient");
  await refuses({}, { stateGradient: outputGradient }, "stateGradient.shape");
  await refuses({}, {}, "signal", { splits: 2 });
  await refuses(
    {
      initialState: undefined,
      states: { dtype: "f32", shape: [2, 2, 6, 8] },
      stateIndices: [1],
    },
    {},
    "states",
  );
  using other = gpu.tensor(new Float16Array(128), [4, 4, 8]);
  await refuses({}, { outputGradient: other }, "outputGradient.dtype");
  await assertRejects(
    () =>
      linearAttentionBackward(gpu, options, { outputGradient }, {
        signal: AbortSignal.abort(),
      }),
    DOMException,
  );
});
