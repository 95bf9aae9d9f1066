// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * Two passes that each make scores and their gradients again: dQ, and dK with
 * dV. Seven products, and no more scratch than what is split needs.
 *
 * @module
 */

import {
  keyValueGradientKernel,
  keyValueGradientRows,
  tileKeys,
} from "../../../../kernels/attention/backward/key_value_gradient.ts";
import {
  queryGradientKernel,
  queryGradientRows,
} from "../../../../kernels/attention/backward/query_gradient.ts";
import {
  sumKernel,
  type SumSpec,
} from "../../../../kernels/attention/backward/sum.ts";
import { tileRows } from "../../../../kernels/attention/score_tile.ts";
import type { KernelSource } from "../../../core/kernel.ts";
import type { Dispatch } from "../../../gpu/mod.ts";
import { tableCopies } from "../../attention/parts.ts";
import type { TileSize } from "../../attention/variants/algorithm.ts";
import {
  selectionOf,
  type SelectionScratch,
  selectionScratch,
} from "../../attention/variants/selection.ts";
import { flatWork, type Work } from "../../attention/work/key_ranges.ts";
import type { LoopCounts } from "../../attention/work/loop_limit.ts";
import {
  buildSchedule,
  type Schedule,
  type ScheduleOptions,
} from "../../attention/work/schedule.ts";
import { RowRuns } from "../row_runs.ts";
import { keyLoops, keyTile, queryLoops, queryTile } from "../tiles.ts";
import { recomputedMoved } from "../traffic.ts";
import { keySpans, keyWork } from "./key_work.ts";
import {
  bindsTooMuch,
  candidateOf,
  NO_MODEL,
  partitionOf,
  type PassContext,
  type PassDispatch,
  passDispatch,
  type Passes,
} from "./pass.ts";

/** One of the two passes: dQ, or dK and dV. */
interface Pass {
  /** What its schedule is called among the program's words. */
  readonly schedule: string;
  /** What its partial sums are called among the program's scratch. */
  readonly sums: string;
  /** What the lists that the device writes are called there. */
  readonly selection: string;
  readonly ranges: Work;
  readonly tile: TileSize;
  /** Rows of the gradient that a workgroup owns. */
  readonly own: number;
  readonly loops: LoopCounts;
  readonly lanes: number;
  readonly kernel: (partial: boolean) => KernelSource;
  readonly sum: SumSpec;
  /** vec4s of a partial sum's row. */
  readonly rowVecs: number;
  readonly options: ScheduleOptions;
}

/** What a pass puts on the device. */
interface WrittenPass {
  readonly dispatches: readonly Dispatch[];
  readonly schedule: Schedule;
  readonly selected: SelectionScratch;
  readonly sumBytes: number;
}

/**
 * Both passes.
 *
 * @throws {UnsupportedError} if no tile fits the device
 */
export function recomputedPasses(context: PassContext): Passes {
  const passes = [queryPass(context), keyPass(context)];
  const written = passes.map((pass) => writePass(context, pass));
  const explained = (i: number): Passes["kernels"]["query"] => ({
    tile: passes[i].tile,
    splits: written[i].schedule.kernels[0].partition,
    tileCounts: written[i].schedule.tiles,
  });
  return {
    dispatches: written.flatMap(({ dispatches }) => dispatches),
    words: Object.fromEntries(
      passes.map((pass, i) => [pass.schedule, written[i].schedule.words]),
    ),
    scratch: {
      ...Object.fromEntries(
        passes.map(({ sums }, i) => [sums, written[i].sumBytes] as const)
          .filter(([, bytes]) => bytes > 0),
      ),
      ...Object.assign({}, ...written.map(({ selected }) => selected.scratch)),
    },
    copies: written.flatMap(({ selected, schedule }, i) => [
      ...selected.copies,
      ...tableCopies(schedule, passes[i].schedule),
    ]),
    kernels: { query: explained(0), keyValue: explained(1) },
    rounds: 1,
    moved: () => {
      const [query, key] = written.map(({ schedule }, i) => ({
        work: schedule.kernels[0],
        step: passes[i].loops.step,
      }));
      return recomputedMoved(context.problem, {
        query,
        key,
        sumVecs: written.reduce(
          (sum, { schedule }, i) =>
            sum + schedule.stateRows * passes[i].rowVecs,
          0,
        ),
      });
    },
  };
}

