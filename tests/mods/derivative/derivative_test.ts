import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import {
  additiveBias,
  alibi,
  capture,
  emitMods,
  type ExpressionNode,
  Float,
  float,
  relativeBias,
  scoreDerivative,
  scoreFunction,
  type ScoreMod,
  scoreMod,
  softcap,
} from "../../../src/mods/mod.ts";
import { scoreDerivativeNode } from "../../../src/mods/derivative/derivative.ts";
import { evaluator } from "../../../src/mods/evaluate.ts";
import { intervalEvaluator } from "../../../src/mods/interval/interval.ts";
import { evaluationOrder } from "../../../src/mods/nodes.ts";
import { Prng } from "../../../src/core/prng.ts";
import { checkProperty, property, SEED } from "../../support/property.ts";
import { evaluateOnGpu, isAvailable, type Point } from "../gpu_grid.ts";
import { trees } from "../trees.ts";

type At = [number, number, number, number];

function modOf(expression: Float): ScoreMod {
  return { kind: "score", name: "tree", expression: expression.node };
}

/** A slope by central differences, and how far off that may be. */
function slopeOf(
  f: (score: number) => number,
  score: number,
): { slope: number; off: number } {
  const h = 2 ** -16 * Math.max(1, Math.abs(score));
  const central = (h: number) => (f(score + h) - f(score - h)) / (2 * h);
  const [one, half] = [central(h), central(h / 2)];
  const size = Math.abs(f(score)) + Math.abs(score * one);
  return {
    slope: (4 * half - one) / 3,
    off: Math.abs(one - half) + 2 ** -46 * size / h,
  };
}

/** Holds a derivative against differences; whether there is no corner near. */
function checkSlope(mods: ScoreMod[], score: number, at: At): boolean {
  const value = scoreFunction(mods);
  const { slope, off } = slopeOf((s) => value(s, ...at), score);
  const actual = scoreDerivative(mods)(score, ...at);
  assert(Number.isFinite(actual), `${actual} at ${score}`);
  // Two step sizes that disagree: a corner or a jump lies between.
  if (!(off <= 1e-3 * (1 + Math.abs(slope)))) return false;
  assertAlmostEquals(actual, slope, 8 * off + 1e-9 * (1 + Math.abs(slope)));
  return true;
}

Deno.test("scoreDerivative() is the slope of random trees", async () => {
  let smooth = 0;
  let all = 0;
  await checkProperty(
    "scoreDerivative() is the slope of random trees",
    [fc.array(trees.float, { minLength: 1, maxLength: 3 }), fc.nat()],
    (expressions, seed) => {
      const prng = new Prng(seed);
      const mods = expressions.map(modOf);
      for (let n = 0; n < 8; n++) {
        const at: At = [
          prng.below(3),
          prng.below(4),
          prng.below(20) - 4,
          prng.below(16),
        ];
        const score = 3 * prng.normal();
        // Products of trees of trees leave float64's range in their slopes.
        const value = scoreFunction(mods)(score, ...at);
        if (!(Math.abs(value) < 1e15)) continue;
        all++;
        if (checkSlope(mods, score, at)) smooth++;
      }
    },
    { runs: 1000 },
  );
  assert(smooth > 0.9 * all, `only ${smooth} of ${all} points are smooth`);
});

property(
  "scoreDerivative() never makes a tree much larger",
  [trees.float],
  (expression) => {
    const size = evaluationOrder(expression.node).length;
    const slope = evaluationOrder(scoreDerivativeNode([modOf(expression)]));
    // Each node has a slope, and each slope a handful of nodes of its own.
    assert(slope.length <= 10 * size, `${slope.length} of ${size}`);
  },
  { runs: 300 },
);

Deno.test("scoreDerivative() has the closed forms of shipped mods", () => {
  const values = Float32Array.from({ length: 24 }, (_, n) => n - 7);
  const slope = scoreDerivative([softcap(20)]);
  for (const score of [-300, -20, -1, 0, 0.5, 7, 40]) {
    const expected = 1 - Math.tanh(score / 20) ** 2;
    assertAlmostEquals(slope(score, 0, 0, 0, 0), expected, 1e-15);
  }
  const flat = [
    alibi(Float32Array.of(0.5, 0.25)),
    additiveBias(values, [4, 6], { queryOffset: 0 }),
    relativeBias(values.subarray(0, 10), [2, 5]),
  ];
  for (const mods of [[], ...flat.map((mod) => [mod]), flat]) {
    const node = scoreDerivativeNode(mods);
    assertEquals(node, { kind: "literal", type: "f32", value: 1 });
  }
});

