/**
 * From a problem and a device to what all dispatches have in common.
 *
 * @module
 */

import { chunkSchedule } from "./chunks.ts";
import type { LinearContext, LinearDevice } from "./context.ts";
import type { LinearProblem } from "./problem.ts";
import { chunkSizes } from "./scratch.ts";
import { HARDWARE_TILE, SOFTWARE_TILE } from "./tiles.ts";
import { linearSpec, linearUniforms } from "./uniforms.ts";

/**
 * Works out what all dispatches have in common.
 *
 * @throws {RangeError} if scratch of a single chunk does not fit a binding
 */
export function linearContext(
  problem: LinearProblem,
  device: LinearDevice,
): LinearContext {
  const spec = linearSpec(
    problem,
    device.software ? SOFTWARE_TILE : HARDWARE_TILE,
  );
  const values = linearUniforms(problem, spec);
  const sizes = chunkSizes(problem, values, device.limits);
  const schedule = chunkSchedule(problem, sizes);
  return { problem, schedule, spec, values, device };
}