/** Lanes along query rows: forward's work. */
function queryPass(
  { problem, spec, formats: { query }, device, tiles, before }: PassContext,
): Pass {
  const ranges = flatWork(problem);
  const candidate = candidateOf(
    problem,
    Math.max(0, ...ranges.own.map(({ rows }) => rows)),
  );
  const tile = queryTile(candidate, tiles, device);
  const { lanes } = tile;
  const formats = { queryGradientFormat: query };
  const rowVecs = candidate.headVecs;
  return {
    schedule: "query_schedule",
    sums: "query_sums",
    selection: "query_selection",
    ranges,
    tile: { rows: tileRows(tile), keys: tile.keysPerStep },
    own: tileRows(tile),
    loops: queryLoops(tile, candidate),
    lanes,
    rowVecs,
    kernel: (partial) =>
      queryGradientKernel({ ...spec, ...formats, partial, tile }),
    sum: {
      gradients: [queryGradientRows({ ...spec, ...formats })],
      rows: "query",
      lanes,
    },
    options: { stateElements: 4 * rowVecs, before },
  };
}

/** Lanes along keys: the roles swapped. */
function keyPass(
  { problem, spec, formats: { key, value }, device, tiles, before }:
    PassContext,
): Pass {
  const ranges = keyWork(problem);
  const candidate = candidateOf(
    problem,
    Math.max(0, ...ranges.own.map(({ rows }) => rows)),
  );
  const tile = keyTile(candidate, tiles, device);
  const formats = {
    keyGradientFormat: key,
    valueGradientFormat: value,
  };
  const lanes = tiles.lanes;
  const rowVecs = candidate.headVecs + candidate.valueVecs;
  const kernel = (partial: boolean) =>
    keyValueGradientKernel({ ...spec, ...formats, partial, tile });
  return {
    schedule: "key_schedule",
    sums: "key_sums",
    selection: "key_selection",
    ranges,
    tile: { rows: tile.rowsPerStep, keys: tileKeys(tile) },
    own: tileKeys(tile),
    loops: keyLoops(tile, candidate),
    lanes,
    rowVecs,
    kernel,
    sum: {
      gradients: keyValueGradientRows({ ...spec, ...formats }),
      rows: "key",
      lanes,
    },
    options: {
      runs: new RowRuns(problem),
      stateElements: 4 * rowVecs,
      // Else two gradients and the lists, or a captured tensor, are one buffer
      // too many.
      partial: problem.selection !== undefined ||
        bindsTooMuch(kernel(false), device),
      before: Uint32Array.from([...before, ...keySpans(problem)]),
    },
  };
}

function writePass(context: PassContext, pass: Pass): WrittenPass {
  const { problem, device: { maxLoopIterations }, splits } = context;
  const { ranges, own, loops, lanes, rowVecs } = pass;
  const schedule = buildSchedule(
    problem,
    ranges,
    [{
      ranges: ranges.own,
      rows: own,
      loops,
      partitions: [partitionOf(splits)],
      model: NO_MODEL,
      maxLoopIterations,
    }],
    { lanes, maxLoopIterations },
    pass.options,
  );
  const [{ tilesAt, tileCount, partial }] = schedule.kernels;
  const selection = selectionOf(problem, schedule, 0, pass.tile);
  const place = {
    schedule,
    tile: pass.tile,
    aliases: {
      schedule: pass.schedule,
      sums: pass.sums,
      selection: pass.selection,
    },
  };
  const shared = { row_vecs: rowVecs, ...selection.uniforms };
  const parts: PassDispatch[] = [
    ...selection.dispatches.map(({ groups, ...one }) => ({
      ...one,
      tileCount: groups,
    })),
    { source: pass.kernel(partial), tilesAt, tileCount },
    ...schedule.merges.map((merge) => ({
      source: sumKernel(pass.sum),
      tilesAt: merge.tilesAt,
      tileCount: merge.tileCount,
    })),
  ];
  const dispatches = parts.filter(({ tileCount }) => tileCount > 0)
    .map((part) =>
      passDispatch(context, place, {
        ...part,
        uniforms: { ...shared, ...part.uniforms },
      })
    );
  return {
    dispatches,
    schedule,
    selected: selectionScratch(problem, schedule, pass.selection),
    // A sum of nothing but empty rows still binds its parts.
    sumBytes: partial ? Math.max(1, schedule.stateRows) * rowVecs * 16 : 0,
  };
}
