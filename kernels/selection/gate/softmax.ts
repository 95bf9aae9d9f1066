/**
 * The softmax of each row of a gate's logits over the blocks that it may see,
 * in place; -1, below every share, where it may not. A workgroup a row.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { groupEntry } from "../../entry.ts";
import { kernelOf } from "../../fragment.ts";
import { laneSum } from "../../fragments/lane_sum.ts";
import { wgsl } from "../../wgsl.ts";
import { gateRows } from "./spans.ts";

/** Invocations of a workgroup. */
const LANES = 64;

/** Iterations that an invocation's loops take for rows of so many blocks. */
export function gateSoftmaxLoops(blocks: number): number {
  return 3 * (Math.ceil(blocks / LANES) + 1) + 2 * (LANES + 1);
}

/** The kernel; grid: rows, folded. */
export function gateSoftmaxKernel(): KernelSource {
  return kernelOf({
    label: "selection.gate.softmax/f32",
    fragments: [
      gateRows,
      laneSum({ lanes: LANES, width: LANES, type: "f32" }),
      {
        bindings: [{
          name: "scores",
          type: "array<f32>",
          access: "read_write",
        }],
        uniforms: { key_blocks: "u32" },
        code: wgsl(
          `
          var<workgroup> highest: array<f32, $lanes>;
          `,
          { lanes: LANES },
        ),
      },
    ],
    main: groupEntry(LANES, wgsl(SOFTMAX, { lanes: LANES })),
  });
}

const SOFTMAX = `
if (group >= params.rows) {
  return;
}
let own = own_gate_row(group);
let first = group * params.key_blocks;
// Of a row that sees nothing this is no logit, and nothing comes of it.
var most = scores[first];
for (var i = lane; i < own.seen; i += $lanes) {
  most = max(most, scores[first + i]);
}
highest[lane] = most;
workgroupBarrier();
for (var i = 0u; i < $lanes; i++) {
  most = max(most, highest[i]);
}
var part = 0.0;
for (var i = lane; i < own.seen; i += $lanes) {
  part += exp(scores[first + i] - most);
}
let sum = sum_lanes(part, lane);
for (var i = lane; i < params.key_blocks; i += $lanes) {
  var score = -1.0;
  if (i < own.seen) {
    score = exp(scores[first + i] - most) / sum;
  }
  scores[first + i] = score;
}
`;
