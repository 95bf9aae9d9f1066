/**
 * Cross entropy of rows of logits, and its gradient:
 *
 * ```text
 * L = log sum exp(x)    loss of a row = L - x_target
 * loss = sum over rows of w loss / sum of w, or the sum alone
 * dx = w (exp(x - L) - [target]) / sum of w
 * ```
 *
 * A row whose target is no column has weight 0: it is not in the loss, and its
 * gradient is 0 whatever it holds.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { groupEntry, invocationEntry } from "../entry.ts";
import { type Fragment, kernelOf } from "../fragment.ts";
import { laneSum } from "../fragments/lane_sum.ts";
import { onlineSoftmax } from "../fragments/online_softmax.ts";
import {
  loadRow,
  rowBinding,
  type RowFormat,
  storeRow,
} from "../fragments/rows.ts";
import { wgsl } from "../wgsl.ts";

/**
 * What the source of the cross entropy's kernels depends on.
 *
 * @category Kernels
 */
export interface CrossEntropySpec {
  /** Rows of logits, and of their gradients. */
  readonly format: RowFormat;
  /** Whether rows have weights. */
  readonly rowWeights: boolean;
}

/**
 * The target of a row that does not count.
 *
 * @category Layers
 */
export const NO_TARGET = 0xffffffff;

/** Invocations of a workgroup. */
export const CROSS_ENTROPY_LANES = 64;

function logits({ format }: CrossEntropySpec): Fragment {
  return {
    needs: [
      loadRow({
        name: "load_logits",
        bindings: [rowBinding("logits", format)],
        format,
        dim: "width",
      }),
    ],
    uniforms: {
      width: "u32",
      width_vecs: "u32",
      row_stride: "u32",
    },
  };
}

/** `weight_of_row(row)`: 0 where its target is no column. */
function targets(rowWeights: boolean): Fragment {
  return {
    bindings: [
      { name: "targets", type: "array<u32>", access: "read" },
      ...(rowWeights
        ? [{ name: "row_weights", type: "array<f32>", access: "read" } as const]
        : []),
    ],
    uniforms: { row_count: "u32", width: "u32" },
    code: wgsl(
      `
      fn weight_of_row(row: u32) -> f32 {
        if (targets[row] >= params.width) {
          return 0.0;
        }
        @if rowWeights
        return row_weights[row];
        @else
        return 1.0;
        @end
      }
      `,
      { rowWeights },
    ),
  };
}

function output(name: string): Fragment {
  return { bindings: [{ name, type: "array<f32>", access: "read_write" }] };
}

function label(
  kernel: string,
  { format, rowWeights }: CrossEntropySpec,
): string {
  return `layers.cross_entropy.${kernel}/${format.dtype}` +
    (rowWeights ? ".weights" : "");
}

/**
 * Log-sum-exp and loss of each row; one workgroup a row.
 *
 * @example Logits in f16
 * ```ts
 * import { crossEntropyKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { label } = crossEntropyKernel({
 *   format: rowFormat("f16", 50),
 *   rowWeights: false,
 * });
 * assertEquals(label, "layers.cross_entropy.rows/f16");
 * ```
 *
 * @category Kernels
 */
export function crossEntropyKernel(spec: CrossEntropySpec): KernelSource {
  return kernelOf({
    label: label("rows", { ...spec, rowWeights: false }),
    fragments: [
      logits(spec),
      targets(false),
      output("lse"),
      output("row_losses"),
      onlineSoftmax,
      { code: wgsl(STATES, { lanes: CROSS_ENTROPY_LANES }) },
    ],
    main: groupEntry(
      CROSS_ENTROPY_LANES,
      wgsl(ROWS, { lanes: CROSS_ENTROPY_LANES }),
    ),
  });
}

/** The sum of weights, and with losses also the loss; one workgroup. */
export function crossEntropyTotalKernel(
  spec: CrossEntropySpec,
  { losses }: { readonly losses: boolean },
): KernelSource {
  return kernelOf({
    label: label(losses ? "loss" : "total", spec),
    fragments: [
      targets(spec.rowWeights),
      ...(losses
        ? [
          {
            bindings: [{
              name: "row_losses",
              type: "array<f32>",
              access: "read",
            }],
            uniforms: { mean: "u32" },
          } as const,
          output("loss"),
        ]
        : [output("total")]),
      laneSum({
        lanes: CROSS_ENTROPY_LANES,
        width: CROSS_ENTROPY_LANES,
        type: "vec2f",
      }),
    ],
    main: wgsl(TOTAL, { lanes: CROSS_ENTROPY_LANES, losses }),
  });
}

