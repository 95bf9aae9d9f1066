/**
 * The fused kernels' build: which kernel takes which units, on what tiles.
 *
 * @module
 */

import {
  decodeKernel,
  decodeStep,
  decodeTurns,
} from "../../../../kernels/attention/decode.ts";
import {
  forwardKernel,
  forwardTurns,
} from "../../../../kernels/attention/forward.ts";
import { mergeKernel } from "../../../../kernels/attention/merge.ts";
import {
  type Queries,
  tileRows,
} from "../../../../kernels/attention/score_tile.ts";
import type { AttentionSpec } from "../../../../kernels/attention/spec.ts";
import {
  type Build,
  largest,
  type LaunchDevice,
  type NamedShare,
} from "./build.ts";
import { type CheckedChoices, dealingsOf } from "../options/choices.ts";
import { type AttentionProblem, vecsOf } from "../problem.ts";
import { type SharedStretch, sharedUnits } from "../work/shared_prefix.ts";
import { decodeTile, forwardTile, type TileProfile } from "./tiles.ts";
import { mostTurns } from "../work/turns.ts";
import { flatUnits, type Unit, type Units } from "../work/units.ts";

/** Forward for units with many query rows, decode for those with few. */
export function fusedBuild(
  problem: AttentionProblem,
  spec: AttentionSpec,
  choices: CheckedChoices,
  device: LaunchDevice,
): Build {
  const { kvHeads } = problem;
  const { profile, model } = choices;
  const { maxComputeWorkgroupStorageSize: workgroupBytes } = device.limits;
  const valueVecs = vecsOf(problem.valueHeadDim);
  const scoreMods = problem.scoreMods.length > 0;
  const decodes = (rows: number) => rows <= profile.decodeRows;
  const units = unitsOf(problem, choices);
  const rows = [...units.shared, ...units.own].map((unit) => unit.rows);
  const forward = forwardTile(profile, {
    rows: largest(rows.filter((count) => !decodes(count))),
    valueVecs,
    scoreMods,
    workgroupBytes,
  });
  const decode = decodeTile(profile, {
    rows: largest(rows.filter(decodes)),
    valueVecs,
    workgroupBytes,
  });
  const sizes = { headVecs: vecsOf(problem.headDim), valueVecs, scoreMods };
  const most = mostTurns(device);
  const kernels = {
    forward: {
      rows: tileRows(forward),
      step: forward.keysPerStep,
      turns: { most, ...forwardTurns(forward, sizes) },
      kernel: (choice: Partial<AttentionSpec>) =>
        forwardKernel({ ...spec, ...choice, tile: forward }),
    },
    decode: {
      rows: decode.rows,
      step: decodeStep(decode),
      turns: { most, ...decodeTurns(decode, sizes) },
      kernel: (choice: Partial<AttentionSpec>) =>
        decodeKernel({ ...spec, ...choice, tile: decode }),
    },
  };
  const share = (
    name: string,
    kind: keyof typeof kernels,
    of: readonly Unit[],
    queries: Queries,
  ): NamedShare => {
    const taken = of.filter((unit) =>
      decodes(unit.rows) === (kind === "decode")
    );
    const tiles = taken.reduce(
      (sum, unit) => sum + Math.ceil(unit.rows / kernels[kind].rows),
      0,
    );
    return {
      ...kernels[kind],
      name,
      units: taken,
      kernel: (choice) => kernels[kind].kernel({ ...choice, queries }),
      dealings: dealingsOf(choices, kvHeads * tiles),
      model,
    };
  };
  const listed = units.listed ? "listed" : "consecutive";
  const shares = [
    share("shared forward", "forward", units.shared, listed),
    share("shared decode", "decode", units.shared, listed),
    share("forward", "forward", units.own, "consecutive"),
    share("decode", "decode", units.own, "consecutive"),
  ].filter((one) => one.units.length > 0);
  return {
    units,
    shares,
    passes: (schedule) => {
      const states = {
        statsAt: schedule.stateRows * valueVecs,
        scratchKeys: 0,
      };
      const merge = mergeKernel({
        outputFormat: spec.outputFormat,
        lse: spec.lse,
        lanes: profile.decodeLanes,
      });
      return [
        ...schedule.passes.map((
          { itemsAt, itemCount, workers, partial },
          i,
        ) => ({
          ...states,
          source: shares[i].kernel({
            partial,
            workers: workers ? "stretches" : "items",
          }),
          itemsAt,
          groups: workers ? workers.count : itemCount,
          heads: workers ? 1 : kvHeads,
          workersAt: workers?.at ?? 0,
          runsPerHead: schedule.runsPerHead && !workers,
        })),
        ...schedule.merges.map(({ itemsAt, itemCount, ownHeads }) => ({
          ...states,
          source: merge,
          itemsAt,
          groups: itemCount,
          heads: ownHeads ? 1 : kvHeads,
          workersAt: 0,
          runsPerHead: false,
        })),
      ].filter(({ groups }) => groups > 0);
    },
    // A merge of nothing but empty rows still binds its states.
    scratchBytes: ({ stateRows, merges }) =>
      merges.length > 0 ? Math.max(1, stateRows) * (valueVecs + 1) * 16 : 0,
    tiles: {
      forward: `${tileRows(forward)} rows x ${forward.keysPerStep} keys`,
      decode: `${decode.rows} rows x ${decodeStep(decode)} keys`,
    },
  };
}

/** The units of a problem, with what is to be shared. */
function unitsOf(
  problem: AttentionProblem,
  { sharedPrefix, profile, model }: CheckedChoices,
): Units {
  if (sharedPrefix === "never") return flatUnits(problem);
  const decodeKeys = profile.decodeLanes * profile.decodeKeysPerLane;
  const alignment = [profile.forwardKeys, profile.forwardModKeys]
    .reduce(leastCommonMultiple, decodeKeys);
  const tiles = (rows: number) => Math.ceil(rows / tileRowsFor(profile, rows));
  // What is saved is divided among workers, as is what each sequence pays for
  // another partial state; the dispatch is not.
  const saves = ({ rows, from, end }: SharedStretch) => {
    const together = rows.reduce((sum, own) => sum + own, 0);
    const apart = rows.reduce((sum, own) => sum + tiles(own), 0);
    const steps = (apart - tiles(together)) * (end - from) / decodeKeys -
      rows.length * model.itemSteps;
    return steps * problem.kvHeads > model.dispatchSteps * model.workers;
  };
  return sharedUnits(problem, {
    alignment,
    worth: sharedPrefix === "always" ? () => true : saves,
  });
}

/** Rows that read a key together, in the kernel that so many rows take. */
function tileRowsFor(profile: TileProfile, rows: number): number {
  return rows <= profile.decodeRows
    ? rows
    : profile.forwardLanes * profile.forwardRowsPerLane;
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return a / x * b;
}
