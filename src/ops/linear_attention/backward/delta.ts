// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * The dispatches of gradients that the delta rules have besides: those of what is
 * written, with those of states, of strengths, and of what keys recall.
 *
 * @module
 */

import {
  deltaRowsKernel,
  restKernel,
} from "../../../../kernels/linear/backward/delta_rows.ts";
import { keyGradientKernel } from "../../../../kernels/linear/backward/key_gradient.ts";
import { queryGradientKernel } from "../../../../kernels/linear/backward/query_gradient.ts";
import { gradientTile } from "../../../../kernels/linear/backward/spec.ts";
import {
  STRENGTH_LANES,
  strengthGradientKernel,
} from "../../../../kernels/linear/backward/strength_gradient.ts";
import {
  chunkScoresKernel,
  scoresTile,
} from "../../../../kernels/linear/chunked/scores.ts";
import { foldGrid } from "../../../gpu/program/dispatch.ts";
import type { Segment } from "../work/chunks.ts";
import { type LinearDispatch, rowUniforms } from "../work/context.ts";
import { deltaScanDispatch, deltaSolveDispatch } from "../dispatches/delta.ts";
import {
  productDispatch,
  segmentUniforms,
} from "../dispatches/product_dispatch.ts";
import { type BackwardContext, scoreGate } from "./context.ts";
import { tokenShape } from "./gradient_rows.ts";

/** Gradients of what is written, before the states': what outputs give back. */
export function restDispatches(
  context: BackwardContext,
  segment: Segment,
): LinearDispatch[] {
  const { problem: { stateHeads, valueHeadDim, chunk }, spec } = context;
  return [
    productDispatch(context, segment, {
      source: restKernel(spec),
      heads: stateHeads,
      rows: chunk,
      columns: valueHeadDim,
      does: "what outputs give back to what is written",
    }),
    deltaSolveDispatch(context, segment, {
      of: "value",
      reverse: true,
      solved: "pushed",
      does: "gradients of values of what outputs give back",
    }),
    deltaSolveDispatch(context, segment, {
      of: "key",
      reverse: true,
      solved: "erased",
      does: "what gradients of values have of the state's",
    }),
  ];
}

/** The gradients of the states that leave chunks, and with them of values. */
export function stateGradientScan(
  context: BackwardContext,
  segment: Segment,
): LinearDispatch {
  const { problem: { states }, schedule, stateGradient } = context;
  return deltaScanDispatch(context, segment, {
    reverse: true,
    initial: stateGradient,
    final: states.initial,
    aliases: {
      states: "state_gradients",
      written: "pushed",
      ...schedule.kept > 0 && { kept_states: "kept_gradients" },
      ...stateGradient && { initial_state: "state_gradient" },
      ...states.initial && { final_state: "initial_state_gradient" },
    },
    does: "gradients of the states that leave chunks, and of values",
  });
}

/** The gradients of strengths, and values' where they are wanted. */
export function strengthDispatches(
  context: BackwardContext,
  segment: Segment,
  terms: string,
): LinearDispatch[] {
  const { problem, spec, values, device } = context;
  const { stateHeads, valueHeadDim, chunk } = problem;
  const rows = (of: "rest" | "residual"): LinearDispatch =>
    productDispatch(context, segment, {
      source: deltaRowsKernel({ ...spec, of }),
      heads: stateHeads,
      rows: chunk,
      columns: valueHeadDim,
      uniforms: { heads: stateHeads },
      aliases: {
        scores: "key_scores",
        ...of === "rest" && {
          states: "state_gradients",
          written: "pushed",
        },
      },
      does: of === "rest"
        ? "gradients of what is written"
        : "what values have that their state does not",
    });
  const [, tokens] = tokenShape(problem);
  const lanes = segment.chunks.count * chunk * stateHeads;
  return [
    rows("rest"),
    rows("residual"),
    {
      source: strengthGradientKernel(spec),
      uniforms: {
        ...values,
        ...segmentUniforms(segment),
        chunk_tokens: chunk,
        sequence_tokens: tokens,
      },
      grid: foldGrid(Math.ceil(lanes / STRENGTH_LANES), device.limits),
      aliases: { written: "pushed", strength_terms: terms },
      does: "gradients of strengths, of each token and head",
    },
  ];
}

/** What keys have of gradients by what they recall, and what is recalled. */
export function recallDispatches(
  context: BackwardContext,
  segment: Segment,
): LinearDispatch[] {
  const { problem, spec, values } = context;
  const { stateHeads, keyHeads, headDim, chunk, strides } = problem;
  const own = { ...spec, gate: scoreGate(spec) };
  const heads = { heads: stateHeads, query_heads: stateHeads };
  return [
    productDispatch(context, segment, {
      source: chunkScoresKernel({
        ...own,
        strict: true,
        scratch: ["query", "key"],
      }),
      tile: scoresTile(own),
      heads: stateHeads,
      rows: chunk,
      columns: chunk,
      uniforms: {
        ...heads,
        key_heads: stateHeads,
        head_vecs: values.value_vecs,
        scale: -1,
      },
      aliases: { query: "pushed", key: "written", scores: "recall_gradients" },
      does: "gradients of scores of keys with those before them",
    }),
    productDispatch(context, segment, {
      source: queryGradientKernel({ ...spec, recall: true }),
      tile: gradientTile(spec),
      heads: stateHeads,
      rows: chunk,
      columns: headDim,
      uniforms: { ...heads, scale: -1 },
      aliases: { output_gradient: "pushed", scores: "recall_gradients" },
      does: "gradients of keys, by what they recall",
    }),
    productDispatch(context, segment, {
      source: keyGradientKernel({
        ...spec,
        queryFormat: spec.keyFormat,
        recall: true,
      }),
      tile: gradientTile(spec),
      heads: stateHeads,
      rows: chunk,
      columns: headDim,
      uniforms: {
        ...rowUniforms("query", spec.keyFormat, strides.key),
        heads: stateHeads,
        query_heads: keyHeads,
        key_heads: stateHeads,
      },
      aliases: { query: "key", scores: "recall_gradients" },
      does: "gradients of keys, by what is recalled of them",
    }),
  ];
}