Deno.test("scoreDerivative() goes through a list by the chain rule", () => {
  const half = scoreMod("half", ({ score }) => score.mul(0.5));
  const bias = scoreMod("bias", ({ score, key }) => score.add(key.toFloat()));
  const square = scoreMod("square", ({ score }) => score.mul(score));
  const at = (mods: ScoreMod[]) => scoreDerivative(mods)(3, 0, 0, 0, 5);
  assertEquals(at([square, half]), 3);
  assertEquals(at([half, square]), 2 * 1.5 * 0.5);
  assertEquals(at([half, bias, square]), 2 * 6.5 * 0.5);
  assertEquals(at([square, bias, half, square]), 2 * 7 * 0.5 * 6);
});

/** The derivative of `modify` as text, by the names of methods. */
function textOf(modify: (score: Float, other: Float) => Float): string {
  const other = capture(Float32Array.of(2)).at(0);
  const node = scoreDerivativeNode([
    scoreMod("text", ({ score }) => modify(score, other)),
  ]);
  const show = (node: ExpressionNode): string => {
    switch (node.kind) {
      case "literal":
        return `${node.value}`;
      case "variable":
        return node.name;
      case "load":
        return "c";
      case "unary":
        return `${node.operation}(${show(node.operand)})`;
      case "select":
        return `select(${show(node.condition)}, ${show(node.whenTrue)}, ${
          show(node.whenFalse)
        })`;
      default:
        return `${node.operation}(${show(node.left)}, ${show(node.right)})`;
    }
  };
  return show(node);
}

Deno.test("scoreDerivative() is simplified", () => {
  const big = Math.fround(1e30);
  const forms: [(score: Float, c: Float) => Float, string][] = [
    [(s) => s, "1"],
    [(_s, c) => c, "0"],
    [(s) => s.neg(), "-1"],
    [(s, c) => s.add(c), "1"],
    [(s, c) => c.sub(s), "-1"],
    [(s, c) => s.mul(c), "c"],
    [(s, c) => c.mul(s).neg(), "neg(c)"],
    [(s) => s.mul(2).mul(4), "8"],
    [(s) => s.div(2), "div(1, 2)"],
    [(s) => s.div(3), "div(1, 3)"],
    [(s, c) => s.div(c).mul(c), "1"],
    [(s, c) => c.div(s), "neg(div(div(c, score), score))"],
    [(s) => s.mul(s), "add(score, score)"],
    [(s) => s.exp(), "exp(score)"],
    [(s) => s.neg().exp(), "neg(exp(neg(score)))"],
    [(s) => s.log(), "div(1, score)"],
    [(s) => s.tanh(), "sub(1, mul(tanh(score), tanh(score)))"],
    [(s) => s.floor().add(s), "1"],
    [(s, c) => s.gt(c).select(s, c), "select(gt(score, c), 1, 0)"],
    [(s, c) => s.gt(c).select(s, s.add(c)), "1"],
    [(s, c) => s.min(c), "select(le(score, c), 1, 0)"],
    [(s, c) => c.max(s), "select(ge(c, score), 0, 1)"],
    [
      (s) => s.abs(),
      "select(gt(score, 0), 1, select(lt(score, 0), -1, 0))",
    ],
    [
      (s) => s.sqrt(),
      `select(ge(score, ${2 ** -126}), div(0.5, sqrt(max(score, ${
        2 ** -126
      }))), 0)`,
    ],
    [(s, c) => s.sub(s).mul(c), "0"],
    [(s, c) => s.mul(s).neg().mul(c), "neg(mul(add(score, score), c))"],
    [(s, c) => s.mul(s).neg().mul(c.neg()), "mul(add(score, score), c)"],
    [(s) => s.mul(0).exp(), "0"],
    // Not rounded to float32 before it is emitted.
    [(s) => s.mul(0.1).mul(0.1), `${Math.fround(0.1) ** 2}`],
    [(s) => s.mul(1e30).mul(1e30), `mul(${big}, ${big})`],
    [(s, c) => s.div(c).exp(), "div(exp(div(score, c)), c)"],
    [(s, c) => s.mul(c).div(3).mul(c), "div(mul(c, c), 3)"],
  ];
  for (const [modify, text] of forms) assertEquals(textOf(modify), text);
  // Caps of their own leave no factor behind.
  const cap = scoreDerivativeNode([softcap(20)]);
  assertEquals(evaluationOrder(cap).length, 7);
});

Deno.test("derivatives have one source for one structure", () => {
  const code = (mod: ScoreMod) =>
    emitMods({ scoreMods: [mod], maskMods: [], derivative: true }).code;
  for (const cap of [0.5, 2, 49]) {
    assertEquals(code(softcap(cap)), code(softcap(20)));
  }
  const line = (a: number, b: number) =>
    scoreMod("line", ({ score }) => score.mul(a).tanh().mul(b).add(a));
  assertEquals(code(line(0.1, 0.3)), code(line(2, 4)));
});

