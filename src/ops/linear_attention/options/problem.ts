/**
 * A linear attention problem: what one call is about, after all checks, and how
 * options become one.
 *
 * @module
 */

import {
  checkBoolean,
  checkFinite,
  checkInteger,
  checkRange,
  checkType,
} from "../../../core/check.ts";
import type { DType } from "../../../core/dtype.ts";
import {
  checkFeatureMap,
  featureDim,
  type FeatureMap,
} from "../../../core/features.ts";
import { checkOptions } from "../../../core/options.ts";
import { UnsupportedError } from "../../../core/errors.ts";
import { givenStrides } from "../../attention/options/given_strides.ts";
import {
  describeRows,
  readAs,
  type RowsShape,
} from "../../attention/options/layouts.ts";
import { indicesOf, querySpans } from "../../attention/options/spans.ts";
import type { GivenStrides, Layout } from "../../attention/problem.ts";
import { GpuTensor } from "../../../gpu/mod.ts";
import { type AnyTensor, describeTensor } from "../../tensors.ts";
import { formOf, type LinearForm } from "./forms.ts";
import { checkHostGates, type GateShape, gateShape } from "./gate_shape.ts";
import { checkLinearOptions, type LinearAttentionOptions } from "./options.ts";
import { type PrefixProblem, prefixProblem } from "./prefix.ts";
import { ruleOf, type UpdateRule } from "./rules.ts";

/**
 * One sequence of the batch.
 *
 * @category Plans
 */
export interface LinearSequence {
  /** Its number, where the tensors have a stride for it; otherwise 0. */
  readonly batch: number;
  /** Its first token, from where token strides count. */
  readonly token: number;
  /** Its tokens. */
  readonly count: number;
  /** The state that it begins with; none for zeros. */
  readonly initial: number | undefined;
  /** Where the state that it ends with goes; none where it is not kept. */
  readonly final: number | undefined;
}

/**
 * The tensors of a problem that have rows.
 *
 * @category Plans
 */
export type LinearRows = "query" | "key" | "value" | "output";

/**
 * One call of linear attention.
 *
 * @category Attention
 */
export interface LinearProblem {
  /** Storage of queries, keys, values and output. */
  readonly dtype: DType;
  /** How a token changes the state. */
  readonly rule: UpdateRule;
  /** Heads of queries. */
  readonly queryHeads: number;
  /** Heads of keys, a divisor of those of states. */
  readonly keyHeads: number;
  /** Heads of values and of states. */
  readonly stateHeads: number;
  /** Heads of outputs: as many as queries or states have, whichever is more. */
  readonly outputHeads: number;
  /** Elements of a query or key row. */
  readonly headDim: number;
  /** Elements of a value or output row. */
  readonly valueHeadDim: number;
  /** Rows of a caller's state: elements of a key, or of its features. */
  readonly stateRows: number;
  /** Columns of a state: elements of a value, and one for sums of weights. */
  readonly stateColumns: number;
  /** Tokens of all sequences. */
  readonly tokens: number;
  /** The order of dimensions of dense tensors. */
  readonly layout: Layout;
  /** The output's shape. */
  readonly outputShape: readonly number[];
  /** Where rows lie. */
  readonly strides: Readonly<Record<LinearRows, GivenStrides>>;
  /** Which tensors may be larger than what is read of them. */
  readonly strided: readonly LinearRows[];
  /** Log gates; where there are any. */
  readonly decay?: GateShape | undefined;
  /** Strengths of the delta rules; where there are any. */
  readonly beta?: GateShape | undefined;
  /** The batch. */
  readonly sequences: readonly LinearSequence[];
  /**
   * Where states are: none, tensors of their own, or slots of a pool, each of
   * `[stateHeads, stateRows, stateColumns]`.
   */
  readonly states: {
    /** Whether sequences begin with any. */
    readonly initial: boolean;
    /** Whether those that they end with are kept. */
    readonly final: boolean;
    /** Slots of the pool; none where there is no pool. */
    readonly slots?: number | undefined;
  };
  /** Factor of outputs. */
  readonly scale: number;
  /** Tokens of a chunk. */
  readonly chunk: number;
  /** Tokens of a sub-chunk. */
  readonly subChunk: number;
  /** By which form sequences go. */
  readonly form: LinearForm;
  /** What queries and keys become. */
  readonly featureMap: FeatureMap;
  /** What is added to the sum of weights; where outputs are divided by it. */
  readonly eps?: number | undefined;
  /** What every token sees; where there is any. */
  readonly prefix?: PrefixProblem | undefined;
}

/** Tokens of a chunk at most: scores of a token are that many. */
const MAX_CHUNK = 256;

