import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type LinearAttentionProblem,
  recurrentLinearAttention,
} from "../../../reference/mod.ts";
import { linearGeometryOf } from "../../../reference/linear/problem.ts";
import { linearCases, linearProblemOf } from "../../support/linear_cases.ts";
import { property } from "../../support/property.ts";
import { range, reorder, rowsOf } from "../cases.ts";
import { assertSame, joined, scalar, separate, slice } from "./cases.ts";

const half = Math.log(0.5);

Deno.test("recurrentLinearAttention() sums what was before", () => {
  const { output, state } = recurrentLinearAttention(
    scalar({ query: [1, 2, 3], key: [1, 1, 2], value: [4, 5, 6] }),
  );
  assertEquals([...output], [4, 18, 63]);
  assertEquals([...state], [21]);
});

Deno.test("recurrentLinearAttention() lets the state decay before it adds", () => {
  const { output } = recurrentLinearAttention(
    scalar({
      value: [8, 1, 2],
      decay: [half, 2 * half, half],
      decayShape: "head",
      initialState: [16],
    }),
  );
  assertEquals([...output], [16, 5, 4.5]);
});

Deno.test("recurrentLinearAttention() overwrites by the delta rule", () => {
  // Of what is not recalled yet, all, half and nothing is written.
  const { output } = recurrentLinearAttention(
    scalar({ value: [8, 4, 1], beta: [1, 0.5, 0] }),
  );
  assertEquals([...output], [8, 6, 6]);
});

Deno.test("recurrentLinearAttention() recalls what has decayed", () => {
  const { output } = recurrentLinearAttention(
    scalar({
      value: [8, 6],
      beta: [1, 0.5],
      decay: [half, half],
      decayShape: "head",
    }),
  );
  assertEquals([...output], [8, 5]);
});

Deno.test("recurrentLinearAttention() keeps a state of two dims and columns", () => {
  const { output, state } = recurrentLinearAttention({
    query: [1, 0, 1, 2],
    key: [1, 10, 1, 0],
    value: [1, 2, 3, 10, 20, 30],
    // Channels decay apart.
    decay: [0, half, half, 0],
    decayShape: "channel",
    batch: 1,
    sequence: 2,
    queryHeads: 1,
    keyHeads: 1,
    valueHeads: 1,
    headDim: 2,
    valueHeadDim: 3,
    scale: 2,
  });
  assertEquals([...state], [10.5, 21, 31.5, 10, 20, 30]);
  assertEquals([...output], [2, 4, 6, 61, 122, 183]);
});

Deno.test("recurrentLinearAttention() has a default scale of 1 / sqrt(headDim)", () => {
  const { output } = recurrentLinearAttention({
    ...scalar({ value: [3] }),
    query: [1, 1, 1, 1],
    key: [1, 1, 1, 1],
    headDim: 4,
    valueHeadDim: 1,
    scale: undefined,
  });
  assertEquals([...output], [6]);
});

property(
  "recurrentLinearAttention() hands a state over at any token",
  [linearCases(), fc.nat()],
  (c, n) => {
    for (const problem of separate(linearProblemOf(c))) {
      const { tokens } = linearGeometryOf(problem);
      const at = n % (tokens + 1);
      const { initialState } = problem;
      const before = recurrentLinearAttention(
        slice(problem, { first: 0, end: at, initialState }),
      );
      const after = recurrentLinearAttention(
        slice(problem, {
          first: at,
          end: tokens,
          initialState: before.state,
        }),
      );
      const { output } = joined([before, after]);
      assertEquals(
        recurrentLinearAttention(problem),
        { output, state: after.state },
      );
    }
  },
);

property(
  "recurrentLinearAttention() starts anew with each sequence",
  [linearCases()],
  (c) => {
    const problem = linearProblemOf(c);
    const apart = separate(problem).map(recurrentLinearAttention);
    assertEquals(recurrentLinearAttention(problem), joined(apart));
  },
);

