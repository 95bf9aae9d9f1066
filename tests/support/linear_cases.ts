/**
 * Cases of linear attention as plain data: a case is one JSON line from which
 * inputs and the float64 problem follow, so that a failure is replayed by
 * printing it.
 *
 * @module
 */

import fc from "fast-check";
import type {
  DecayShape,
  LinearAttentionProblem,
  LinearRule,
} from "../../reference/mod.ts";
import { roundAll } from "../../reference/naive.ts";
import type { DType } from "../../src/core/dtype.ts";
import { Prng } from "../../src/core/prng.ts";

/**
 * What queries, keys and values look like; `unit` has queries and keys of
 * length 1, without which delta rules grow without bound.
 */
export type LinearDistribution =
  | "unit"
  | "normal"
  | "large"
  | "equal"
  | "outlier"
  | "tiny";

/** All distributions. */
export const LINEAR_DISTRIBUTIONS: readonly LinearDistribution[] = [
  "unit",
  "normal",
  "large",
  "equal",
  "outlier",
  "tiny",
];

/**
 * How strong decay is: none at all, a trained layer's, so strong that a chunk
 * leaves nothing of the state, so strong that one token does, or any of these
 * by turns.
 */
export type GateSize = "zero" | "mild" | "strong" | "extreme" | "mixed";

/** All sizes of gates. */
export const GATE_SIZES: readonly GateSize[] = [
  "zero",
  "mild",
  "strong",
  "extreme",
  "mixed",
];

/** Query, key and value heads: each way in which they may differ. */
export const LINEAR_HEADS: readonly LinearHeads[] = [
  { queryHeads: 1, keyHeads: 1, valueHeads: 1 },
  { queryHeads: 2, keyHeads: 1, valueHeads: 1 },
  { queryHeads: 2, keyHeads: 2, valueHeads: 2 },
  { queryHeads: 4, keyHeads: 1, valueHeads: 2 },
  { queryHeads: 1, keyHeads: 1, valueHeads: 2 },
  { queryHeads: 2, keyHeads: 2, valueHeads: 4 },
];

/** The heads of a case. */
export interface LinearHeads {
  readonly queryHeads: number;
  readonly keyHeads: number;
  readonly valueHeads: number;
}

/** One call of linear attention. */
export interface LinearCase extends LinearHeads {
  /** Decides every random number of the inputs. */
  readonly seed: number;
  /** Storage of query, key and value. */
  readonly dtype: DType;
  /** Dense: all sequences are equally long. */
  readonly layout: "dense" | "ragged";
  /** Tokens of each sequence. */
  readonly sequences: readonly number[];
  readonly headDim: number;
  readonly valueHeadDim: number;
  readonly distribution: LinearDistribution;
  /** What log gates are given for; none by default. */
  readonly decay?: DecayShape;
  /** Default `mild`. */
  readonly gates?: GateSize;
  /** A beta for each value head, or one for all; none by default. */
  readonly beta?: "head" | "one";
  readonly scale?: number;
  /** Whether there is a state to start from; there is none by default. */
  readonly initialState?: boolean;
}

/** The smallest case; tests spread it and change what they are about. */
export const PLAIN_LINEAR: LinearCase = {
  seed: 1,
  dtype: "f32",
  layout: "dense",
  sequences: [17],
  queryHeads: 2,
  keyHeads: 1,
  valueHeads: 1,
  headDim: 16,
  valueHeadDim: 16,
  distribution: "unit",
};

/** The inputs of a case, exact in its dtype; sequences one after another. */
export interface LinearData {
  /** `[tokens, queryHeads, headDim]`. */
  readonly query: Float32Array;
  /** `[tokens, keyHeads, headDim]`. */
  readonly key: Float32Array;
  /** `[tokens, valueHeads, valueHeadDim]`. */
  readonly value: Float32Array;
  /** As its shape says. */
  readonly decay?: Float32Array;
  /** `[tokens, valueHeads]` or `[tokens, 1]`. */
  readonly beta?: Float32Array;
  /** `[sequences, valueHeads, headDim, valueHeadDim]`; in float32. */
  readonly initialState?: Float32Array;
}

/** What a loss sends back. */
export interface LinearUpstream {
  /** `[tokens, outputHeads, valueHeadDim]`, exact in the dtype. */
  readonly outputGradient: Float32Array;
  /** `[sequences, valueHeads, headDim, valueHeadDim]`; in float32. */
  readonly stateGradient: Float32Array;
}

/** The rule of a case. */
export function linearRuleOf({ decay, beta }: LinearCase): LinearRule {
  if (beta) return decay ? "gated_delta" : "delta";
  return decay ? "gated" : "linear";
}

