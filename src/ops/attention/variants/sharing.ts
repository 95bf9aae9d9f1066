/**
 * The fused algorithm where sequences may read what their block tables have in
 * common together.
 *
 * @module
 */

import type { AttentionSpec } from "../../../../kernels/attention/spec.ts";
import { checkType } from "../../../core/check.ts";
import type { CheckedChoices } from "../options/choices.ts";
import type { AttentionProblem } from "../problem.ts";
import type { Work } from "../work/key_ranges.ts";
import { type SharedRange, sharedWork } from "../work/shared_prefix.ts";
import type { Algorithm } from "./algorithm.ts";
import { fusedAlgorithm } from "./fused.ts";
import type { Tiles } from "./tiles.ts";
import type { PlanDevice } from "./variant.ts";

/** Shared key ranges first, then each sequence's own. */
export function sharingAlgorithm(
  problem: AttentionProblem,
  spec: AttentionSpec,
  choices: CheckedChoices,
  device: PlanDevice,
): Algorithm {
  checkType(
    !problem.selection || choices.sharedPrefix !== "always",
    "sharedPrefix",
    'must not be "always" with a blockMask on the device, whose rows are of one sequence each',
    choices.sharedPrefix,
  );
  checkType(
    onHost(problem) || choices.sharedPrefix !== "always",
    "sharedPrefix",
    'must not be "always" with a blockTable on the device, which is not compared here',
    choices.sharedPrefix,
  );
  if (problem.selection) return fusedAlgorithm(problem, spec, choices, device);
  const work = workOf(problem, choices);
  return fusedAlgorithm(problem, spec, choices, device, work);
}

/** Whether what sequences share can be seen here. */
function onHost({ keys }: AttentionProblem): boolean {
  return keys.kind !== "paged" || keys.blockTable instanceof Uint32Array;
}

/** The work of a problem, with what is to be shared. */
function workOf(
  problem: AttentionProblem,
  { sharedPrefix, tiles, model }: CheckedChoices,
): Work {
  const { forward, decode } = tiles;
  const decodeKeys = decode.lanes * decode.keysPerLane;
  const alignment = [forward.keys, forward.modKeys]
    .reduce(leastCommonMultiple, decodeKeys);
  const rowTiles = (rows: number) => Math.ceil(rows / rowsOf(tiles, rows));
  // What is saved is divided among workers, as is what each sequence pays for
  // another partial state; the dispatch is not.
  const saves = ({ rows, from, end }: SharedRange) => {
    const together = rows.reduce((sum, own) => sum + own, 0);
    const apart = rows.reduce((sum, own) => sum + rowTiles(own), 0);
    const steps = (apart - rowTiles(together)) * (end - from) / decodeKeys -
      rows.length * model.tileSteps;
    return steps * problem.kvHeads > model.dispatchSteps * model.workers;
  };
  return sharedWork(problem, {
    alignment,
    worth: sharedPrefix === "always" ? () => true : saves,
  });
}

/** Rows that read a key together, in the kernel that so many rows take. */
function rowsOf({ forward, decode }: Tiles, rows: number): number {
  return rows <= decode.maxRows ? rows : forward.lanes * forward.rowsPerLane;
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return a / x * b;
}
