/**
 * Everything that a plan of linear attention will put on the device, worked out
 * on the CPU from a problem and what the device is. Pure, no GPU objects.
 *
 * The pieces are exported one by one, for what is made of them besides: the
 * delta rules, features, and backward, which computes states and scores anew.
 *
 * @module
 */

import { chunkStateKernel } from "../../../kernels/linear/chunked/chunk_state.ts";
import {
  GATE_LANES,
  gateSumsKernel,
} from "../../../kernels/linear/chunked/gates.ts";
import { chunkOutputKernel } from "../../../kernels/linear/chunked/output.ts";
import { productColumns, productRows } from "../../../kernels/product.ts";
import {
  SCAN_LANES,
  scanKernel,
  type ScanSpec,
} from "../../../kernels/linear/chunked/scan.ts";
import {
  chunkScoresKernel,
  scoresTile,
} from "../../../kernels/linear/chunked/scores.ts";
import { UnsupportedError } from "../../core/errors.ts";
import type { KernelSource } from "../../core/kernel.ts";
import { foldGrid } from "../../gpu/program/dispatch.ts";
import type { ProgramParts } from "../../gpu/mod.ts";
import type { Segment } from "./work/chunks.ts";
import {
  givenStatesSpec,
  type LinearContext,
  linearContext,
  type LinearDevice,
  type LinearDispatch,
} from "./work/context.ts";
import { deltaDispatches } from "./dispatches/delta.ts";
import {
  decoderNames,
  decoderProblem,
  encoderNames,
  encoderProblem,
  renamed,
} from "./dispatches/encoder.ts";
import type { LinearExplanation } from "./explanation.ts";
import type { PrefixProblem } from "./options/prefix.ts";
import { checkSupported, type LinearProblem } from "./options/problem.ts";
import {
  productDispatch,
  segmentUniforms,
} from "./dispatches/product_dispatch.ts";
import { recurrentDispatch } from "./dispatches/recurrent.ts";
import { linearScratch } from "./work/scratch.ts";

/** A problem's program, and what to say of it. */
export interface LinearParts {
  /** What the program is made of. */
  readonly parts: ProgramParts;
  /** For people. */
  readonly explanation: LinearExplanation;
}

/**
 * Works out the program of a problem.
 *
 * @throws {RangeError} as `linearContext` does
 * @throws {UnsupportedError} if there is no kernel for it
 */
export function linearParts(
  problem: LinearProblem,
  device: LinearDevice,
): LinearParts {
  checkSupported(problem);
  const { prefix } = problem;
  const context = linearContext(
    prefix ? decoderProblem(problem) : problem,
    device,
  );
  const { schedule } = context;
  const encoder = prefix && encoderParts(problem, prefix, device);
  const own = [
    ...schedule.segments.flatMap((segment) => [
      ...gateDispatches(context, segment),
      ...problem.beta
        ? deltaDispatches(context, segment)
        : stateDispatches(context, segment),
      scoresDispatch(context, segment),
      outputDispatch(context, segment),
    ]),
    recurrentDispatch(context),
  ];
  const names = decoderNames(problem);
  const all = [
    ...encoder?.dispatches ?? [],
    ...prefix ? own.map((dispatch) => renamed(dispatch, names)) : own,
  ];
  return partsOf(context, all, {
    scratch: { ...linearScratch(context), ...encoder?.scratch },
    words: encoder?.words,
  });
}

/**
 * Those of the dispatches that have something to do, and what to say of them.
 *
 * @throws {UnsupportedError} if one binds more than the device can
 */
export function partsOf(
  { problem, schedule, spec, device }: LinearContext,
  dispatches: readonly LinearDispatch[],
  { scratch, words }: {
    readonly scratch: Readonly<Record<string, number>>;
    /** Words besides the schedule. */
    readonly words?: ProgramParts["words"] | undefined;
  },
  cure: string =
    "give states, a pool, in place of initialState and returnState",
): LinearParts {
  const all = dispatches.filter(({ grid }) => grid.every((count) => count > 0));
  for (const { source } of all) checkBindings(source, device, cure);
  return {
    parts: {
      dispatches: all.map(({ does: _, ...dispatch }) => dispatch),
      words: { schedule: schedule.words, ...words },
      scratch,
    },
    explanation: {
      dispatches: all.map(({ source, grid, does }) => ({
        kernel: source.label,
        grid,
        does,
      })),
      tile: {
        rows: productRows(spec.tile),
        columns: productColumns(spec.tile),
      },
      chunks: { count: schedule.chunkCount, tokens: problem.chunk },
      segments: schedule.segments.length,
      scan: schedule.mostBlocks > 0 ? "blocks" : "sequential",
      scratchBytes: Object.values(scratch).reduce((sum, n) => sum + n, 0),
    },
  };
}

/**
 * Throws unless a device has as many storage buffers as a kernel binds: more than
 * eight only the delta rules' scan does, with gates, states that it is given and
 * ones that it gives, and segments.
 */