/** Where each sequence of a case starts, and where the last one ends. */
export function linearStartsOf({ sequences }: LinearCase): Uint32Array {
  const starts = new Uint32Array(sequences.length + 1);
  sequences.forEach((length, n) => starts[n + 1] = starts[n] + length);
  return starts;
}

/**
 * The inputs of a case. Those of a sequence depend on the seed and its index
 * only; constant gates on the seed.
 */
export function linearDataOf(c: LinearCase): LinearData {
  const parts = c.sequences.map((tokens, n) => sequenceDataOf(c, tokens, n));
  const all = (name: keyof LinearData) =>
    concatenated(parts.map((part) => part[name]!));
  const constant = c.decay?.startsWith("constant");
  return {
    query: all("query"),
    key: all("key"),
    value: all("value"),
    ...(c.decay ? { decay: constant ? constantGates(c) : all("decay") } : {}),
    ...(c.beta ? { beta: all("beta") } : {}),
    ...(c.initialState ? { initialState: all("initialState") } : {}),
  };
}

/** What a loss sends back to a case; by sequence as inputs are. */
export function linearUpstreamOf(c: LinearCase): LinearUpstream {
  const outputHeads = Math.max(c.queryHeads, c.valueHeads);
  const parts = c.sequences.map((tokens, n) => {
    const random = new Prng(c.seed * 0x9e3779b1 + n + 0x5bd1e995);
    return {
      output: normals(random, tokens * outputHeads * c.valueHeadDim),
      state: normals(random, c.valueHeads * c.headDim * c.valueHeadDim),
    };
  });
  return {
    outputGradient: roundAll(
      c.dtype,
      concatenated(parts.map(({ output }) => output)),
    ),
    stateGradient: concatenated(parts.map(({ state }) => state)),
  };
}

/** A case as the oracle takes it. */
export function linearProblemOf(
  c: LinearCase,
  data: LinearData = linearDataOf(c),
): LinearAttentionProblem {
  const { queryHeads, keyHeads, valueHeads, headDim, valueHeadDim } = c;
  return {
    ...data,
    ...(c.layout === "dense"
      ? { batch: c.sequences.length, sequence: c.sequences[0] ?? 0 }
      : { cuSeqlens: linearStartsOf(c) }),
    decayShape: c.decay,
    queryHeads,
    keyHeads,
    valueHeads,
    headDim,
    valueHeadDim,
    // What the kernel multiplies by is a float32.
    scale: Math.fround(c.scale ?? 1 / Math.sqrt(headDim)),
    rule: linearRuleOf(c),
  };
}

/** Cases, small and odd; `changes` fixes or widens some of their fields. */
export function linearCases(
  changes: Partial<LinearArbitraries> = {},
): fc.Arbitrary<LinearCase> {
  const {
    rule,
    heads,
    sequences,
    layout,
    decay,
    gates,
    beta,
    distribution,
    ...rest
  } = { ...LINEAR_ARBITRARIES, ...changes };
  return fc.record({
    ...rest,
    rule,
    heads,
    sequences,
    layout,
    decay,
    gates,
    beta,
    distribution,
  }).map(({ rule, heads, ...c }): LinearCase => {
    const gated = rule === "gated" || rule === "gated_delta";
    const delta = rule === "delta" || rule === "gated_delta";
    const { decay, gates, beta, distribution, sequences, ...others } = c;
    return {
      ...others,
      ...heads,
      sequences: c.layout === "dense"
        ? sequences.map(() => sequences[0])
        : sequences,
      distribution: delta ? "unit" : distribution,
      ...(gated ? { decay, gates } : {}),
      ...(delta ? { beta } : {}),
    };
  });
}

/** How each field of a case is drawn. */
export interface LinearArbitraries {
  seed: fc.Arbitrary<number>;
  dtype: fc.Arbitrary<DType>;
  layout: fc.Arbitrary<"dense" | "ragged">;
  sequences: fc.Arbitrary<readonly number[]>;
  heads: fc.Arbitrary<LinearHeads>;
  headDim: fc.Arbitrary<number>;
  valueHeadDim: fc.Arbitrary<number>;
  rule: fc.Arbitrary<LinearRule>;
  distribution: fc.Arbitrary<LinearDistribution>;
  decay: fc.Arbitrary<DecayShape>;
  gates: fc.Arbitrary<GateSize>;
  beta: fc.Arbitrary<"head" | "one">;
  initialState: fc.Arbitrary<boolean>;
}

