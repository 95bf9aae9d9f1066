/**
 * The kernels of a Seer gate that are looked at.
 *
 * @module
 */

import { poolKernel, rowFormat } from "../../kernels/mod.ts";
import { keepBlocksKernel } from "../../kernels/selection/gate/keep.ts";
import { gateLogitsKernel } from "../../kernels/selection/gate/logits.ts";
import { gateProjectionKernel } from "../../kernels/selection/gate/project.ts";
import { gateRotationKernel } from "../../kernels/selection/gate/rotate.ts";
import { gateSoftmaxKernel } from "../../kernels/selection/gate/softmax.ts";
import type { KernelSource } from "../../src/core/kernel.ts";

/** Their names, and the kernels. */
export const GATE_SNAPSHOTS: readonly (readonly [string, KernelSource])[] = [
  [
    "gate_pool_extremes_f16",
    poolKernel({ format: rowFormat("f16", 64), parts: "extremes" }),
  ],
  [
    "gate_pool_mean_f32",
    poolKernel({ format: rowFormat("f32", 30), parts: "mean" }),
  ],
  [
    "gate_project_extremes_f32",
    gateProjectionKernel({ weight: rowFormat("f32", 64), parts: "extremes" }),
  ],
  ["gate_rotate", gateRotationKernel({ pairing: "half-split" })],
  ["gate_logits_f32", gateLogitsKernel()],
  ["gate_softmax_f32", gateSoftmaxKernel()],
  ["gate_keep", keepBlocksKernel()],
];