property(
  "recurrentLinearAttention() of the last token is the last row of the prefill",
  [linearCases({ sequences: fc.constant([7]) })],
  (c) => {
    const problem = linearProblemOf(c);
    const { initialState } = problem;
    const prefill = recurrentLinearAttention(problem);
    const before = recurrentLinearAttention(
      slice(problem, { first: 0, end: 6, initialState }),
    );
    const decode = recurrentLinearAttention(
      slice(problem, { first: 6, end: 7, initialState: before.state }),
    );
    const width = prefill.output.length / 7;
    assertEquals(
      [...decode.output],
      rowsOf(prefill.output, { first: 6, end: 7, width }),
    );
    assertEquals(decode.state, prefill.state);
  },
);

property(
  "recurrentLinearAttention() shares keys and queries, as if repeated",
  [linearCases()],
  (c) => {
    const problem = linearProblemOf(c);
    const { outputHeads, tokens } = linearGeometryOf(problem);
    const heads = range(outputHeads);
    const headsOf = (count: number) =>
      heads.map((h) => Math.floor(h * count / outputHeads));
    // Row by row, each head as often as output heads read it.
    const repeat = (array: ArrayLike<number>, count: number, width: number) =>
      reorder(
        array,
        range(array.length / width / count).flatMap((row) =>
          headsOf(count).map((head) => row * count + head)
        ),
        width,
      );
    const { decay, decayShape, beta, initialState, valueHeads } = problem;
    const state = c.headDim * c.valueHeadDim;
    const perChannel = decayShape?.endsWith("channel") ? c.headDim : 1;
    const betas = c.beta === "one" ? 1 : valueHeads;
    const repeated: LinearAttentionProblem = {
      ...problem,
      queryHeads: outputHeads,
      keyHeads: outputHeads,
      valueHeads: outputHeads,
      query: repeat(problem.query, c.queryHeads, c.headDim),
      key: repeat(problem.key, c.keyHeads, c.headDim),
      value: repeat(problem.value, valueHeads, c.valueHeadDim),
      decay: decay && repeat(decay, valueHeads, perChannel),
      beta: beta && tokens > 0 ? repeat(beta, betas, 1) : beta,
      initialState: initialState && repeat(initialState, valueHeads, state),
    };
    const grouped = recurrentLinearAttention(problem);
    const apart = recurrentLinearAttention(repeated);
    assertEquals(apart.output, grouped.output);
    assertEquals(
      [...apart.state],
      repeat(grouped.state, valueHeads, state),
    );
  },
);

property(
  "recurrentLinearAttention() with log gates of 0 is without gates",
  [linearCases({ gates: fc.constant("zero") })],
  (c) => {
    const problem = linearProblemOf(c);
    const { decay: _, rule: __, ...plain } = problem;
    assertEquals(
      recurrentLinearAttention(problem),
      recurrentLinearAttention(plain),
    );
  },
);

property(
  "recurrentLinearAttention() is causal linear attention by prefix sums",
  [linearCases({
    rule: fc.constant("linear"),
    initialState: fc.constant(false),
  })],
  (c) => {
    const problem = linearProblemOf(c);
    const actual = recurrentLinearAttention(problem);
    const geometry = linearGeometryOf(problem);
    const output = new Float64Array(actual.output.length);
    for (const { first, end } of geometry.sequences) {
      for (let h = 0; h < geometry.outputHeads; h++) {
        const s = Math.floor(h * c.valueHeads / geometry.outputHeads);
        for (let i = first; i < end; i++) {
          for (let j = first; j <= i; j++) {
            let weight = geometry.scale;
            let product = 0;
            for (let t = 0; t < c.headDim; t++) {
              product += problem.query[geometry.queryAt(i, h) + t] *
                problem.key[geometry.keyAt(j, s) + t];
            }
            weight *= product;
            for (let e = 0; e < c.valueHeadDim; e++) {
              output[geometry.outputAt(i, h) + e] += weight *
                problem.value[geometry.valueAt(j, s) + e];
            }
          }
        }
      }
    }
    assertSame(actual, { output, state: actual.state }, problem);
  },
);

