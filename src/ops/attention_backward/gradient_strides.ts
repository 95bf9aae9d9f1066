/**
 * Where the rows of gradients lie: side by side, or by strides of a caller's.
 *
 * @module
 */

import { type RowFormat, rowFormat } from "../../../kernels/fragments/rows.ts";
import { checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { givenStrides, headsLast } from "../attention/options/given_strides.ts";
import { strideUniforms } from "../attention/parts.ts";
import type { AttentionProblem, GivenStrides } from "../attention/problem.ts";
import {
  type GradientRows,
  gradientStrides,
  keysInOrder,
  stridedKeys,
  stridedQueries,
} from "../attention/rows.ts";
import { checkApart, checkStrides, type Strides } from "../strided.ts";
import { gradientElements, gradientSpans } from "./gradient_spans.ts";

/**
 * Where a plan writes gradients that do not lie side by side, each with the
 * shape that it has otherwise.
 *
 * @category Gradients
 */
export interface GradientStrides {
  /** Of queries. */
  readonly query?: Strides | undefined;
  /** Of keys. */
  readonly key?: Strides | undefined;
  /** Of values. */
  readonly value?: Strides | undefined;
}

/** The three. */
const NAMES = ["query", "key", "value"] as const;

/** The gradients of a problem, as kernels write them. */
export interface GradientPlaces {
  /** Whether any goes by strides. */
  readonly apart: boolean;
  /** The format of rows of each. */
  readonly formats: GradientRows<RowFormat>;
  /** Elements that each has, or where it goes by strides, at least. */
  readonly elements: GradientRows<number>;
  /** Uniforms of all. */
  readonly uniforms: Readonly<Record<string, number>>;
}

/** A gradient's own strides, and whether they are of a dense shape. */
interface OwnStrides extends GivenStrides {
  readonly dense: boolean;
}

/**
 * Works out where gradients lie.
 *
 * @throws {TypeError} for another shape than a gradient has
 * @throws {RangeError} for strides out of range, or rows that overlap
 */
export function gradientPlaces(
  problem: AttentionProblem,
  given: GradientStrides = {},
): GradientPlaces {
  checkOptions("gradientStrides", given, { known: NAMES, hints: {} });
  const { dtype, headDim, valueHeadDim, sequences } = problem;
  const contiguous = gradientStrides(problem);
  const elements = gradientElements(problem);
  const { spans } = gradientSpans(problem);
  // Where the second sequence begins; the others as far apart.
  const starts = {
    query: sequences[1]?.queryStart ?? 0,
    key: spans[1]?.start ?? 0,
    value: spans[1]?.start ?? 0,
  };
  const places = NAMES.map((name) => {
    const dim = name === "value" ? valueHeadDim : headDim;
    const own = ownStrides(problem, name, given[name]);
    const { at, batch, token, head } = own ?? contiguous[name];
    const format = rowFormat(dtype, dim, at, batch, token, head);
    const uniforms = strideUniforms(`${name}_gradient`, format, {
      at,
      batch,
      token,
      head,
    });
    // Tokens that count through all sequences have stepped over those before.
    const stepped = own?.dense || own === undefined && batch > 0
      ? starts[name] * uniforms[`${name}_gradient_token_stride`]
      : 0;
    const stride = `${name}_gradient_batch_stride`;
    return {
      format,
      elements: own?.extent ?? elements[name],
      uniforms: { ...uniforms, [stride]: (uniforms[stride] - stepped) >>> 0 },
    };
  });
  const [query, key, value] = places;
  return {
    apart: NAMES.some((name) => given[name] !== undefined),
    formats: { query: query.format, key: key.format, value: value.format },
    elements: {
      query: query.elements,
      key: key.elements,
      value: value.elements,
    },
    uniforms: { ...query.uniforms, ...key.uniforms, ...value.uniforms },
  };
}

function ownStrides(
  problem: AttentionProblem,
  name: (typeof NAMES)[number],
  given: Strides | undefined,
): OwnStrides | undefined {
  if (given === undefined) return undefined;
  const path = `gradientStrides.${name}`;
  checkType(
    typeof given === "object" && given !== null && Array.isArray(given.shape),
    path,
    "must be { shape, strides, offset }",
    given,
  );
  const { shape } = given;
  const wanted = shapesOf(problem, name);
  checkType(
    wanted.some((one) => one.join() === shape.join()),
    `${path}.shape`,
    `must be ${wanted.map((one) => `[${one.join(", ")}]`).join(" or ")}`,
    shape,
  );
  const checked = checkStrides({
    strides: `${path}.strides`,
    offset: `${path}.offset`,
  }, given);
  checkApart(`${path}.strides`, shape, checked.strides);
  const turned = problem.layout === "bhsd" && shape.length === 4
    ? headsLast(checked)
    : checked;
  return { ...givenStrides(turned), dense: shape.length === 4 };
}

/** The shapes that a gradient may be said to have: ragged, and dense ones. */
function shapesOf(
  problem: AttentionProblem,
  name: (typeof NAMES)[number],
): number[][] {
  const { layout, sequences, queryTokens, queryHeads, kvHeads } = problem;
  const { headDim, valueHeadDim } = problem;
  const queries = name === "query";
  const heads = queries ? queryHeads : kvHeads;
  const dim = name === "value" ? valueHeadDim : headDim;
  const { spans, tokens: keyTokens } = gradientSpans(problem);
  const tokens = queries ? queryTokens : keyTokens;
  const ragged = [tokens, heads, dim];
  const batch = sequences.length;
  const each = tokens / batch;
  const even = queries
    ? sequences.every(({ queryCount }) => queryCount === each)
    : keysInOrder(problem) && spans.every(({ count }) => count === each);
  if (batch === 0 || !even) return [ragged];
  if (layout === "bhsd") return [[batch, heads, each, dim]];
  // Where sequences are found by a stride, tokens are not counted through.
  const local = problem.strides?.dense &&
    (queries ? stridedQueries(problem) : stridedKeys(problem));
  const dense = [batch, each, heads, dim];
  return local ? [dense] : [dense, ragged];
}
