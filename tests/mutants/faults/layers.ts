/**
 * One-line faults in the ops of layers, and in the layers that are made of them.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../fault.ts";

const PLANS = ["ops/layers/plan"];
const NORMS = ["ops/layers/row_norm"];
const GATES = ["ops/layers/pointwise"];
const CONVOLUTIONS = ["ops/layers/convolution"];
const LOSSES = ["ops/layers/cross_entropy"];
const PROJECTIONS = ["ops/layers/projection"];
const LAYERS = ["model/gla/gla_layer"];
const LAYER_GRADIENTS = ["model/gla/gla_backward"];

/** Every fault listed for them. */
export const LAYER_FAULTS: readonly Fault[] = [
  ...faultsInKernel("layers.row_norm.forward", NORMS, [
    [
      "eps is within the root's divisor, not the mean",
      "* params.mean + params.eps)",
      "* params.mean)",
    ],
    [
      "a row is summed without its last lane",
      "for (var i = 0u; i < 16; i++) {",
      "for (var i = 0u; i < 15; i++) {",
    ],
  ]),
  ...faultsInKernel("layers.row_norm.backward", NORMS, [
    [
      "the gradient along a row stays",
      "factor * (g - along * load_input(at, vec))",
      "factor * g",
    ],
    [
      "the mean counts as a sum",
      "params.mean * factor * factor * total.y",
      "factor * factor * total.y",
    ],
  ]),
  ...faultsInKernel("layers.column_sums.chunks", [...NORMS, ...PROJECTIONS], [
    [
      "the last row of each chunk is left out",
      "min((chunk + 1u) * params.chunk_rows, params.rows)",
      "min((chunk + 1u) * params.chunk_rows, params.rows) - 1u",
    ],
  ]),
  ...faultsInKernel("layers.column_sums.total", NORMS, [
    [
      "the first chunk is left out",
      "for (var chunk = 0u; chunk < params.chunks; chunk++) {",
      "for (var chunk = 1u; chunk < params.chunks; chunk++) {",
    ],
  ]),
  ...faultsInKernel("layers.log_gate.forward", GATES, [
    [
      "the series of the logarithm ends early",
      "series = fma(series, squared, vec4f(1.0 / 3.0));",
      "series = vec4f(1.0 / 3.0);",
    ],
    [
      "the exponent is positive far below 0",
      "let e = exp(-abs(x));",
      "let e = exp(-x);",
      "all",
    ],
  ]),
  ...faultsInKernel("layers.swish_gate.backward", GATES, [
    [
      "the slope of silu forgets that the gate is a factor too",
      "return logistic(x) * (1.0 + x * logistic(-x));",
      "return logistic(x);",
    ],
  ]),
  ...faultsInKernel("layers.swish_gate.backward", PLANS, [
    [
      "the gate's gradient is added where the input's is asked for",
      "if (params.accumulate_gate_gradient != 0u) {",
      "if (params.accumulate_input_gradient != 0u) {",
    ],
  ]),
  ...faultsInKernel("layers.convolution.forward", CONVOLUTIONS, [
    [
      "a sequence goes on from the one before it",
      "if (position >= 0) {",
      "if (position + i32(sequence_at(index).start) >= 0) {",
    ],
    [
      "the taps are the other way round",
      "input_at(index, first + i32(tap), vec), sum)",
      "input_at(index, first + i32(params.before - tap), vec), sum)",
    ],
    [
      "the state is the first sequence's",
      "let slot = index * params.before + u32(",
      "let slot = u32(",
    ],
  ]),
  ...faultsInKernel("layers.convolution.state", CONVOLUTIONS, [
    [
      "the state is one input late",
      "i32(sequence_at(sequence).count + slot) - i32(params.before)",
      "i32(sequence_at(sequence).count + slot) - i32(params.before) - 1",
    ],
  ]),
  ...faultsInKernel("layers.convolution.input_gradient", CONVOLUTIONS, [
    [
      "gradients come from the next sequence too",
      "if (after >= 0 && after < i32(own.count)) {",
      "if (after >= 0) {",
    ],
    [
      "what flows through the state is left out at its first slot",
      "if (slot >= 0) {",
      "if (slot > 0) {",
    ],
  ]),
  ...faultsInKernel("layers.convolution.pre_gradient", CONVOLUTIONS, [
    [
      "the slope is that of the logistic function alone",
      "return logistic(x) * (1.0 + x * logistic(-x));",
      "return logistic(x);",
    ],
  ]),
  ...faultsInKernel("layers.cross_entropy.rows", LOSSES, [
    [
      "what is past a row's end counts as 0",
      "select(vec4f(SENTINEL), load_logits(at, vec), kept)",
      "load_logits(at, vec)",
    ],
    [
      "a lane's sum is not rescaled",
      "sum = sum * weight(maximum, largest) + own;",
      "sum = sum + own;",
    ],
  ]),
  ...faultsInKernel("layers.cross_entropy.loss", LOSSES, [
    [
      "rows that do not count are in the mean",
      "if (targets[row] >= params.width) {",
      "if (targets[row] > 0xfffffffeu && params.mean == 2u) {",
    ],
    [
      "a loss of no rows is 0 over 0",
      "} else if (all.y != 0.0) {",
      "} else if (all.y >= 0.0) {",
    ],
  ]),
  ...faultsInKernel("layers.cross_entropy.backward", LOSSES, [
    [
      "rows that do not count have a gradient",
      "if (weight != 0.0) {",
      "if (true) {",
    ],
    [
      "a sum is divided as the mean is",
      "if (params.mean != 0u) {",
      "if (true) {",
    ],
  ]),
  ...faultsInKernel("layers.projection.forward", PROJECTIONS, [
    [
      "a bias is scaled",
      "params.scale * sum_1 + load_bias(0u, column / 4u)",
      "params.scale * (sum_1 + load_bias(0u, column / 4u))",
    ],
    [
      "an output is never added to what is there",
      "params.accumulate_output != 0u",
      "params.accumulate_output == 7u",
    ],
    [
      "the bias is that of the first columns",
      "load_bias(0u, column / 4u)",
      "load_bias(0u, 0u)",
      "all",
    ],
  ]),
  ...faultsInKernel("layers.projection.input_gradient", PROJECTIONS, [
    ["a row's gradient is not scaled", "params.scale * sum_2", "sum_2"],
    [
      "the last features are left out",
      "depth < params.out_features",
      "depth + 4u < params.out_features",
    ],
  ]),
  ...faultsInKernel("layers.projection.weight_gradient", PROJECTIONS, [
    ["a weight's gradient is not scaled", "params.scale * sum_3", "sum_3"],
    [
      "rows past the last are in the sum",
      "depth < params.own_rows",
      "depth < params.own_rows - 1u",
      "all",
    ],
  ]),
  ...faultsIn("src/ops/layers/ops/row_norm.ts: normProblem", NORMS, [
    [
      "the mean is over whole vec4s",
      'norm === "rms" ? Math.fround(1 / width) : 1',
      'norm === "rms" ? Math.fround(1 / (4 * widthVecs)) : 1',
    ],
  ]),
  ...faultsIn("LayerPlan.encode", PLANS, [
    [
      "an output may be an input",
      "tensors[replaces[name]]?.buffer !== buffer",
      "tensors[replaces[name]]?.buffer === buffer",
    ],
  ]),
  ...faultsIn("accumulates", PLANS, [
    [
      "all gradients are added up where one is",
      "accumulate?.includes(name) ? 1 : 0",
      "accumulate?.length ? 1 : 0",
    ],
  ]),
  ...faultsIn("PipelineCache", ["regressions/uniform_sizes"], [
    [
      "layouts do not know how many uniforms there are",
      "const label = `${accesses}/${bytes}`;",
      "const label = accesses;",
    ],
  ]),
  ...faultsIn("GlaLayerPlan.encode", LAYERS, [
    [
      "the output gate's projection has the value's weight",
      "project(parts.value, weights.outputGate, way.outputGate);",
      "project(parts.value, weights.value, way.outputGate);",
    ],
    [
      "the norm is skipped",
      "input: way.normed,",
      "input: way.mixed,",
    ],
  ]),
  ...faultsIn("src/model/gla/plan.ts: partsOf", LAYERS, [
    [
      "gates are divided by 16, whatever the config says",
      "input: activations.gateInput, normalizer",
      "input: activations.gateInput",
    ],
  ]),
  ...faultsIn("GlaLayerBackwardPlan.encode", LAYER_GRADIENTS, [
    [
      "the norm's gradient is taken at its output",
      "input: way.mixed,",
      "input: way.normed,",
    ],
    [
      "queries have the keys' gradients",
      'project(parts.query, "query", own.query);',
      'project(parts.query, "query", own.key);',
    ],
  ]),
  ...faultsIn("src/model/gla/backward_plan.ts: partsOf", LAYER_GRADIENTS, [
    [
      "the low rank's gradient replaces the others'",
      "gateDown: await project(input, weights.gateDown, { adds: true })",
      "gateDown: await project(input, weights.gateDown)",
    ],
    [
      "the bias of gates is not added up",
      'sums && bias ? ["biasGradient" as const]',
      'false ? ["biasGradient" as const]',
    ],
  ]),
];
