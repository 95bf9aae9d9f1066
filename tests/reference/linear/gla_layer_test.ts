import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  glaLayer,
  glaLayerBackward,
  type GlaLayerProblem,
  type GlaWeights,
} from "../../../reference/mod.ts";
import { Prng } from "../../../src/core/prng.ts";
import { property } from "../../support/property.ts";
import { normals, range, rowsOf } from "../cases.ts";
import { assertNear } from "./cases.ts";

/** A layer in one line: what a failing property prints. */
interface LayerCase {
  readonly seed: number;
  readonly lengths: readonly number[];
  readonly hidden: number;
  readonly heads: number;
  readonly headDim: number;
  readonly valueHeadDim: number;
  readonly rank: number;
}

const cases: fc.Arbitrary<LayerCase> = fc.record({
  seed: fc.nat(1e6),
  lengths: fc.array(fc.integer({ min: 0, max: 4 }), {
    minLength: 1,
    maxLength: 2,
  }),
  hidden: fc.integer({ min: 1, max: 4 }),
  heads: fc.integer({ min: 1, max: 2 }),
  headDim: fc.integer({ min: 1, max: 3 }),
  valueHeadDim: fc.integer({ min: 1, max: 3 }),
  rank: fc.integer({ min: 1, max: 2 }),
});

function layerOf(c: LayerCase): GlaLayerProblem {
  const random = new Prng(c.seed);
  const { hidden, rank, valueHeadDim } = c;
  const [keys, values] = [c.heads * c.headDim, c.heads * valueHeadDim];
  const tokens = c.lengths.reduce((sum, length) => sum + length, 0);
  const cuSeqlens = [0];
  for (const length of c.lengths) cuSeqlens.push(cuSeqlens.at(-1)! + length);
  return {
    ...c,
    cuSeqlens,
    input: normals(random, tokens * hidden),
    initialState: normals(random, c.lengths.length * keys * valueHeadDim),
    weights: {
      query: normals(random, keys * hidden),
      key: normals(random, keys * hidden),
      value: normals(random, values * hidden),
      gateDown: normals(random, rank * hidden),
      gateUp: normals(random, keys * rank),
      gateBias: normals(random, keys),
      outputGate: normals(random, values * hidden),
      norm: normals(random, valueHeadDim),
      output: normals(random, hidden * values),
    },
    // Far from 0: what RMSNorm divides by, where finite differences step.
    eps: 0.5,
  };
}

Deno.test("glaLayer() is what the paper says, by hand", () => {
  // One head, one token after a state: everything is a number or two.
  const c = { seed: 5, lengths: [1], hidden: 2, heads: 1, headDim: 1 };
  const layer = layerOf({ ...c, valueHeadDim: 2, rank: 1 });
  const { weights: w, input: x, initialState: h } = layer;
  const row = (weight: ArrayLike<number>, n: number) =>
    weight[2 * n] * x[0] + weight[2 * n + 1] * x[1];
  const [q, k] = [row(w.query, 0), row(w.key, 0)];
  const z = w.gateUp[0] * row(w.gateDown, 0) + w.gateBias[0];
  const decay = (1 / (1 + Math.exp(-z))) ** (1 / 16);
  const state = [0, 1].map((c) => decay * h![c] + k * row(w.value, c));
  const o = state.map((s) => q * s);
  const root = Math.sqrt((o[0] ** 2 + o[1] ** 2) / 2 + 0.5);
  const gated = o.map((x, c) => {
    const gate = row(w.outputGate, c);
    return w.norm[c] * x / root * gate / (1 + Math.exp(-gate));
  });
  const y = [0, 1].map((n) =>
    w.output[2 * n] * gated[0] + w.output[2 * n + 1] * gated[1]
  );
  const actual = glaLayer(layer);
  assertNear(actual.output, y);
  assertNear(actual.state, state);
});

