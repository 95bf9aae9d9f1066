import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  featureGroups,
  featureRows,
} from "../../../kernels/linear/operands/features.ts";
import { UnsupportedError } from "../../../src/core/errors.ts";
import { featureDim } from "../../../src/core/features.ts";
import {
  linearAttention,
  linearProblem,
  planLinearAttention,
  planLinearAttentionBackward,
} from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";

const rows = { dtype: "f32", shape: [2, 9, 2, 4] } as const;
const plain = { query: rows, key: rows, value: rows };
const taylor = { ...plain, featureMap: "taylor" } as const;
const normalized = { ...taylor, normalize: { eps: 1e-6 } };
const prefix = (tokens: number, heads = 2, dim = 4) => {
  const shape = [2, tokens, heads, dim];
  return { dtype: "f32", shape } as const;
};
const both = (tokens: number) => ({
  key: prefix(tokens),
  value: prefix(tokens),
});
const state = (...shape: number[]) => ({ dtype: "f32", shape } as const);

// deno-lint-ignore no-explicit-any
type Any = any;

Deno.test("linearProblem() knows the state of features", () => {
  const { stateRows, stateColumns, chunk } = linearProblem({
    ...normalized,
    initialState: state(2, 2, 15, 5),
  });
  assertEquals([stateRows, stateColumns, chunk], [15, 5, 128]);
  const other = linearProblem({
    ...taylor,
    states: state(7, 2, 15, 4),
    stateIndices: [0, 3],
  });
  assertEquals([other.stateRows, other.stateColumns], [15, 4]);
  const identity = linearProblem({ ...plain, normalize: { eps: 0.5 } });
  assertEquals([identity.stateRows, identity.stateColumns], [4, 5]);
  assertEquals(identity.chunk, 64);
});

Deno.test("linearProblem() refuses what features do not take", () => {
  const bad: readonly [object, typeof TypeError, string][] = [
    [{ featureMap: "exp" }, TypeError, 'must be "identity" or "taylor"'],
    [{ normalize: { eps: 0 } }, RangeError, "normalize.eps must be > 0"],
    [{ normalize: { eps: -1 } }, RangeError, "normalize.eps must be > 0"],
    [{ normalize: { eps: 1e-50 } }, RangeError, "normalize.eps must be > 0"],
    [{ normalize: { eps: NaN } }, RangeError, "normalize.eps must be finite"],
    [{ normalize: {} }, TypeError, "normalize.eps must be a number"],
    [{ normalize: { epsilon: 1 } }, TypeError, "epsilon must not be given"],
    [{ eps: 1 }, TypeError, "write normalize: { eps }"],
    [{ scale: 0 }, RangeError, 'scale must be > 0 with featureMap "taylor"'],
    [{ scale: -1 }, RangeError, 'scale must be > 0 with featureMap "taylor"'],
    [
      { decay: state(2, 9, 2, 4) },
      TypeError,
      "decay.shape must have a gate for a whole state",
    ],
    [
      { initialState: state(2, 2, 4, 4) },
      TypeError,
      "initialState.shape must be [2, 2, 15, 4]: sequences, valueHeads, features, valueHeadDim: current value is [2, 2, 4, 4]",
    ],
    [
      { initialState: state(2, 2, 15, 4), normalize: { eps: 1 } },
      TypeError,
      "initialState.shape must be [2, 2, 15, 5]: sequences, valueHeads, features, valueHeadDim + 1",
    ],
    [
      { states: state(5, 2, 15, 5), stateIndices: [0, 1] },
      TypeError,
      "states.shape must be [5, 2, 15, 4]",
    ],
  ];
  for (const [change, kind, text] of bad) {
    assertThrows(
      () => linearProblem({ ...taylor, ...change } as Any),
      kind,
      text,
    );
  }
});

