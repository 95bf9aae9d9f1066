/**
 * What scratch linear attention takes.
 *
 * @module
 */

import type { LinearContext } from "./context.ts";
import { deltaBytes, stateBytes } from "./sizes.ts";

/** Bytes of scratch, by name. */
export function linearScratch(
  { problem, schedule, values }: LinearContext,
): Record<string, number> {
  const { stateHeads, outputHeads, decay, beta } = problem;
  const { segments, mostBlocks, kept } = schedule;
  const { gate_width, score_vecs } = values;
  const most = (of: (segment: typeof segments[number]) => number) =>
    Math.max(1, ...segments.map(of));
  const rows = most((segment) => segment.rows);
  const state = stateBytes(stateHeads, values);
  return {
    states: state * most(({ chunks }) => chunks.count),
    scores: 16 * rows * outputHeads * score_vecs,
    ...decay && { gates: 4 * rows * stateHeads * gate_width },
    ...beta && deltaBytes(rows * stateHeads, values),
    ...kept > 0 && { kept_states: state * kept },
    ...decay && mostBlocks > 0 &&
      { block_gates: 4 * mostBlocks * stateHeads * gate_width },
  };
}
