import fc from "fast-check";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import {
  additiveBias,
  alibi,
  and,
  bindRows,
  blockDiagonal,
  blockDiffusion,
  blockwise,
  booleanMask,
  bucketBias,
  byBatch,
  byHead,
  capture,
  causal,
  dilated,
  document,
  documentPrefixLm,
  documents,
  draftBlocks,
  emitMods,
  float,
  globalWindow,
  imageCross,
  int,
  type MaskMod,
  maskMod,
  neighborhood,
  not,
  or,
  prefixLm,
  relativeBias,
  sandwich,
  type ScoreMod,
  scoreMod,
  sharedPrefix,
  sinkWindow,
  slidingTile,
  slidingWindow,
  softcap,
  spatialHead,
  temporalHead,
  tileOrder,
  tree,
  withinBlocks,
  withinDocuments,
} from "../../../src/mods/mod.ts";
import { intervalEvaluator } from "../../../src/mods/interval/interval.ts";
import { evaluator } from "../../../src/mods/evaluate.ts";
import { evaluationOrder } from "../../../src/mods/nodes.ts";
import { SEED } from "../../support/property.ts";
import { evaluateOnGpu, isAvailable, type Point } from "../gpu_grid.ts";
import { trees } from "../trees.ts";

const NONE = { scoreMods: [], maskMods: [] };

function emitScore(...scoreMods: ScoreMod[]) {
  return emitMods({ ...NONE, scoreMods });
}

function emitMask(...maskMods: MaskMod[]) {
  return emitMods({ ...NONE, maskMods });
}

function words(...values: number[]): number[] {
  return [...new Uint32Array(Float32Array.from(values).buffer)];
}

function bound<M extends MaskMod | ScoreMod>(mod: M, ...offsets: number[]): M {
  return bindRows([mod], offsets)[0];
}

Deno.test("emitMods() emits the identity and true for no mods", () => {
  assertEquals(emitMods(NONE), {
    tensors: [],
    code:
      `fn mod_score(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
  return score;
}

fn mod_mask(batch: i32, head: i32, query: i32, key: i32) -> bool {
  return true;
}
`,
    data: new Uint32Array(),
    usesCaptures: false,
    hasScore: false,
    hasDerivative: false,
    captureTerms: [],
    hasMask: false,
    usesBatch: false,
    usesHead: false,
    usesQuery: false,
    usesKey: false,
  });
});

Deno.test("emitMods() emits mods in order, masks as a conjunction", () => {
  const { code, data } = emitMods({
    scoreMods: [
      scoreMod("double", ({ score }) => score.mul(2)),
      scoreMod("square", ({ score }) => score.mul(score)),
    ],
    maskMods: [causal(), slidingWindow({ left: 5 })],
  });
  assertEquals(
    code,
    `fn mod_score(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
  // double
  let score0 = (score * bitcast<f32>(captures[0u]));
  // square
  let score1 = (score0 * score0);
  return score1;
}

fn mod_mask(batch: i32, head: i32, query: i32, key: i32) -> bool {
  // causal
  let mask0 = (key <= query);
  // slidingWindow
  let mask1 = ((query - key) <= bitcast<i32>(captures[1u]));
  return mask0 && mask1;
}
`,
  );
  assertEquals([...data], [...words(2), 5]);
});

Deno.test("emitMods() lays out literals, buffers' headers, then buffers", () => {
  const bias = capture(Float32Array.of(1.5, -2, 3, 4, 5, 6), { shape: [2, 3] });
  const flags = capture(
    Uint8Array.from({ length: 34 }, (_, i) => i === 1 || i === 33 ? 9 : 0),
  );
  const { data, code } = emitScore(
    scoreMod(
      "layout",
      ({ score, head, key }) =>
        flags.at(key).select(score.add(bias.at(head, key)), score.mul(-3)),
    ),
  );
  assertEquals([...data], [
    ...[6, 34], // flags: offset, size
    ...[8, 2, 3], // bias: offset, sizes
    ...words(-3),
    ...[2, 2], // bits 1 and 33
    ...words(1.5, -2, 3, 4, 5, 6),
  ]);
  assert(code.includes("mod_bit(captures[0u], mod_index1(1u, key))"));
  assert(
    code.includes(
      "bitcast<f32>(captures[captures[2u] + mod_index2(3u, head, key)])",
    ),
  );
});

Deno.test("emitMods() reads captured data when it emits", () => {
  const data = Float32Array.of(1, 2);
  const bias = capture(data);
  const mod = scoreMod("bias", ({ score, key }) => score.add(bias.at(key)));
  data[1] = 7;
  assertEquals([...emitScore(mod).data].slice(2), words(1, 7));
});