Deno.test("linearProblem() refuses prefixes that are none", () => {
  assertEquals(
    linearProblem({ ...normalized, prefix: both(9) }).prefix?.lengths,
    [9, 9],
  );
  const bad: readonly [object, typeof TypeError, string][] = [
    [
      { prefix: both(10) },
      RangeError,
      "prefix must not be longer than sequence 0 (9 tokens), as what follows a prompt is no prefix; give lengths for a padded one: current value is 10",
    ],
    [
      { prefix: { ...both(12), lengths: [9, 10] } },
      RangeError,
      "prefix.lengths[1] must not be longer than sequence 1 (9 tokens)",
    ],
    [
      { prefix: { ...both(3), lengths: [4, 1] } },
      RangeError,
      "prefix.lengths[0] must be an integer in 0..3",
    ],
    [
      { prefix: { ...both(3), lengths: [1] } },
      TypeError,
      "prefix.lengths.length must be the number of sequences (2)",
    ],
    [
      { prefix: { ...both(3), length: 2 } },
      TypeError,
      "write lengths: one a sequence",
    ],
    [
      { prefix: { key: prefix(3, 1), value: prefix(3) } },
      TypeError,
      "prefix.key.shape must be [2, prefix, 2, 4]",
    ],
    [
      { prefix: { key: prefix(3), value: prefix(4) } },
      TypeError,
      "prefix.value.shape must have as many rows as prefix.key (3)",
    ],
    [
      { prefix: { key: { ...prefix(3), dtype: "f16" }, value: prefix(3) } },
      TypeError,
      "prefix.key.dtype must be the query's (f32)",
    ],
    [{ prefix: both(3), decay: state(2) }, TypeError, 'the rule "linear" only'],
    [
      { prefix: both(3), featureMap: "identity", beta: state(2, 9, 2) },
      TypeError,
      'the rule "linear" only',
    ],
    [
      { encoderKey: prefix(3) },
      TypeError,
      "write prefix: { key, value, lengths }",
    ],
  ];
  for (const [change, kind, text] of bad) {
    assertThrows(
      () => linearProblem({ ...normalized, ...change } as Any),
      kind,
      text,
    );
  }
});

Deno.test("featureGroups() have every feature once, and no other", () => {
  for (const headDim of [1, 2, 3, 4, 5, 8, 11, 16]) {
    const words = featureGroups(headDim);
    const vecs = Math.ceil(headDim / 4);
    const found: (readonly [row: number, pair: string])[] = [];
    for (let at = 0; at < words.length; at += 3) {
      const [element, vec, row] = words.slice(at, at + 3);
      for (let c = 0; c < 4; c++) {
        const j = 4 * vec + c;
        if (vec === vecs) {
          if (c === 0) found.push([0, "1"]);
        } else if (j < headDim && (element === headDim || j >= element)) {
          found.push([
            row + j,
            element === headDim ? `${j}` : `${element},${j}`,
          ]);
        }
      }
    }
    assertEquals(featureRows(headDim), 4 * words.length / 3);
    const expected = [
      "1",
      ...Array.from({ length: headDim }, (_, j) => `${j}`),
    ];
    for (let i = 0; i < headDim; i++) {
      for (let j = i; j < headDim; j++) expected.push(`${i},${j}`);
    }
    assertEquals(expected.length, featureDim(headDim, "taylor"));
    assertEquals(found.length, expected.length);
    assertEquals(
      found.toSorted(([a], [b]) => a - b),
      expected.map((pair, row) => [row, pair] as const),
    );
  }
});

gpuTest(
  "features go by both forms, by the rules that have kernels",
  async (_, gpu) => {
    using plan = await planLinearAttention(gpu, {
      ...normalized,
      prefix: both(1),
      returnState: true,
    });
    const kernels = () =>
      plan.explain().dispatches.map(({ kernel, does }) =>
        [kernel.split("/")[0], does.endsWith("of the prefix")] as const
      );
    const encoder = [
      ["linear.chunk_state", true],
      ["linear.scan", true],
    ] as const;
    assertEquals(kernels(), [...encoder, ["linear.recurrent", false]]);
    await plan.update(linearProblem({
      ...normalized,
      prefix: both(1),
      returnState: true,
      form: "chunked",
    }));
    assertEquals(kernels(), [
      ...encoder,
      ["linear.chunk_state", false],
      ["linear.scan", false],
      ["linear.scores", false],
      ["linear.output", false],
    ]);
    const wide = { dtype: "f32", shape: [2, 17, 2, 19] } as const;
    const large = { query: wide, key: wide, value: wide };
    using other = await planLinearAttention(gpu, {
      ...large,
      featureMap: "taylor",
    });
    assertEquals(other.explain().dispatches.length, 4);
    await assertRejects(
      () =>
        planLinearAttention(gpu, {
          ...large,
          featureMap: "taylor",
          form: "recurrent",
        }),
      UnsupportedError,
      "lanes have registers for 256 rows of a state, and it has 260",
    );
    await assertRejects(
      () => planLinearAttention(gpu, { ...taylor, beta: state(2, 9, 2) }),
      UnsupportedError,
      "delta rules have neither featureMap nor normalize",
    );
  },
);