Deno.test("scoreDerivative() takes a side at corners", () => {
  const corner = (modify: (score: Float) => Float) =>
    scoreDerivative([scoreMod("corner", ({ score }) => modify(score))])(
      0,
      ...[0, 0, 0, 0] as At,
    );
  assertEquals(corner((s) => s.abs()), 0);
  assertEquals(corner((s) => s.sqrt()), 0);
  assertEquals(corner((s) => s.min(0)), 1);
  assertEquals(corner((s) => float(0).min(s)), 0);
  assertEquals(corner((s) => s.max(0)), 1);
  assertEquals(corner((s) => float(0).max(s)), 0);
  assertEquals(corner((s) => s.floor()), 0);
  assertEquals(corner((s) => s.abs().sqrt()), 0);
});

Deno.test("scoreDerivative() names the operation that has none", () => {
  // No method makes such a node: a tree by hand.
  const expression: ExpressionNode = {
    kind: "binary",
    type: "f32",
    operation: "rem",
    left: { kind: "variable", type: "f32", name: "score" },
    right: float(3).node,
  };
  const mods: ScoreMod[] = [
    softcap(3),
    { kind: "score", name: "odd one", expression },
  ];
  const message = "score mod odd one must be made of operations that have a " +
    "derivative where gradients are asked for: current value has rem() of floats";
  assertThrows(() => scoreDerivative(mods), TypeError, message);
  const options = { scoreMods: mods, maskMods: [] };
  assertThrows(
    () => emitMods({ ...options, derivative: true }),
    TypeError,
    message,
  );
  emitMods(options);
});

Deno.test("scoreDerivative() reads captures as they are, and rows once bound", () => {
  const data = Float32Array.of(1, 3);
  const scaled = capture(data);
  const slope = scoreDerivative([
    scoreMod("scaled", ({ score, key }) => score.mul(scaled.at(key))),
  ]);
  assertEquals(slope(9, 0, 0, 0, 1), 3);
  data[1] = 5;
  assertEquals(slope(9, 0, 0, 0, 1), 5);
  const byRow = scoreMod("row", ({ score, row }) => score.mul(row.toFloat()));
  assertThrows(() => scoreDerivative([byRow]), TypeError, "must be bound");
});

Deno.test("emitMods() emits the derivative where it is asked for", () => {
  const emit = (scoreMods: ScoreMod[], derivative = true) =>
    emitMods({ scoreMods, maskMods: [], derivative });
  const capped = emit([softcap(2)]);
  const expected = `
fn mod_score_derivative(score: f32, batch: i32, head: i32, query: i32, key: i32) -> f32 {
  let v0 = mod_tanh((score / bitcast<f32>(captures[2u])));
  return (bitcast<f32>(captures[1u]) - (v0 * v0));
}
`;
  assert(capped.code.endsWith(expected), capped.code);
  assertEquals(capped.hasDerivative, true);
  const plain = emit([softcap(2)], false);
  assert(!plain.code.includes("derivative"));
  assert(capped.code.startsWith(plain.code));
  assertEquals(plain.hasDerivative, false);

  const flat = emit([alibi(Float32Array.of(1, 2))]);
  assertEquals(flat.hasDerivative, false);
  assert(flat.code.endsWith(") -> f32 {\n  return 1.0;\n}\n"), flat.code);
  assertEquals(flat.data, emit([alibi(Float32Array.of(1, 2))], false).data);
  assertEquals(emit([]).hasDerivative, false);
});

const available = await isAvailable();
const because = available ? "" : " (skipped: no WebGPU adapter)";

Deno.test({
  ignore: !available,
  name: `emitMods() has derivatives that agree with float64${because}`,
  fn: async () => {
    const points: Point[] = [];
    for (const score of [-3.7, -0.6, -0.001, 0, 0.3, 1, 2.9]) {
      for (const [batch, head] of [[0, 0], [1, 3]]) {
        for (const [query, key] of [[-3, 0], [4, 5], [17, 16]]) {
          points.push({ score: Math.fround(score), batch, head, query, key });
        }
      }
    }
    const drawn = fc.sample(trees.float, { seed: SEED, numRuns: 400 })
      .filter(({ node }) => {
        const size =
          evaluationOrder(scoreDerivativeNode([modOf(new Float(node))]))
            .length;
        return size >= 3 && size <= 60;
      }).slice(0, 12).map(modOf);
    const mods = [
      softcap(1.5),
      alibi(Float32Array.of(0.5, 0.25, 0.125, 0.0625)),
      ...drawn,
    ];
    const results = await evaluateOnGpu(mods, points, true);
    let tight = 0;
    for (const [index, mod] of mods.entries()) {
      const node = scoreDerivativeNode([mod]);
      const [bound, exact] = [intervalEvaluator(node), evaluator(node)];
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
          `mod ${index} gives ${value}, not ${low}..${high} (float64: ${
            exact(score, batch, head, query, key)
          }) at ${JSON.stringify(point)} (FC_SEED=${SEED})`,
        );
        if (high - low <= 1e-3 * Math.max(1, Math.abs(value))) tight++;
      }
    }
    const share = tight / (mods.length * points.length);
    assert(share > 0.7, `only ${share} of the values are decided`);
  },
});