property(
  "glaLayerBackward() is the slope of the layer, by finite differences",
  [cases],
  (c) => {
    const layer = layerOf(c);
    const random = new Prng(c.seed + 1);
    const outputGradient = normals(random, layer.input.length);
    const stateGradient = normals(random, layer.initialState!.length);
    const lossOf = (changed: GlaLayerProblem) => {
      const { output, state } = glaLayer(changed);
      let loss = 0;
      output.forEach((x, n) => loss += x * outputGradient[n]);
      state.forEach((x, n) => loss += x * stateGradient[n]);
      return loss;
    };
    const size = 1 + Math.abs(lossOf(layer));
    const assertSlope = (
      name: string,
      { array, gradient, moved }: {
        array: ArrayLike<number>;
        gradient: ArrayLike<number>;
        moved: (array: Float64Array) => GlaLayerProblem;
      },
    ) => {
      assertEquals(gradient.length, array.length, name);
      const own = Float64Array.from(array);
      const problem = moved(own);
      own.forEach((x, n) => {
        // Short, as RMSNorm bends where a row is small.
        const h = 2 ** -13;
        const at = (step: number) => {
          own[n] = x + step;
          const loss = lossOf(problem);
          own[n] = x;
          return loss;
        };
        const slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) /
          (12 * h);
        const off = Math.abs(gradient[n] - slope);
        assert(
          off <= 1e-6 * (size + Math.abs(slope)),
          `${name}[${n}] is ${gradient[n]}, not ${slope}`,
        );
      });
    };

    const gradients = glaLayerBackward({
      ...layer,
      outputGradient,
      stateGradient,
    });
    assertSlope("input", {
      array: layer.input,
      gradient: gradients.inputGradient,
      moved: (input) => ({ ...layer, input }),
    });
    assertSlope("initialState", {
      array: layer.initialState!,
      gradient: gradients.initialStateGradient,
      moved: (initialState) => ({ ...layer, initialState }),
    });
    for (const name of Object.keys(layer.weights) as (keyof GlaWeights)[]) {
      assertSlope(name, {
        array: layer.weights[name],
        gradient: gradients.weightGradients[name],
        moved: (weight) => ({
          ...layer,
          weights: { ...layer.weights, [name]: weight },
        }),
      });
    }
  },
  { runs: 15 },
);

property(
  "glaLayer() hands its state over, and starts anew with each sequence",
  [cases, fc.nat()],
  (c, n) => {
    const layer = layerOf({ ...c, lengths: [c.lengths[0]] });
    const tokens = c.lengths[0];
    const at = n % (tokens + 1);
    const part = (first: number, end: number, state: ArrayLike<number>) =>
      glaLayer({
        ...layer,
        cuSeqlens: [0, end - first],
        input: rowsOf(layer.input, { first, end, width: c.hidden }),
        initialState: state,
      });
    const before = part(0, at, layer.initialState!);
    const after = part(at, tokens, before.state);
    const { output, state } = glaLayer(layer);
    assertEquals([...before.output, ...after.output], [...output]);
    assertEquals(after.state, state);
  },
);

property(
  "glaLayer() and glaLayerBackward() in float32 are near float64",
  [cases],
  (c) => {
    const layer = layerOf(c);
    const { output } = glaLayer({ ...layer, round: Math.fround });
    assertEquals([...output], [...output].map(Math.fround));
    let size = 1;
    const exact = glaLayer(layer).output;
    exact.forEach((x) => size = Math.max(size, Math.abs(x)));
    assertNear(output, exact, 1e-4 * size);
    const outputGradient = range(layer.input.length).map(() => 1);
    const { weightGradients } = glaLayerBackward({
      ...layer,
      outputGradient,
      round: Math.fround,
    });
    for (const gradient of Object.values(weightGradients)) {
      assert(Array.from<number>(gradient).every(Number.isFinite));
    }
  },
);

Deno.test("glaLayer() says which weight is not as long as it should be", () => {
  const layer = layerOf({
    seed: 1,
    lengths: [2],
    hidden: 3,
    heads: 2,
    headDim: 2,
    valueHeadDim: 1,
    rank: 1,
  });
  const wrong: [Partial<GlaWeights>, string][] = [
    [{ query: [1] }, "weights.query must have 12 elements [4, 3]"],
    [{ gateDown: [1] }, "weights.gateDown must have 3 elements [1, 3]"],
    [{ gateBias: [1] }, "weights.gateBias must have 4 elements [4]"],
    [{ norm: [] }, "weights.norm must have 1 elements [1]"],
    [{ output: [1] }, "weights.output must have 6 elements [3, 2]"],
  ];
  for (const [change, message] of wrong) {
    const weights = { ...layer.weights, ...change };
    assertThrows(() => glaLayer({ ...layer, weights }), TypeError, message);
  }
});