gpuTest(
  "a plan wants the prefix of its problem, and no other",
  async (_, gpu) => {
    using plan = await planLinearAttention(gpu, {
      ...normalized,
      prefix: both(3),
    });
    using rowsOf = gpu.empty("f32", rows.shape);
    using output = gpu.empty("f32", rows.shape);
    using own = gpu.empty("f32", [2, 3, 2, 4]);
    using small = gpu.empty("f32", [2, 2, 2, 4]);
    const tensors = { query: rowsOf, key: rowsOf, value: rowsOf, output };
    const encode = (more: object) => () => {
      const encoder = gpu.device.createCommandEncoder();
      plan.encode(encoder, { ...tensors, ...more });
    };
    const bad: readonly [object, string][] = [
      [{}, "prefixKey must be given"],
      [{ prefixKey: own }, "prefixValue must be given"],
      [
        { prefixKey: small, prefixValue: own },
        "prefixKey must have 48 elements",
      ],
      [
        { prefixKey: own, prefixValue: own, output: own },
        "output must have 144 elements",
      ],
    ];
    for (const [more, text] of bad) assertThrows(encode(more), TypeError, text);
    encode({ prefixKey: own, prefixValue: own })();
    using without = await planLinearAttention(gpu, normalized);
    assertThrows(
      () =>
        without.encode(gpu.device.createCommandEncoder(), {
          ...tensors,
          prefixKey: own,
        }),
      TypeError,
      "prefixKey must not be given, as the plan's problem has none",
    );
  },
);

gpuTest(
  "a pool's slots hold states of features, with and without a prefix",
  async (_, gpu) => {
    const data = (shape: readonly number[], salt: number) => ({
      data: Float32Array.from(
        { length: shape.reduce((a, b) => a * b) },
        (_, i) => Math.sin(i * i + salt),
      ),
      shape,
    });
    const host = {
      query: data(rows.shape, 1),
      key: data(rows.shape, 2),
      value: data(rows.shape, 3),
      featureMap: "taylor",
      normalize: { eps: 1e-6 },
      prefix: { key: data([2, 3, 2, 4], 4), value: data([2, 3, 2, 4], 5) },
    } as const;
    const before = data([2, 2, 15, 5], 6);
    const expected = await linearAttention(gpu, {
      ...host,
      initialState: before,
      returnState: true,
    });
    const size = before.data.length / 2;
    const poisoned = new Float32Array(4 * size).fill(NaN);
    // Sequence 0 is in slot 2, and goes to slot 0; sequence 1 is in 3 and stays.
    poisoned.set(before.data, 2 * size);
    using pool = gpu.tensor(poisoned, [4, 2, 15, 5]);
    const { output } = await linearAttention(gpu, {
      ...host,
      states: pool,
      stateIndices: [2, 3],
      finalStateIndices: [0, 3],
    });
    const after = await gpu.readOne(pool) as Float32Array;
    assertEquals(output, expected.output);
    const slot = (i: number) => after.slice(i * size, (i + 1) * size);
    const { data: states } = expected.state!;
    assertEquals(slot(0), states.slice(0, size) as Float32Array);
    assertEquals(slot(3), states.slice(size) as Float32Array);
    assertEquals(slot(2), before.data.slice(0, size));
    assertEquals(slot(1), poisoned.slice(size, 2 * size));
  },
);

gpuTest(
  "gradients refuse features, normalised outputs and prefixes",
  async (_, gpu) => {
    const bad: readonly [object, string][] = [
      [taylor, 'featureMap "taylor"'],
      [{ ...plain, normalize: { eps: 1 } }, "with normalize"],
      [{ ...plain, prefix: both(2) }, "with a prefix"],
    ];
    for (const [options, text] of bad) {
      await assertRejects(
        () => planLinearAttentionBackward(gpu, options as typeof plain),
        UnsupportedError,
        text,
      );
    }
  },
);