/**
 * Checks options and turns them into a problem.
 *
 * @throws {TypeError} for wrong types, ranks, shapes and combinations
 * @throws {RangeError} for values out of range
 * @throws {UnsupportedError} for what this version cannot do
 *
 * @example The next step of a plan
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { linearProblem, planLinearAttention } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const of = (tokens: number) => {
 *   const rows = { dtype: "f32", shape: [1, tokens, 2, 16] } as const;
 *   return { query: rows, key: rows, value: rows };
 * };
 * using plan = await planLinearAttention(gpu, of(10));
 * await plan.update(linearProblem(of(11)));
 * console.log(plan.problem.tokens); // 11
 * ```
 *
 * @category Attention
 */
export function linearProblem(
  options: LinearAttentionOptions<AnyTensor>,
): LinearProblem {
  checkLinearOptions(options);
  const { layout = "bshd", subChunk = 16, form = "auto" } = options;
  const { featureMap, eps } = featureOptions(options);
  const features = featureMap === "taylor";
  const { chunk = features ? 128 : 64 } = options;
  checkType(
    layout === "bshd" || layout === "bhsd",
    "layout",
    'must be "bshd" or "bhsd"',
    layout,
  );
  const given = {
    decay: options.decay !== undefined,
    beta: options.beta !== undefined,
  };
  const rule = ruleOf(options.rule, given);
  const rows = rowsOf(options, layout);
  const { query, key, value } = rows;
  const rank = query.shape.length;
  const [queryHeads, headDim] = query.shape.slice(-2);
  const [keyHeads] = key.shape.slice(-2);
  const [stateHeads, valueHeadDim] = value.shape.slice(-2);
  checkHeads({ queryHeads, keyHeads, stateHeads });
  checkInteger("headDim", headDim, 1, 256);
  checkInteger("valueHeadDim", valueHeadDim, 1, 256);
  const { scale = 1 / Math.sqrt(headDim) } = options;
  checkFinite("scale", scale);
  checkRange(
    Number.isFinite(Math.fround(scale)),
    "scale",
    "must be finite in float32",
    scale,
  );
  checkRange(
    !features || scale > 0,
    "scale",
    'must be > 0 with featureMap "taylor", whose features have its root',
    scale,
  );
  checkChunks(chunk, subChunk);
  const spans = querySpans(query.shape, options.cuSeqlens);
  const tokens = spans.reduce((sum, [, count]) => sum + count, 0);
  const outputHeads = Math.max(queryHeads, stateHeads);
  const dense = rank === 4;
  const stateRows = featureDim(headDim, featureMap);
  const stateColumns = valueHeadDim + (eps === undefined ? 0 : 1);
  const { states, slots } = stateOptions(options, {
    sequences: spans.length,
    shape: [stateHeads, stateRows, stateColumns],
    names: `valueHeads, ${features ? "features" : "headDim"}, valueHeadDim${
      eps === undefined ? "" : " + 1"
    }`,
  });
  const full = [...query.shape.slice(0, -2), stateHeads];
  const decay = given.decay
    ? gateShape("decay", options.decay, {
      dtype: query.dtype,
      shape: full,
      headDim,
    })
    : undefined;
  const beta = given.beta
    ? gateShape("beta", options.beta, { dtype: query.dtype, shape: full })
    : undefined;
  checkType(
    !features || decay?.kind !== "channel",
    "decay.shape",
    'must have a gate for a whole state with featureMap "taylor", whose rows are no channels of a key',
    decay,
  );
  if (decay) checkHostGates("decay", options.decay);
  const output = [...query.shape.slice(0, -2), outputHeads, valueHeadDim];
  return {
    dtype: query.dtype,
    rule,
    queryHeads,
    keyHeads,
    stateHeads,
    outputHeads,
    headDim,
    valueHeadDim,
    stateRows,
    stateColumns,
    tokens,
    layout,
    outputShape: layout === "bhsd"
      ? [output[0], output[2], output[1], output[3]]
      : output,
    strides: {
      query: stridesOf(query, layout),
      key: stridesOf(key, layout),
      value: stridesOf(value, layout),
      output: stridesOf({ dtype: query.dtype, shape: output }, layout),
    },
    strided: (["query", "key", "value"] as const)
      .filter((name) => rows[name].strided !== undefined),
    decay,
    beta,
    sequences: spans.map(([start, count], i) => ({
      batch: dense ? i : 0,
      token: dense ? 0 : start,
      count,
      initial: slots.initial[i],
      final: slots.final[i],
    })),
    states,
    scale,
    chunk,
    subChunk,
    form: formOf(form),
    featureMap,
    eps,
    prefix: prefixOf(options, rule, {
      dtype: query.dtype,
      layout,
      key: key.shape.slice(-2),
      value: value.shape.slice(-2),
      counts: spans.map(([, count]) => count),
      stridesOf,
    }),
  };
}