Deno.test("emitMods() takes views into larger buffers", () => {
  const view = new Uint32Array([9, 9, 5, 6]).subarray(2);
  const { data } = emitMask(prefixLm(view));
  assertEquals([...data], [2, 2, 5, 6]);
});

Deno.test("emitMods() gives one source for one structure", () => {
  const bits = (n: number) => new Uint8Array(n).fill(1);
  type Emit = () => ReturnType<typeof emitMods>;
  const same: [Emit, Emit][] = [
    [() => emitScore(softcap(50)), () => emitScore(softcap(1))],
    [
      () => emitMask(slidingWindow({ left: 0, right: 1 })),
      () => emitMask(slidingWindow({ left: 4095, right: 7 })),
    ],
    [
      () => emitScore(alibi(Float32Array.of(1))),
      () => emitScore(alibi(Float32Array.of(0.5, 0.25, 0.125))),
    ],
    [
      () => emitMask(bound(booleanMask(bits(6), [2, 3]), 1)),
      () => emitMask(bound(booleanMask(bits(4000), [40, 100]), 0)),
    ],
    [() => emitMask(prefixLm(0)), () => emitMask(prefixLm(1))],
    [
      () => emitMask(tree(Int32Array.of(-1))),
      () => emitMask(tree(Int32Array.of(-1, 0, 0), 17)),
    ],
  ];
  for (const [first, second] of same) {
    assertEquals(first().code, second().code);
    assertNotEquals([...first().data], [...second().data]);
  }
});

Deno.test("emitMods() keeps equal literals apart, as values may change", () => {
  const mask = (a: number, b: number) =>
    maskMod("range", ({ key }) => key.ge(a).and(key.lt(b)));
  assertEquals(emitMask(mask(3, 3)).code, emitMask(mask(3, 4)).code);
});