property(
  "recurrentLinearAttention() with constant gates is RetNet's retention",
  [linearCases({
    rule: fc.constant("gated"),
    decay: fc.constant("constant_head"),
    initialState: fc.constant(false),
  })],
  (c) => {
    const problem = linearProblemOf(c);
    const actual = recurrentLinearAttention(problem);
    const geometry = linearGeometryOf(problem);
    const output = new Float64Array(actual.output.length);
    for (const { first, end } of geometry.sequences) {
      for (let h = 0; h < geometry.outputHeads; h++) {
        const s = Math.floor(h * c.valueHeads / geometry.outputHeads);
        const gamma = Math.exp(problem.decay![s]);
        for (let i = first; i < end; i++) {
          for (let j = first; j <= i; j++) {
            // gamma^(i - j) <q_i, k_j>
            let weight = 0;
            for (let t = 0; t < c.headDim; t++) {
              weight += problem.query[geometry.queryAt(i, h) + t] *
                problem.key[geometry.keyAt(j, s) + t];
            }
            weight *= geometry.scale * gamma ** (i - j);
            for (let e = 0; e < c.valueHeadDim; e++) {
              output[geometry.outputAt(i, h) + e] += weight *
                problem.value[geometry.valueAt(j, s) + e];
            }
          }
        }
      }
    }
    assertSame(actual, { output, state: actual.state }, problem);
  },
);

property(
  "recurrentLinearAttention() below -60 recalls the token itself alone",
  [linearCases({
    rule: fc.constant("gated"),
    gates: fc.constant("extreme"),
    distribution: fc.constantFrom("unit", "normal"),
  })],
  (c) => {
    const problem = linearProblemOf(c);
    const actual = recurrentLinearAttention(problem);
    const geometry = linearGeometryOf(problem);
    const output = new Float64Array(actual.output.length);
    for (let token = 0; token < geometry.tokens; token++) {
      for (let h = 0; h < geometry.outputHeads; h++) {
        const s = Math.floor(h * c.valueHeads / geometry.outputHeads);
        let product = 0;
        for (let t = 0; t < c.headDim; t++) {
          product += problem.query[geometry.queryAt(token, h) + t] *
            problem.key[geometry.keyAt(token, s) + t];
        }
        for (let e = 0; e < c.valueHeadDim; e++) {
          output[geometry.outputAt(token, h) + e] = geometry.scale * product *
            problem.value[geometry.valueAt(token, s) + e];
        }
      }
    }
    assertSame(actual, { output, state: actual.state }, problem);
  },
);

property(
  "recurrentLinearAttention() with beta 0 keeps the state",
  [linearCases({
    rule: fc.constant("delta"),
    initialState: fc.constant(true),
  })],
  (c) => {
    const problem = linearProblemOf(c);
    const beta = new Float32Array(problem.beta!.length);
    const { state } = recurrentLinearAttention({ ...problem, beta });
    assertEquals([...state], Array.from(problem.initialState!));
  },
);

property(
  "recurrentLinearAttention() with beta 1 recalls the last value of each key",
  [
    fc.integer({ min: 1, max: 5 }),
    fc.array(fc.record({ key: fc.nat(4), value: fc.integer() }), {
      minLength: 1,
    }),
  ],
  (headDim, writes) => {
    // Keys are unit vectors: what a key recalls is what was written last.
    const keys = writes.map(({ key }) => key % headDim);
    const oneHot = (at: number) => range(headDim).map((t) => +(t === at));
    const { state } = recurrentLinearAttention({
      ...scalar({ value: writes.map(({ value }) => value) }),
      query: keys.flatMap(oneHot),
      key: keys.flatMap(oneHot),
      beta: writes.map(() => 1),
      headDim,
      valueHeadDim: 1,
    });
    const stored = new Array(headDim).fill(0);
    writes.forEach(({ value }, n) => stored[keys[n]] = value);
    assertEquals([...state], stored);
  },
);

property(
  "recurrentLinearAttention() never sees a token that comes later",
  [
    linearCases({
      sequences: fc.constant([5, 4]),
      layout: fc.constant("ragged"),
    }),
    fc.nat(8),
  ],
  (c, at) => {
    const problem = linearProblemOf(c);
    const end = at < 5 ? 5 : 9;
    const poison = (array: ArrayLike<number>) =>
      Float64Array.from(
        array,
        (x, n) => Math.floor(n * 9 / array.length) === at ? NaN : x,
      );
    const actual = recurrentLinearAttention({
      ...problem,
      key: poison(problem.key),
    }).output;
    const expected = recurrentLinearAttention(problem).output;
    actual.forEach((x, n) => {
      const token = Math.floor(n * 9 / actual.length);
      if (at <= token && token < end) return;
      assertEquals(x, expected[n]);
    });
  },
);