function checkBindings(
  { label, bindings }: KernelSource,
  { limits: { maxStorageBuffersPerShaderStage: most } }: LinearDevice,
  cure: string,
): void {
  const bound = bindings.filter(({ access }) => access !== "uniform").length;
  if (bound <= most) return;
  throw new UnsupportedError(
    "compute linear attention of so many chunks",
    `${label} binds ${bound} buffers, and maxStorageBuffersPerShaderStage is ${most}; ${cure}`,
  );
}

/** What a prefix adds to the states that sequences begin with. */
function encoderParts(
  problem: LinearProblem,
  prefix: PrefixProblem,
  device: LinearDevice,
): {
  readonly dispatches: readonly LinearDispatch[];
  readonly words: NonNullable<ProgramParts["words"]>;
  readonly scratch: NonNullable<ProgramParts["scratch"]>;
} {
  const context = linearContext(encoderProblem(problem, prefix), device);
  const { schedule, values } = context;
  const names = encoderNames(problem);
  const { states, kept_states: kept } = linearScratch(context);
  const { stateHeads, stateRows, sequences } = problem;
  const rows = sequences.length * stateHeads * stateRows;
  return {
    dispatches: schedule.segments
      .flatMap((segment) => stateDispatches(context, segment))
      .map((dispatch) => ({
        ...renamed(dispatch, names),
        does: `${dispatch.does}, of the prefix`,
      })),
    words: { [names.schedule]: schedule.words },
    scratch: {
      [names.states]: states,
      ...kept && { [names.kept_states]: kept },
      [names.final_state]: Math.max(16, 4 * rows * values.state_dim),
    },
  };
}

/** Sums of gates inside chunks, where there are gates. */
export function gateDispatches(
  context: LinearContext,
  segment: Segment,
): LinearDispatch[] {
  const { problem: { decay, stateHeads }, values, device } = context;
  if (!decay) return [];
  const lanes = segment.chunks.count * stateHeads * values.gate_width;
  return [{
    source: gateSumsKernel({ dtype: decay.dtype }),
    uniforms: { ...values, ...segmentUniforms(segment) },
    grid: foldGrid(Math.ceil(lanes / GATE_LANES), device.limits),
    does: "sums log gates inside chunks",
  }];
}

/** What chunks add to states, and from that the states that enter them. */
export function stateDispatches(
  context: LinearContext,
  segment: Segment,
): LinearDispatch[] {
  const { problem, spec, values } = context;
  return [
    productDispatch(context, segment, {
      source: chunkStateKernel(spec),
      heads: problem.stateHeads,
      rows: values.state_rows,
      columns: problem.stateColumns,
      does: "what each chunk adds to the state",
    }),
    ...scanDispatches(context, segment),
  ];
}

/** From what chunks add to states, the states that enter them. */
export function scanDispatches(
  context: LinearContext,
  segment: Segment,
): LinearDispatch[] {
  const { problem, spec, schedule, values, device } = context;
  const { states, stateHeads } = problem;
  const { state_rows, state_vecs } = values;
  const scan = (
    runs: Segment["runs"],
    own: Omit<ScanSpec, "gate" | "stateFormat" | "pool">,
    rest: Pick<LinearDispatch, "does" | "aliases">,
  ): LinearDispatch => {
    const lanes = runs.count * stateHeads * state_rows * state_vecs;
    return {
      source: scanKernel({
        gate: spec.gate,
        ...givenStatesSpec(problem),
        ...own,
      }),
      uniforms: {
        ...values,
        ...segmentUniforms(segment),
        runs_at: runs.at,
        run_count: runs.count,
      },
      grid: foldGrid(Math.ceil(lanes / SCAN_LANES), device.limits),
      ...rest,
    };
  };
  const { initial, final } = states;
  const last = scan(
    segment.runs,
    { items: "chunks", reduce: false, initial, final, kept: schedule.kept > 0 },
    { does: "the states that enter chunks" },
  );
  if (schedule.mostBlocks === 0) return [last];
  return [
    scan(
      segment.blocks,
      {
        items: "chunks",
        reduce: true,
        initial: false,
        final: false,
        kept: true,
      },
      { does: "what each block of chunks adds to the state" },
    ),
    scan(
      segment.blockRuns,
      { items: "blocks", reduce: false, initial, final: false, kept: true },
      {
        does: "the states that enter blocks of chunks",
        aliases: {
          states: "kept_states",
          ...spec.gate !== "none" && { gates: "block_gates" },
        },
      },
    ),
    last,
  ];
}

/** Scores inside chunks. */
export function scoresDispatch(
  context: LinearContext,
  segment: Segment,
): LinearDispatch {
  const { problem, spec } = context;
  return productDispatch(context, segment, {
    source: chunkScoresKernel(spec),
    heads: problem.outputHeads,
    tile: scoresTile(spec),
    rows: problem.chunk,
    columns: problem.chunk,
    does: "scores of queries with the keys of their chunk",
  });
}

/** Outputs of states and scores. */
export function outputDispatch(
  context: LinearContext,
  segment: Segment,
): LinearDispatch {
  const { problem, spec } = context;
  return productDispatch(context, segment, {
    source: chunkOutputKernel(spec),
    heads: problem.outputHeads,
    rows: problem.chunk,
    columns: problem.valueHeadDim,
    does: "outputs of the states that enter, and of scores",
  });
}