Deno.test("emitMods() computes shared subexpressions once", () => {
  const { code } = emitScore(scoreMod("shared", ({ score }) => {
    const e = score.exp();
    return e.add(e.mul(e));
  }));
  assertEquals(code.match(/exp\(/g)?.length, 1);
  assert(code.includes("let v0 = exp(score);"));
});

Deno.test("emitMods() gives every name once in a function", () => {
  const square = scoreMod("square", ({ score }) => {
    const e = score.exp();
    return e.mul(e);
  });
  const { code } = emitScore(square, square, square);
  const names = [...code.matchAll(/let (\w+)/g)].map((match) => match[1]);
  assertEquals(names, ["v0", "score0", "v1", "score1", "v2", "score2"]);
});

Deno.test("emitMods() never nests deeper than a bound", () => {
  const { code } = emitScore(scoreMod("deep", ({ score }) => {
    let sum = score;
    for (let i = 0; i < 5000; i++) sum = sum.add(1).abs();
    return sum;
  }));
  let [depth, deepest] = [0, 0];
  for (const character of code) {
    if (character === "(") deepest = Math.max(deepest, ++depth);
    if (character === ")") depth--;
  }
  assert(deepest < 24, `${deepest} deep`);
});

Deno.test("emitMods() takes a prefix and a base", () => {
  const { code, data } = emitMods({
    scoreMods: [softcap(2)],
    maskMods: [document(Int32Array.of(4, 5))],
    prefix: "second",
    base: 100,
  });
  for (const name of ["score", "mask", "tanh", "index1"]) {
    assert(code.includes(`fn second_${name}(`));
  }
  assert(!code.includes("mod_") && code.includes("captures[100u]"));
  assertEquals([...data], [...words(2), 103, 2, 0, 1]);
  assertThrows(
    () => emitMods({ ...NONE, prefix: "a-b" }),
    TypeError,
    'prefix must be an identifier: current value is "a-b"',
  );
  assertThrows(() => emitMods({ ...NONE, base: -1 }), RangeError, "base");
});

Deno.test("emitMods() keeps names out of the code", () => {
  const { code } = emitMask(maskMod("a\nb */ @", ({ key }) => key.ge(0)));
  assert(code.includes("  // a_b __ _\n"));
});

Deno.test("emitMods() tells which indices are used", () => {
  const emitted = emitMods({
    scoreMods: [alibi(Float32Array.of(1, 2))],
    maskMods: [maskMod("batch", ({ batch }) => batch.eq(0))],
  });
  const { usesBatch, usesHead, usesQuery, usesKey } = emitted;
  assertEquals([usesBatch, usesHead, usesQuery, usesKey], [
    true,
    true,
    true,
    true,
  ]);
  assertEquals([emitted.hasScore, emitted.hasMask], [true, true]);
  const { usesHead: head, usesKey: key } = emitScore(softcap(3));
  assertEquals([head, key], [false, false]);
});

Deno.test("emitMods() bounds the argument of tanh's exponential", () => {
  // No device has to show an overflow, so the source is what can be tested.
  const { code } = emitScore(softcap(1));
  assert(code.includes("let a = min(abs(x), 15.0);"));
  assert(code.includes("exp(2.0 * a)"));
});

// On a GPU: every value must lie in the interval reading at that point. That
// interval is the float64 value widened, operation by operation, by what WGSL
// allows an implementation to be off, so it is the rounding bound.

const available = await isAvailable();
const gpuTest = { ignore: !available };
const because = available ? "" : " (skipped: no WebGPU adapter)";

const GRID: Point[] = [];
for (const score of [-3.7, -0.6, -0.001, 0, 0.3, 1, 2.9]) {
  for (const [batch, head] of [[0, 0], [1, 3], [2, 1]]) {
    for (const query of [-3, 0, 4, 17]) {
      for (const key of [0, 1, 5, 16]) {
        GRID.push({ score: Math.fround(score), batch, head, query, key });
      }
    }
  }
}

/** Masks become scores of 0 and 1. */
function asScore(mod: ScoreMod | MaskMod): ScoreMod {
  if (mod.kind === "score") return mod;
  const condition = mod.expression;
  return {
    kind: "score",
    name: mod.name,
    expression: {
      kind: "select",
      type: "f32",
      condition,
      whenTrue: float(1).node,
      whenFalse: float(0).node,
    },
  };
}

/** Counts points whose interval decides the value to within 1e-4 or so. */
async function checkOnGpu(
  mods: readonly (ScoreMod | MaskMod)[],
  points: readonly Point[],
): Promise<number> {
  const scores = mods.map(asScore);
  const results = await evaluateOnGpu(scores, points);
  let tight = 0;
  for (const [index, { name, expression }] of scores.entries()) {
    const bound = intervalEvaluator(expression);
    const evaluate = evaluator(expression);
    for (const [at, point] of points.entries()) {
      const { score, batch, head, query, key } = point;
      const [low, high] = bound({
        score: [score, score],
        batch: [batch, batch],
        head: [head, head],
        query: [query, query],
        key: [key, key],
      });
      if (Number.isNaN(low)) continue;
      const value = results[index][at];
      assert(
        low <= value && value <= high,
        `${name} gives ${value}, not ${low}..${high} (float64: ${
          evaluate(score, batch, head, query, key)
        }) at ${JSON.stringify(point)} (FC_SEED=${SEED})`,
      );
      if (high - low <= 1e-4 * Math.max(1, Math.abs(value))) tight++;
    }
  }
  return tight / (scores.length * points.length);
}

function sample<T extends { node: ScoreMod["expression"] }>(
  arbitrary: fc.Arbitrary<T>,
  count: number,
): ScoreMod["expression"][] {
  return fc.sample(arbitrary, { seed: SEED, numRuns: 40 * count })
    .map((expression) => expression.node)
    .filter((node) => {
      const size = evaluationOrder(node).length;
      return size >= 3 && size <= 50;
    }).slice(0, count);
}

Deno.test({
  ...gpuTest,
  name: `emitMods() agrees with float64 on random trees${because}`,
  fn: async () => {
    const mods = [
      ...sample(trees.float, 12),
      ...sample(trees.int.map((value) => value.toFloat()), 6),
      ...sample(trees.bool.map((value) => value.select(float(1), 0)), 6),
    ].map((expression, index): ScoreMod => ({
      kind: "score",
      name: `tree ${index}`,
      expression,
    }));
    assertEquals(mods.length, 24);
    const tight = await checkOnGpu(mods, GRID);
    assert(tight > 0.7, `only ${tight} of the values are decided`);
  },
});

/** Masks of canvases, of packed rows and of other masks. */
const ZOO: readonly MaskMod[] = [
  neighborhood({ canvas: [18], kernel: 5 }),
  neighborhood({
    canvas: [3, 6],
    kernel: [2, 3],
    stride: [2, 1],
    dilation: [1, 2],
    causal: [true, false],
  }),
  neighborhood({ canvas: [4, 5], kernel: 3, order: tileOrder([4, 5], 2) }),
  slidingTile({ canvas: [4, 4], tile: 2, kernel: 2, text: 2 }),
  documents([0, 4, 4, 17]),
  withinDocuments(prefixLm(1), [0, 4, 17]),
  documentPrefixLm({ cuSeqlens: [0, 4, 18], prefixes: [2, 3] }),
  sharedPrefix({ cuSeqlens: [0, 2, 5, 18], prefixOf: [0, 0, 0] }),
  globalWindow({ window: 2, isGlobal: Uint8Array.of(0, 1, 0, 0, 0) }),
  bound(imageCross({ imageKeys: 3, intervals: [[0, 4], [3, 20]] }), -3),
  blockDiffusion({ length: 8, block: 3 }),
  draftBlocks({ prefix: 2, block: 4 }),
  spatialHead({ prompt: 1, sink: 2, width: 5 }),
  temporalHead({ prompt: 1, frame: 4, width: 2 }),
  withinBlocks(causal(), 5),
  blockwise(dilated({ window: 4, dilation: 2 }), 2),
  byBatch([causal(), blockDiagonal(4), causal()]),
  byHead([causal(), not(causal()), slidingWindow({ left: 1 }), causal()]),
];

Deno.test({
  ...gpuTest,
  name: `emitMods() agrees with float64 on every shipped mod${because}`,
  fn: async () => {
    const bits = Uint8Array.from({ length: 102 }, (_, i) => (i * 7) % 3 & 1);
    const values = Float32Array.from({ length: 102 }, (_, i) => (i % 13) - 6);
    const tight = await checkOnGpu([
      causal(),
      slidingWindow({ left: 3, right: 2 }),
      slidingWindow({}),
      prefixLm(3),
      prefixLm(Uint32Array.of(0, 9, 2)),
      document(Int32Array.of(0, 0, 1, 1, 1, -1, -1)),
      sinkWindow({ sinks: 2, window: 3 }),
      dilated({ window: 12, dilation: 4 }),
      blockDiagonal(4),
      tree(Int32Array.of(-1, 0, 0, 1, 3), 2),
      bound(booleanMask(bits, [6, 17]), 11),
      bound(booleanMask(bits, [3, 2, 17]), 15, 0, -2),
      bound(booleanMask(bits, [102]), 0),
      booleanMask(bits, [2, 3, 1, 17]),
      and(causal(), not(blockDiagonal(2))),
      or(dilated({ window: 9, dilation: 2 }), causal()),
      softcap(1.5),
      alibi(Float32Array.of(0.5, 0.25, 0.125, 0.0625)),
      alibi(values.subarray(0, 6), [3, 2]),
      bound(additiveBias(values, [2, 3, 17, 1]), -16),
      bound(additiveBias(values, [2, 3, 17, 1]), 4, -16),
      additiveBias(values, [6, 17], { queryOffset: 1 }),
      relativeBias(values.subarray(0, 44), [4, 11]),
      sandwich({ heads: 4, length: 12, width: 6 }),
      bound(
        bucketBias({
          table: values.subarray(0, 12),
          tableShape: [4, 3],
          buckets: Int32Array.from(bits),
          bucketShape: [6, 17],
        }),
        -1,
      ),
      ...ZOO,
    ], GRID);
    assertEquals(tight, 1);
  },
});

Deno.test({
  ...gpuTest,
  name: `emitMods() gives i32 its wrapping and its division by 0${because}`,
  fn: async () => {
    const least = -(2 ** 31);
    const cases: ScoreMod[] = [];
    for (const [a, b] of [[7, 0], [-7, 2], [7, -2], [least, -1], [-7, 3]]) {
      for (
        const operation of ["div", "rem", "mul", "sub", "xor", "shr"] as const
      ) {
        const value = int(a)[operation](b);
        // Halves, as f32 does not hold all of an i32.
        cases.push(
          scoreMod(
            `${a} ${operation} ${b} / 4096`,
            () => value.div(4096).toFloat(),
          ),
          scoreMod(
            `${a} ${operation} ${b} rem 4096`,
            () => value.rem(4096).toFloat(),
          ),
        );
      }
    }
    cases.push(
      scoreMod("neg", () => int(least).neg().toFloat()),
      scoreMod("abs", () => int(least).abs().toFloat()),
    );
    const [point] = GRID;
    const results = await evaluateOnGpu(cases, [point]);
    for (const [index, { name, expression }] of cases.entries()) {
      const { score, batch, head, query, key } = point;
      assertEquals(
        results[index][0],
        evaluator(expression)(score, batch, head, query, key),
        name,
      );
    }
  },
});

Deno.test({
  ...gpuTest,
  name: `emitMods() has a tanh that is accurate and never overflows${because}`,
  fn: async () => {
    const mod = scoreMod("tanh", ({ score }) => score.tanh());
    const scores = [0, 1e-6, 0.01, 0.2499, 0.25, 0.7, 3, 8, 20, 100, 1e6, 3e38]
      .flatMap((x) => [Math.fround(x), -Math.fround(x)]);
    const points = scores.map((score) => ({ ...GRID[0], score }));
    const [values] = await evaluateOnGpu([mod], points);
    for (const [index, score] of scores.entries()) {
      const exact = Math.tanh(score);
      assertAlmostEquals(values[index], exact, Math.abs(exact) * 2e-6);
    }
  },
});