function prefixOf(
  { prefix }: LinearAttentionOptions<AnyTensor>,
  rule: UpdateRule,
  of: Parameters<typeof prefixProblem>[1],
): PrefixProblem | undefined {
  if (prefix === undefined) return undefined;
  checkType(
    rule === "linear",
    "prefix",
    `must be given by the rule "linear" only, not with decay or beta`,
    rule,
  );
  return prefixProblem(prefix, of);
}

function rowsOf(
  options: LinearAttentionOptions<AnyTensor>,
  layout: Layout,
): Record<"query" | "key" | "value", RowsShape> {
  const query = describeRows("query", options.query, layout);
  const rank = query.shape.length;
  const like = (name: "key" | "value") => {
    const own = describeRows(name, options[name], layout);
    checkType(
      own.dtype === query.dtype,
      `${name}.dtype`,
      `must be the query's (${query.dtype})`,
      own.dtype,
    );
    checkType(
      own.shape.slice(0, -2).join() === query.shape.slice(0, -2).join() &&
        own.shape.length === rank,
      `${name}.shape`,
      `must match query.shape [${query.shape.join(", ")}] but for heads${
        name === "value" ? " and headDim" : ""
      }${readAs(layout, rank)}`,
      own.shape,
    );
    return own;
  };
  const key = like("key");
  const [headDim, keyDim] = [query.shape[rank - 1], key.shape[rank - 1]];
  checkType(
    keyDim === headDim,
    "key.shape",
    `must have the query's headDim (${headDim})${readAs(layout, rank)}`,
    keyDim,
  );
  return { query, key, value: like("value") };
}

function checkHeads(
  { queryHeads, keyHeads, stateHeads }: Pick<
    LinearProblem,
    "queryHeads" | "keyHeads" | "stateHeads"
  >,
): void {
  checkInteger("queryHeads", queryHeads, 1, 2 ** 16);
  checkInteger("keyHeads", keyHeads, 1, 2 ** 16);
  checkInteger("valueHeads", stateHeads, 1, 2 ** 16);
  checkRange(
    stateHeads % keyHeads === 0,
    "keyHeads",
    `must be a divisor of valueHeads (${stateHeads}), as each has a state`,
    keyHeads,
  );
  checkRange(
    queryHeads % stateHeads === 0 || stateHeads % queryHeads === 0,
    "queryHeads",
    `must be a multiple or a divisor of valueHeads (${stateHeads})`,
    queryHeads,
  );
}

function checkChunks(chunk: unknown, subChunk: unknown): void {
  checkInteger("chunk", chunk, 4, MAX_CHUNK);
  checkInteger("subChunk", subChunk, 4, MAX_CHUNK);
  checkRange(
    subChunk % 4 === 0,
    "subChunk",
    "must be a multiple of 4",
    subChunk,
  );
  checkRange(
    chunk % subChunk === 0,
    "chunk",
    `must be a multiple of subChunk (${subChunk})`,
    chunk,
  );
}

/** Strides of rows, those of side by side ones too; tokens before heads. */
export function stridesOf(
  { shape, strided }: RowsShape,
  layout: Layout,
): GivenStrides {
  if (strided) return givenStrides(strided);
  const [batch, tokens, heads, dim] = [1, ...shape].slice(-4);
  const own = layout === "bshd"
    ? { token: heads * dim, head: dim }
    : { token: dim, head: tokens * dim };
  return {
    at: 0,
    batch: shape.length === 4 ? tokens * heads * dim : 0,
    ...own,
    extent: batch * tokens * heads * dim,
  };
}

function featureOptions(
  { featureMap = "identity", normalize }: LinearAttentionOptions<AnyTensor>,
): Pick<LinearProblem, "featureMap" | "eps"> {
  checkFeatureMap(featureMap);
  if (normalize === undefined) return { featureMap };
  checkOptions("normalize", normalize, { known: ["eps"] });
  const { eps } = normalize;
  checkFinite("normalize.eps", eps);
  checkRange(
    Math.fround(eps) > 0 && Math.fround(eps) < Infinity,
    "normalize.eps",
    "must be > 0 and finite in float32",
    eps,
  );
  return { featureMap, eps };
}

/** Which state each sequence begins with, and where its last one goes. */
interface StateSlots {
  readonly initial: readonly (number | undefined)[];
  readonly final: readonly (number | undefined)[];
}