const LINEAR_ARBITRARIES: LinearArbitraries = {
  seed: fc.nat(1e6),
  dtype: fc.constant("f32"),
  layout: fc.constantFrom("dense", "ragged"),
  sequences: fc.array(fc.integer({ min: 0, max: 12 }), {
    minLength: 1,
    maxLength: 3,
  }),
  heads: fc.constantFrom(...LINEAR_HEADS),
  headDim: fc.integer({ min: 1, max: 6 }),
  valueHeadDim: fc.integer({ min: 1, max: 6 }),
  rule: fc.constantFrom("linear", "gated", "delta", "gated_delta"),
  distribution: fc.constantFrom(...LINEAR_DISTRIBUTIONS),
  decay: fc.constantFrom(
    "channel",
    "head",
    "constant_channel",
    "constant_head",
  ),
  gates: fc.constantFrom(...GATE_SIZES),
  beta: fc.constantFrom("head", "one"),
  initialState: fc.boolean(),
};

/** Multiplications of a case, for limits on what a test run may take. */
export function linearWorkOf(c: LinearCase): number {
  const tokens = c.sequences.reduce((sum, length) => sum + length, 0);
  const heads = c.valueHeads + Math.max(c.queryHeads, c.valueHeads);
  return tokens * heads * c.headDim * c.valueHeadDim;
}

/** What `linearDataOf` gives of one sequence. */
function sequenceDataOf(
  c: LinearCase,
  tokens: number,
  n: number,
): Required<LinearData> {
  const random = new Prng(c.seed * 0x9e3779b1 + n);
  const make = (rows: number, dim: number, role: "value" | "other") =>
    roundAll(c.dtype, vectors(c, random, { rows, dim, role }));
  const gates = tokens * c.valueHeads * (c.decay === "channel" ? c.headDim : 1);
  const betas = tokens * (c.beta === "one" ? 1 : c.valueHeads);
  return {
    query: make(tokens * c.queryHeads, c.headDim, "other"),
    key: make(tokens * c.keyHeads, c.headDim, "other"),
    value: make(tokens * c.valueHeads, c.valueHeadDim, "value"),
    decay: logGates(c, random, gates),
    beta: roundAll(
      c.dtype,
      Array.from({ length: betas }, () => random.uniform()),
    ),
    initialState: normals(random, c.valueHeads * c.headDim * c.valueHeadDim),
  };
}

function vectors(
  { distribution, dtype }: LinearCase,
  random: Prng,
  { rows, dim, role }: { rows: number; dim: number; role: "value" | "other" },
): Float32Array {
  const half = dtype === "f16";
  const factor = { large: half ? 8 : 100, tiny: half ? 2 ** -10 : 1e-10 };
  const out = normals(random, rows * dim);
  if (distribution === "equal") out.fill(1);
  if (distribution === "tiny") out.forEach((x, n) => out[n] = x * factor.tiny);
  if (distribution === "large" && role !== "value") {
    out.forEach((x, n) => out[n] = x * factor.large);
  }
  if (distribution === "outlier" && out.length > 0) {
    out[random.below(out.length)] *= half ? 30 : 1e4;
  }
  if (distribution === "unit" && role !== "value") {
    for (let row = 0; row < rows; row++) {
      const vector = out.subarray(row * dim, (row + 1) * dim);
      const length = Math.hypot(...vector);
      vector.forEach((x, t) => vector[t] = x / (length || 1));
    }
  }
  return out;
}

function constantGates(c: LinearCase): Float32Array {
  const gates = c.valueHeads *
    (c.decay === "constant_channel" ? c.headDim : 1);
  return logGates(c, new Prng(c.seed * 0x9e3779b1 - 1), gates);
}

function logGates(
  { gates = "mild", dtype }: LinearCase,
  random: Prng,
  length: number,
): Float32Array {
  return roundAll(
    dtype,
    Array.from({ length }, () => logGate(gates, random)),
  );
}

/** One log gate; what it takes of the generator does not depend on the size. */
function logGate(size: GateSize, random: Prng): number {
  const [x, turn] = [random.normal(), random.below(4)];
  switch (size) {
    case "zero":
      return 0;
    case "mild":
      // A trained layer's: logsigmoid(x) / 16.
      return -Math.log1p(Math.exp(-x)) / 16;
    case "strong":
      return -Math.abs(x) * 5;
    case "extreme":
      return -60 - Math.abs(x) * 1000;
    case "mixed":
      return [0, -Math.abs(x) / 16, -Math.abs(x) * 5, -100 - x * x][turn];
  }
}

function normals(random: Prng, length: number): Float32Array {
  return Float32Array.from({ length }, () => random.normal());
}

function concatenated(parts: readonly Float32Array[]): Float32Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const out = new Float32Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
