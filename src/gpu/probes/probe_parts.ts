/**
 * What probes are made of: inputs, bodies and checks.
 *
 * @module
 */

import type { Probe } from "./probe.ts";

/** Wraps a body that only the very first invocation runs. */
export function single(body: string): string {
  return `
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3u) {
  if (group.x > 0u) { return; }
${body}
}`;
}

/** Words of an input, from integers of either sign. */
export function words(values: readonly number[]): Uint32Array {
  return Uint32Array.from(values, (value) => value >>> 0);
}

/** Words of an input, from floats. */
export function bits(values: readonly number[]): Uint32Array {
  return new Uint32Array(Float32Array.from(values).buffer);
}

function floats(output: Uint32Array): Float32Array {
  return new Float32Array(output.slice().buffer);
}

/** Compares words, as signed integers. */
export function expectInts(expected: readonly number[]): Probe["check"] {
  return (output) => {
    const actual = [...new Int32Array(output.slice().buffer)];
    const at = expected.findIndex((value, i) => (value | 0) !== actual[i]);
    if (at < 0) return undefined;
    return `[${at}] is ${actual[at]}, must be ${expected[at] | 0} (all: ${
      actual.join(" ")
    })`;
  };
}

/** Compares floats within an absolute bound that depends on the input. */
export function expectFloats(
  inputs: readonly number[],
  exact: (x: number) => number,
  bound: (x: number) => number,
): Probe["check"] {
  return (output) => {
    const actual = floats(output);
    const at = inputs.findIndex((x, i) =>
      !(Math.abs(actual[i] - exact(x)) <= bound(x))
    );
    if (at < 0) return undefined;
    const x = inputs[at];
    return `at ${x} it is ${actual[at]}, must be ${exact(x)} +- ${bound(x)}`;
  };
}

/** The distance from `x` to the next f32 of larger magnitude. */
export function ulp(x: number): number {
  const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(x))));
  return 2 ** (exponent - 23);
}
