// deno-lint-ignore-file camelcase -- functions have the names of WGSL
/**
 * Functions of single elements, and their gradients:
 *
 * ```text
 * sigmoid      y = s(x)                    dx = dy s(x) s(-x)
 * log_gate     y = log s(x) / normalizer   dx = dy s(-x) / normalizer
 * swish_gate   y = x g s(g)                dx = dy g s(g)
 *                                          dg = dy x s(g) (1 + g s(-g))
 * ```
 *
 * No exponent is positive, and `log(1 + e)` is a series, as WGSL's logarithm may
 * be off by 2^-21 next to 1, which is all there is of it where x is large.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { accumulatedRows } from "../fragments/accumulate.ts";
import {
  loadRow,
  rowBinding,
  type RowFormat,
  storeRow,
} from "../fragments/rows.ts";
import { invocationEntry } from "../entry.ts";
import { type Fragment, kernelOf } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";

/**
 * A function of single elements.
 *
 * @category Kernels
 */
export type PointwiseFunction = "sigmoid" | "log_gate" | "swish_gate";

/**
 * What the source of a pointwise kernel depends on.
 *
 * @category Kernels
 */
export interface PointwiseSpec {
  /** The function. */
  readonly name: PointwiseFunction;
  /** What it is applied to, as one row, and the gradients of that. */
  readonly input: RowFormat;
  /** What it gives, and the gradient of that. */
  readonly output: RowFormat;
}

/** Invocations of a workgroup. */
export const POINTWISE_LANES = 64;

/** The functions of a logistic gate. */
export const logistic: Fragment = {
  code: wgsl(`
    fn logistic(x: vec4f) -> vec4f {
      let e = exp(-abs(x));
      return select(e, vec4f(1.0), x >= vec4f(0.0)) / (1.0 + e);
    }
  `),
};

/** `silu(x)` and `silu_slope(x)`. */
export const silu: Fragment = {
  needs: [logistic],
  code: wgsl(`
    fn silu(x: vec4f) -> vec4f {
      return x * logistic(x);
    }

    fn silu_slope(x: vec4f) -> vec4f {
      return logistic(x) * (1.0 + x * logistic(-x));
    }
  `),
};

// 2 atanh(e / (2 + e)), with e in (0, 1]: the terms fall by 9 and more.
const logLogistic: Fragment = {
  needs: [logistic],
  uniforms: { normalizer: "f32" },
  code: wgsl(`
    fn log_logistic(x: vec4f) -> vec4f {
      let e = exp(-abs(x));
      let z = e / (2.0 + e);
      let squared = z * z;
      var series = vec4f(1.0 / 17.0);
      series = fma(series, squared, vec4f(1.0 / 15.0));
      series = fma(series, squared, vec4f(1.0 / 13.0));
      series = fma(series, squared, vec4f(1.0 / 11.0));
      series = fma(series, squared, vec4f(1.0 / 9.0));
      series = fma(series, squared, vec4f(1.0 / 7.0));
      series = fma(series, squared, vec4f(1.0 / 5.0));
      series = fma(series, squared, vec4f(1.0 / 3.0));
      series = fma(series, squared, vec4f(1.0));
      return min(x, vec4f(0.0)) - 2.0 * z * series;
    }
  `),
};

/** What a function is made of. */
interface Pointwise {
  readonly inputs: readonly string[];
  readonly fragment: Fragment;
  readonly forward: string;
  /** Of each input. */
  readonly backward: readonly string[];
}

const FUNCTIONS: Readonly<Record<PointwiseFunction, Pointwise>> = {
  sigmoid: {
    inputs: ["input"],
    fragment: logistic,
    forward: "logistic(input)",
    backward: ["output_gradient * logistic(input) * logistic(-input)"],
  },
  log_gate: {
    inputs: ["input"],
    fragment: logLogistic,
    forward: "log_logistic(input) / params.normalizer",
    backward: ["output_gradient * logistic(-input) / params.normalizer"],
  },
  swish_gate: {
    inputs: ["input", "gate"],
    fragment: silu,
    forward: "input * silu(gate)",
    backward: [
      "output_gradient * silu(gate)",
      "output_gradient * input * silu_slope(gate)",
    ],
  },
};

const dim = "elements";

function read(name: string, format: RowFormat): Fragment {
  return loadRow({
    name: `load_${name}`,
    bindings: [rowBinding(name, format)],
    format,
    dim,
  });
}

const SIZES: Fragment = { uniforms: { vecs: "u32" } };

/**
 * Applies a function; one invocation four elements.
 *
 * @example The forget gates of a layer
 * ```ts
 * import { pointwiseKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { bindings } = pointwiseKernel({
 *   name: "log_gate",
 *   input: rowFormat("f16", 64),
 *   output: rowFormat("f32", 64),
 * });
 * assertEquals(bindings[1].type, "array<vec4<f32>>");
 * ```
 *
 * @category Kernels
 */
export function pointwiseKernel(spec: PointwiseSpec): KernelSource {
  const { name, input, output } = spec;
  const { inputs, fragment, forward } = FUNCTIONS[name];
  return kernelOf({
    label: `layers.${name}.forward/${input.dtype}.${output.dtype}`,
    fragments: [
      ...inputs.map((one) => read(one, input)),
      storeRow({
        name: "store_output",
        bindings: [rowBinding("output", output, "read_write")],
        format: output,
        dim,
      }),
      fragment,
      SIZES,
    ],
    main: invocationEntry(POINTWISE_LANES, wgsl(FORWARD, { inputs, forward })),
  });
}

/** The gradients by its inputs; one invocation four elements. */
export function pointwiseBackwardKernel(spec: PointwiseSpec): KernelSource {
  const { name, input, output } = spec;
  const { inputs, fragment, backward } = FUNCTIONS[name];
  const gradients = inputs.map((one, i) =>
    `add_${one}_gradient(0u, vec, ${backward[i]});`
  );
  return kernelOf({
    label: `layers.${name}.backward/${input.dtype}.${output.dtype}`,
    fragments: [
      ...inputs.map((one) => read(one, input)),
      read("output_gradient", output),
      ...inputs.map((one) =>
        accumulatedRows({ name: `${one}_gradient`, format: input, dim })
      ),
      fragment,
      SIZES,
    ],
    main: invocationEntry(
      POINTWISE_LANES,
      wgsl(BACKWARD, { inputs, gradients: gradients.join("\n") }),
    ),
  });
}

const BEGIN = `
let vec = index;
if (vec >= params.vecs) {
  return;
}
@each name in inputs
let $name = load_$name(0u, vec);
@end
`;

const FORWARD = `${BEGIN}
store_output(0u, vec, $forward);
`;

const BACKWARD = `${BEGIN}
let output_gradient = load_output_gradient(0u, vec);
$gradients
`;
