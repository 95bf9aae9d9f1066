/**
 * A few specs of layers' ops whose kernels are looked at.
 *
 * @module
 */

import { rowFormat } from "../../kernels/mod.ts";
import {
  chunkSumsKernel,
  columnSumsKernel,
} from "../../kernels/layers/column_sums.ts";
import {
  convolutionInputGradientKernel,
  convolutionStore,
  convolutionTerms,
  preGradientKernel,
} from "../../kernels/layers/convolution/backward.ts";
import {
  convolutionKernel,
  convolutionStateKernel,
} from "../../kernels/layers/convolution/forward.ts";
import type { ConvolutionSpec } from "../../kernels/layers/convolution/spec.ts";
import {
  crossEntropyBackwardKernel,
  crossEntropyKernel,
  crossEntropyTotalKernel,
} from "../../kernels/layers/cross_entropy.ts";
import {
  pointwiseBackwardKernel,
  pointwiseKernel,
} from "../../kernels/layers/pointwise.ts";
import {
  projectionInputGradientKernel,
  projectionKernel,
  projectionWeightGradientKernel,
} from "../../kernels/layers/projection.ts";
import {
  rowNormBackwardKernel,
  rowNormKernel,
} from "../../kernels/layers/row_norm.ts";
import type { KernelSource } from "../../src/core/kernel.ts";

const whole = rowFormat("f32", 64);
const half = rowFormat("f16", 64);
const tail = rowFormat("f32", 30);

const convolution: ConvolutionSpec = {
  format: whole,
  weight: "f32",
  bias: true,
  silu: true,
  state: true,
};
const projection = { input: whole, weight: half, output: tail, bias: true };
const loss = { format: tail, rowWeights: true };
const swish = { name: "swish_gate", input: half, output: half } as const;

/** Their names, and the kernels. */
export const LAYER_SNAPSHOTS: readonly (readonly [string, KernelSource])[] = [
  ["layer_row_norm_f32", rowNormKernel({ format: whole, weight: half })],
  [
    "layer_row_norm_backward_f32",
    rowNormBackwardKernel({ format: tail, weight: tail }),
  ],
  [
    "layer_log_gate_f16",
    pointwiseKernel({ name: "log_gate", input: half, output: whole }),
  ],
  ["layer_swish_gate_backward_f16", pointwiseBackwardKernel(swish)],
  ["layer_convolution_f32", convolutionKernel(convolution)],
  ["layer_convolution_state_f32", convolutionStateKernel(convolution)],
  ["layer_convolution_pre_gradient_f32", preGradientKernel(convolution)],
  [
    "layer_convolution_input_gradient_f32",
    convolutionInputGradientKernel(convolution, {
      of: "input",
      finalState: true,
    }),
  ],
  [
    "layer_convolution_chunk_sums_f32",
    chunkSumsKernel(convolutionTerms(convolution)),
  ],
  [
    "layer_convolution_column_sums_f32",
    columnSumsKernel(convolutionStore(convolution)),
  ],
  ["layer_cross_entropy_f32", crossEntropyKernel(loss)],
  [
    "layer_cross_entropy_loss_f32",
    crossEntropyTotalKernel(loss, { losses: true }),
  ],
  ["layer_cross_entropy_backward_f32", crossEntropyBackwardKernel(loss)],
  ["layer_projection_f32", projectionKernel(projection)],
  [
    "layer_projection_input_gradient_f32",
    projectionInputGradientKernel(projection),
  ],
  [
    "layer_projection_weight_gradient_f32",
    projectionWeightGradientKernel(projection),
  ],
];
