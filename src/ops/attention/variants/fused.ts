/**
 * The fused algorithm: which variant takes which key ranges, on what tiles.
 *
 * @module
 */

import { mergeKernel } from "../../../../kernels/attention/merge.ts";
import type { AttentionSpec } from "../../../../kernels/attention/spec.ts";
import { addCosts } from "../../../planning/traffic/cost.ts";
import { flash2Of } from "../../../planning/traffic/fused.ts";
import { statesCost } from "../moved_work.ts";
import { type CheckedChoices, partitionsOf } from "../options/choices.ts";
import { type AttentionProblem, vecsOf } from "../problem.ts";
import { flatWork, type KeyRange, type Work } from "../work/key_ranges.ts";
import { type Algorithm, largest, type VariantWork } from "./algorithm.ts";
import { blockScoresParts } from "./block_scores.ts";
import { FUSED_VARIANTS } from "./list.ts";
import { selectionOf } from "./selection.ts";
import {
  type Candidate,
  chooseVariant,
  type PlanDevice,
  type VariantChoice,
} from "./variant.ts";

/**
 * Each key range by the first variant that fits, then one merge. No sequences
 * share keys, unless the work says so.
 */
export function fusedAlgorithm(
  problem: AttentionProblem,
  spec: AttentionSpec,
  choices: CheckedChoices,
  device: PlanDevice,
  work: Work = flatWork(problem),
): Algorithm {
  const { kvHeads } = problem;
  const valueVecs = vecsOf(problem.valueHeadDim);
  const scored = blockScoresParts(problem, device);
  const kernels = variantWorks(problem, spec, work, { choices, device });
  const { lanes } = choices.tiles.decode;
  const merge = mergeKernel({
    outputFormat: spec.outputFormat,
    lse: spec.lse,
    lanes,
    stridedQueries: spec.stridedQueries,
  });
  return {
    merge: { lanes, maxLoopIterations: device.maxLoopIterations },
    work,
    kernels,
    dispatches: (schedule) => {
      const statsAt = schedule.stateRows * valueVecs;
      return [
        ...scored.before,
        ...schedule.kernels.flatMap((
          { tilesAt, tileCount, workers, partial },
          i,
        ) => {
          const tile = { rows: kernels[i].rows, keys: kernels[i].loops.step };
          const selection = selectionOf(problem, schedule, i, tile);
          return [...selection.dispatches, {
            source: kernels[i].kernel({ partial, persistent: !!workers }),
            tile,
            tilesAt,
            groups: workers ? workers.count : tileCount,
            heads: workers ? 1 : kvHeads,
            uniforms: {
              ...selection.uniforms,
              ...scored.uniforms,
              stats_at: statsAt,
              workers_at: workers?.at ?? 0,
              runs_per_head: schedule.runsPerHead && !workers ? 1 : 0,
            },
          }];
        }),
        ...schedule.merges.map(({ tilesAt, tileCount, ownHeads }) => ({
          source: merge,
          tile: undefined,
          tilesAt,
          groups: tileCount,
          heads: ownHeads ? 1 : kvHeads,
          uniforms: { stats_at: statsAt },
        })),
        ...scored.after,
      ].filter(({ groups }) => groups > 0);
    },
    cost: ({ sums, sizes, stateRows }) => ({
      ...addCosts(flash2Of(sums, sizes), statesCost(stateRows, sizes)),
      rowsAgain: sums.rows - sums.seeingRows,
    }),
    // A merge of nothing but empty rows still binds its states.
    scratch: (schedule): Record<string, number> => ({
      ...scored.scratch,
      ...(schedule.merges.length > 0 && {
        states: Math.max(1, schedule.stateRows) * (valueVecs + 1) * 16,
      }),
    }),
  };
}

/** The key ranges that each variant takes: shared ones, then sequences' own. */
function variantWorks(
  problem: AttentionProblem,
  spec: AttentionSpec,
  work: Work,
  { choices, device }: {
    readonly choices: CheckedChoices;
    readonly device: PlanDevice;
  },
): VariantWork[] {
  const { tiles, model } = choices;
  const { maxLoopIterations } = device;
  const candidate = (rows: number): Candidate => ({
    rows,
    headVecs: vecsOf(problem.headDim),
    valueVecs: vecsOf(problem.valueHeadDim),
    scoreMods: problem.scoreMods.length > 0,
    dropout: problem.dropout !== undefined,
    scoreBlock: problem.blockScores?.block,
  });
  const known = new Map<number, VariantChoice>();
  const choose = (rows: number): VariantChoice => {
    const choice = known.get(rows) ??
      chooseVariant(FUSED_VARIANTS, candidate(rows), { tiles, device });
    known.set(rows, choice);
    return choice;
  };
  const works = FUSED_VARIANTS.flatMap((variant) => {
    const taken = (ranges: readonly KeyRange[]) =>
      ranges.filter(({ rows }) => choose(rows).variant === variant);
    const [shared, own] = [taken(work.shared), taken(work.own)];
    const all = [...shared, ...own].map(({ rows }) => rows);
    if (all.length === 0) return [];
    const rows = largest(all);
    const fitted = variant.tile(candidate(rows), tiles, device);
    const part = (
      name: string,
      ranges: readonly KeyRange[],
      queries: AttentionSpec["queries"],
    ): VariantWork => {
      const rowTiles = ranges.reduce(
        (sum, range) => sum + Math.ceil(range.rows / fitted.rows),
        0,
      );
      return {
        name,
        profile: variant.profile,
        passedOver: choose(rows).passedOver,
        ranges,
        rows: fitted.rows,
        loops: fitted.loops,
        partitions: partitionsOf(choices, problem.kvHeads * rowTiles),
        model,
        maxLoopIterations,
        kernel: (choice) => fitted.kernel({ ...spec, ...choice, queries }),
      };
    };
    const listed = work.listed ? "listed" : "consecutive";
    return [
      part(`shared ${variant.name}`, shared, listed),
      part(variant.name, own, "consecutive"),
    ];
  });
  return works.filter(({ ranges }) => ranges.length > 0);
}
