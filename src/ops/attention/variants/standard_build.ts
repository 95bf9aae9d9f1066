/**
 * The 3-dispatch baseline's build.
 *
 * @module
 */

import { tileRows } from "../../../../kernels/attention/score_tile.ts";
import type { AttentionSpec } from "../../../../kernels/attention/spec.ts";
import {
  standardKernels,
  standardTurns,
} from "../../../../kernels/attention/standard.ts";
import type { ForwardTile } from "../../../../kernels/attention/forward.ts";
import { UnsupportedError } from "../../../core/errors.ts";
import { type Build, largest, type LaunchDevice } from "./build.ts";
import type { CheckedChoices } from "../options/choices.ts";
import type { Dealing } from "../work/deal.ts";
import { type AttentionProblem, packedRows, vecsOf } from "../problem.ts";
import { forwardTile, type TileProfile } from "./tiles.ts";
import { ANY_TURNS, mostTurns } from "../work/turns.ts";
import { flatUnits } from "../work/units.ts";

/** The 3-dispatch baseline. */
export function standardBuild(
  problem: AttentionProblem,
  spec: AttentionSpec,
  { profile, model }: CheckedChoices,
  device: LaunchDevice,
): Build {
  const tile = standardTile(problem, profile, device);
  const { scores, softmax, values } = standardKernels({ ...spec, tile });
  const scratchKeys = largest(problem.sequences.map((s) => s.keyCount));
  const units = flatUnits(problem);
  const unsplit: Dealing = {
    kind: "splits",
    text: "none",
    of: () => undefined,
  };
  return {
    units,
    shares: [{
      name: "standard",
      kernel: () => scores,
      units: units.own,
      rows: tileRows(tile),
      step: tile.keysPerStep,
      dealings: [unsplit],
      model,
      turns: ANY_TURNS,
    }],
    passes: ({ passes: [{ itemsAt, itemCount }] }) =>
      itemCount === 0 ? [] : [scores, softmax, values].map((source) => ({
        source,
        itemsAt,
        groups: itemCount,
        heads: problem.kvHeads,
        workersAt: 0,
        runsPerHead: false,
        statsAt: 0,
        scratchKeys,
      })),
    scratchBytes: ({ passes: [pass] }) =>
      4 * pass.itemCount * problem.kvHeads * scratchKeys * tileRows(tile),
    tiles: { standard: `${tileRows(tile)} rows x ${tile.keysPerStep} keys` },
  };
}

/** A tile whose loops a device lets come to their end. */
function standardTile(
  problem: AttentionProblem,
  profile: TileProfile,
  device: LaunchDevice,
): ForwardTile {
  const scoreMods = problem.scoreMods.length > 0;
  const sizes = {
    headVecs: vecsOf(problem.headDim),
    valueVecs: vecsOf(problem.valueHeadDim),
    scoreMods,
  };
  const keys = largest(problem.sequences.map((s) => s.keyCount));
  const most = mostTurns(device);
  const rows = largest(problem.sequences.map((s) => packedRows(problem, s)));
  const tile = (rowsPerLane: number) =>
    forwardTile({ ...profile, forwardRowsPerLane: rowsPerLane }, {
      rows,
      valueVecs: 1,
      scoreMods,
      workgroupBytes: device.limits.maxComputeWorkgroupStorageSize,
    });
  let rowsPerLane = profile.forwardRowsPerLane;
  while (
    rowsPerLane > 1 && standardTurns(tile(rowsPerLane), sizes, keys) > most
  ) rowsPerLane /= 2;
  const turns = standardTurns(tile(rowsPerLane), sizes, keys);
  if (turns <= most) return tile(rowsPerLane);
  throw new UnsupportedError(
    `run standard attention over ${keys} keys`,
    `its loops take ${turns} turns, and this adapter ends them after ${most}`,
  );
}