/** The gradient by the logits; one invocation four of them. */
export function crossEntropyBackwardKernel(
  spec: CrossEntropySpec,
): KernelSource {
  const { format } = spec;
  return kernelOf({
    label: label("backward", spec),
    fragments: [
      logits(spec),
      targets(spec.rowWeights),
      {
        bindings: [
          { name: "lse", type: "array<f32>", access: "read" },
          { name: "total", type: "array<f32>", access: "read" },
        ],
        uniforms: { mean: "u32", loss_gradient: "f32" },
      },
      storeRow({
        name: "store_logits_gradient",
        bindings: [rowBinding("logits_gradient", format, "read_write")],
        format,
        dim: "width",
      }),
    ],
    main: invocationEntry(CROSS_ENTROPY_LANES, wgsl(BACKWARD)),
  });
}

const STATES = `
// The maximum and the sum of each lane's part of the row.
var<workgroup> states: array<vec2f, $lanes>;
`;

const ROWS = `
let row = group;
if (row >= params.row_count) {
  return;
}
let at = row * params.row_stride;
var maximum = SENTINEL;
var sum = 0.0;
for (var vec = lane; vec < params.width_vecs; vec += $lanes) {
  // What is past the row's end is masked, not 0.
  let kept = vec4u(0u, 1u, 2u, 3u) < vec4u(params.width - 4u * vec);
  let x = select(vec4f(SENTINEL), load_logits(at, vec), kept);
  let largest = max(max(maximum, max(x.x, x.y)), max(x.z, x.w));
  let own = weight(x.x, largest) + weight(x.y, largest) + weight(x.z, largest) + weight(x.w, largest);
  sum = sum * weight(maximum, largest) + own;
  maximum = largest;
}
states[lane] = vec2f(maximum, sum);
workgroupBarrier();
if (lane != 0u) {
  return;
}
for (var i = 1u; i < $lanes; i++) {
  let largest = max(maximum, states[i].x);
  sum = sum * weight(maximum, largest) + states[i].y * weight(states[i].x, largest);
  maximum = largest;
}
let target_column = targets[row];
var loss = 0.0;
if (target_column < params.width) {
  let own = load_logits(at, target_column / 4u)[target_column % 4u];
  // In this order, as the two are often alike.
  loss = maximum - own + log(sum);
}
row_losses[row] = loss;
lse[row] = maximum + log(sum);
`;

const TOTAL = `
@compute @workgroup_size($lanes)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sums = vec2f(0.0);
  for (var row = lane; row < params.row_count; row += $lanes) {
    let weight = weight_of_row(row);
    @if losses
    if (weight != 0.0) {
      sums += vec2f(weight * row_losses[row], weight);
    }
    @else
    sums.y += weight;
    @end
  }
  let all = sum_lanes(sums, lane);
  if (lane == 0u) {
    @if losses
    if (params.mean == 0u) {
      loss[0] = all.x;
    } else if (all.y != 0.0) {
      loss[0] = all.x / all.y;
    } else {
      loss[0] = 0.0;
    }
    @else
    total[0] = all.y;
    @end
  }
}
`;

const BACKWARD = `
let row = index / params.width_vecs;
let vec = index - row * params.width_vecs;
if (row >= params.row_count) {
  return;
}
let at = row * params.row_stride;
let weight = weight_of_row(row);
var gradient = vec4f(0.0);
if (weight != 0.0) {
  var factor = weight * params.loss_gradient;
  if (params.mean != 0u) {
    factor /= total[0];
  }
  let columns = 4u * vec + vec4u(0u, 1u, 2u, 3u);
  let hit = select(vec4f(0.0), vec4f(1.0), columns == vec4u(targets[row]));
  gradient = factor * (exp(load_logits(at, vec) - lse[row]) - hit);
}
store_logits_gradient(at, vec, gradient);
`;