function stateOptions(
  options: LinearAttentionOptions<AnyTensor>,
  { sequences, shape, names }: {
    readonly sequences: number;
    readonly shape: readonly number[];
    /** Its dimensions, for errors. */
    readonly names: string;
  },
): { readonly states: LinearProblem["states"]; readonly slots: StateSlots } {
  const { initialState, returnState = false, states } = options;
  checkBoolean("returnState", returnState);
  const own = (on: boolean) =>
    Array.from({ length: sequences }, (_, i) => on ? i : undefined);
  if (states === undefined) {
    for (const name of ["stateIndices", "finalStateIndices"] as const) {
      checkType(
        options[name] === undefined,
        name,
        "must be given with states only",
        options[name],
      );
    }
    const initial = initialState !== undefined;
    if (initial) {
      const expected = { shape: [sequences, ...shape], names };
      checkState("initialState", initialState, expected);
    }
    return {
      states: { initial, final: returnState },
      slots: { initial: own(initial), final: own(returnState) },
    };
  }
  checkType(
    initialState === undefined,
    "initialState",
    "must not be given with states, whose slots stateIndices names",
    initialState,
  );
  checkType(
    !returnState,
    "returnState",
    "must not be given with states, into which last states are written",
    returnState,
  );
  checkType(
    states instanceof GpuTensor || !("data" in states),
    "states",
    "must be a GpuTensor, as it is written in place",
    states,
  );
  const { shape: given } = describeTensor("states", states);
  const slots = given[0];
  checkState("states", states, { shape: [slots, ...shape], names });
  checkType(
    options.stateIndices !== undefined,
    "stateIndices",
    "must be given with states",
    options.stateIndices,
  );
  const read = slotsOf("stateIndices", options.stateIndices, {
    sequences,
    slots,
  });
  const written = options.finalStateIndices === undefined
    ? read
    : slotsOf("finalStateIndices", options.finalStateIndices, {
      sequences,
      slots,
    });
  checkSlots(
    options.finalStateIndices === undefined
      ? "stateIndices"
      : "finalStateIndices",
    read,
    written,
  );
  return {
    states: {
      initial: read.some((slot) => slot !== undefined),
      final: written.some((slot) => slot !== undefined),
      slots,
    },
    slots: { initial: read, final: written },
  };
}

function checkState(
  name: string,
  tensor: unknown,
  { shape: expected, names }: {
    readonly shape: readonly number[];
    readonly names: string;
  },
): void {
  const { dtype, shape } = describeTensor(name, tensor);
  checkType(dtype === "f32", `${name}.dtype`, "must be f32", dtype);
  checkType(
    shape.join() === expected.join(),
    `${name}.shape`,
    `must be [${expected.join(", ")}]: ${
      name === "states" ? "slots" : "sequences"
    }, ${names}`,
    shape,
  );
}

function slotsOf(
  name: string,
  given: unknown,
  { sequences, slots }: { readonly sequences: number; readonly slots: number },
): (number | undefined)[] {
  const indices = indicesOf(name, given);
  checkType(
    indices.length === sequences,
    `${name}.length`,
    `must be the number of sequences (${sequences})`,
    indices.length,
  );
  return indices.map((slot, i) => {
    checkInteger(`${name}[${i}]`, slot, -1, slots - 1);
    return slot < 0 ? undefined : slot;
  });
}

/** Sequences run side by side, so a slot that one writes is its own. */
function checkSlots(
  name: string,
  read: readonly (number | undefined)[],
  written: readonly (number | undefined)[],
): void {
  const writers = new Map<number, number>();
  written.forEach((slot, i) => {
    if (slot === undefined) return;
    checkRange(
      !writers.has(slot),
      `${name}[${i}]`,
      `must not be written by sequence ${writers.get(slot)} too`,
      slot,
    );
    writers.set(slot, i);
  });
  read.forEach((slot, i) => {
    const writer = slot === undefined ? undefined : writers.get(slot);
    checkRange(
      writer === undefined || writer === i,
      `stateIndices[${i}]`,
      `must not be a slot that sequence ${writer} writes`,
      slot,
    );
  });
}

/**
 * Throws unless kernels can run a problem.
 *
 * @throws {UnsupportedError} if one is missing
 */
export function checkSupported({ rule, featureMap, eps }: LinearProblem): void {
  const delta = rule === "delta" || rule === "gated_delta";
  if (delta && (featureMap !== "identity" || eps !== undefined)) {
    throw new UnsupportedError(
      `compute linear attention of features by the rule ${rule}`,
      "delta rules have neither featureMap nor normalize in this version",
    );
  }
}
