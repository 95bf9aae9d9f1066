/**
 * The probes themselves. Workgroup 1 of 2 also runs; those that need one lane
 * let only the first of workgroup 0 write.
 *
 * @module
 */

import type { Probe } from "./probes.ts";

const I32_MIN = -2147483648;

/** Wraps a body that only the very first invocation runs. */
function single(body: string): string {
  return `
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3u) {
  if (group.x > 0u) { return; }
${body}
}`;
}

function words(values: readonly number[]): Uint32Array {
  return Uint32Array.from(values, (value) => value >>> 0);
}

function bits(values: readonly number[]): Uint32Array {
  return new Uint32Array(Float32Array.from(values).buffer);
}

function floats(output: Uint32Array): Float32Array {
  return new Float32Array(output.slice().buffer);
}

/** Compares words, as signed integers. */
function expectInts(expected: readonly number[]) {
  return (output: Uint32Array): string | undefined => {
    const actual = [...new Int32Array(output.slice().buffer)];
    const at = expected.findIndex((value, i) => (value | 0) !== actual[i]);
    if (at < 0) return undefined;
    return `[${at}] is ${actual[at]}, must be ${expected[at] | 0} (all: ${
      actual.join(" ")
    })`;
  };
}

/** Compares floats within an absolute bound that depends on the input. */
function expectFloats(
  inputs: readonly number[],
  exact: (x: number) => number,
  bound: (x: number) => number,
) {
  return (output: Uint32Array): string | undefined => {
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
function ulp(x: number): number {
  const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(x))));
  return 2 ** (exponent - 23);
}

const loopInput = [5, 7, 11, 13];

const divisions = [
  [7, 2],
  [-7, 2],
  [7, -2],
  [-7, -2],
  [-1, 3],
  [I32_MIN, 3],
  [9, 0],
  [I32_MIN, -1],
];

const clamps = [
  [-5, -3, 3],
  [5, -3, 3],
  [0, -3, 3],
  [I32_MIN, -1, 1],
  [2147483647, -1, 1],
];

const expInputs = [-80, -40.5, -10, -1, -0.125, 0, 0.125, 1, 10, 40.5, 80]
  .map(Math.fround);
const logInputs = [1e-30, 1e-3, 0.5, 0.75, 0.999, 1, 1.001, 1.5, 2, 1e3, 1e30]
  .map(Math.fround);
const halves = [0, 1, -1, 0.5, 1.5, 2047, -2048, 65504, 2 ** -14, 2 ** -10];

/** Every probe, in the order in which they are reported. */
export const PROBES: readonly Probe[] = [
  {
    name: "loop_var_reinit",
    description:
      "A variable declared in a loop body without an initialiser is zero in every iteration.",
    input: words(loopInput),
    outputs: 4,
    code: single(`
  for (var i = 0u; i < 4u; i++) {
    var sum: u32;
    sum += input[i];
    output[i] = sum;
  }`),
    check: expectInts(loopInput),
  },
  {
    name: "loop_var_initialiser",
    description:
      "The same with an initialiser, which is how every kernel here is written.",
    input: words(loopInput),
    outputs: 4,
    code: single(`
  for (var i = 0u; i < 4u; i++) {
    var sum: u32 = 0u;
    sum += input[i];
    output[i] = sum;
  }`),
    check: expectInts(loopInput),
  },
  {
    name: "function_array_zero",
    description: "A function's array is zero at each entry to the function.",
    input: words([0, 1, 2, 3]),
    outputs: 4,
    code: `
fn count(at: u32) -> u32 {
  var cells: array<u32, 4>;
  cells[at] += 1u;
  return cells[0] + cells[1] + cells[2] + cells[3];
}
${
      single(`
  for (var i = 0u; i < 4u; i++) {
    output[i] = count(input[i]);
  }`)
    }`,
    check: expectInts([1, 1, 1, 1]),
  },
  {
    name: "private_array_zero",
    description: "A private array is zero when an invocation starts.",
    input: words([3]),
    outputs: 4,
    code: `
var<private> cells: array<u32, 4>;
${
      single(`
  cells[input[0]] += 1u;
  for (var i = 0u; i < 4u; i++) {
    output[i] = cells[i];
  }`)
    }`,
    check: expectInts([0, 0, 0, 1]),
  },
  {
    name: "workgroup_zero",
    description: "Workgroup memory is zero when a workgroup starts.",
    input: words([0]),
    outputs: 64,
    code: `
var<workgroup> cells: array<u32, 64>;
@compute @workgroup_size(32)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
) {
  output[32u * group.x + lane] = cells[63u - lane];
  workgroupBarrier();
  cells[lane] = 7u;
  cells[lane + 32u] = 7u;
}`,
    check: expectInts(new Array(64).fill(0)),
  },
  {
    name: "select_nan",
    description:
      "select() on vectors does not let the NaN of the rejected side through.",
    input: words([0x7fc00000, 0x3f800000, 1, 0]),
    outputs: 4,
    code: single(`
  let nan = bitcast<f32>(input[0]);
  let one = bitcast<f32>(input[1]);
  let yes = vec4<bool>(vec4u(input[2], input[3], input[2], input[3]));
  let rejected = select(vec4f(one, nan, one, nan), vec4f(nan, one, nan, one), yes);
  let kept = select(vec4f(nan, one, nan, one), vec4f(one, nan, one, nan), yes);
  let bits = bitcast<vec4u>(kept);
  let others = bitcast<vec4u>(rejected);
  for (var i = 0u; i < 4u; i++) {
    output[i] = select(0u, 1u, bits[i] == input[1] && others[i] != input[1]);
  }`),
    check: expectInts([1, 1, 1, 1]),
  },
  {
    name: "integer_division",
    description:
      "Signed division truncates, a remainder has the dividend's sign, and x / 0 is x.",
    input: words(divisions.flat()),
    outputs: 2 * divisions.length,
    code: single(`
  for (var i = 0u; i < ${divisions.length}u; i++) {
    let a = bitcast<i32>(input[2u * i]);
    let b = bitcast<i32>(input[2u * i + 1u]);
    output[2u * i] = bitcast<u32>(a / b);
    output[2u * i + 1u] = bitcast<u32>(a % b);
  }`),
    check: expectInts(
      divisions.flatMap(([a, b]) =>
        b === 0 || (a === I32_MIN && b === -1)
          ? [a, 0]
          : [Math.trunc(a / b), a % b]
      ),
    ),
  },
  {
    name: "integer_clamp",
    description: "clamp() and >> on i32 are signed, on u32 unsigned.",
    input: words(clamps.flat()),
    outputs: 3 * clamps.length,
    code: single(`
  for (var i = 0u; i < ${clamps.length}u; i++) {
    let a = bitcast<i32>(input[3u * i]);
    let low = bitcast<i32>(input[3u * i + 1u]);
    let high = bitcast<i32>(input[3u * i + 2u]);
    output[3u * i] = bitcast<u32>(clamp(a, low, high));
    output[3u * i + 1u] = bitcast<u32>(a >> 4u);
    output[3u * i + 2u] = clamp(input[3u * i], 2u, 4u) + (input[3u * i] >> 31u);
  }`),
    check: expectInts(clamps.flatMap(([a, low, high]) => [
      Math.min(Math.max(a, low), high),
      a >> 4,
      Math.min(Math.max(a >>> 0, 2), 4) + (a >>> 31),
    ])),
  },
  {
    name: "dynamic_vector_index",
    description: "A vector's component is written by a run-time index.",
    input: words([2, 0, 3, 1]),
    outputs: 4,
    code: single(`
  var v = vec4u(0u);
  for (var i = 0u; i < 4u; i++) {
    v[input[i]] = i + 1u;
  }
  for (var i = 0u; i < 4u; i++) {
    output[i] = v[i];
  }`),
    check: expectInts([2, 4, 1, 3]),
  },
  {
    name: "loop_continue",
    description: "continue runs a loop's update, in nested loops too.",
    input: words([3]),
    outputs: 1,
    code: single(`
  var sum = 0u;
  for (var i = 0u; i < 4u; i++) {
    if (i == 1u) { continue; }
    for (var k = 0u; k < input[0]; k++) {
      if (k == i) { continue; }
      sum += 10u * i + k;
    }
  }
  output[0] = sum;`),
    check: expectInts([137]),
  },
  {
    name: "early_return_barrier",
    description:
      "Workgroups that return early leave the barriers of the others alone.",
    input: words([1]),
    outputs: 64,
    code: `
var<workgroup> cells: array<u32, 64>;
@compute @workgroup_size(64)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
) {
  if (group.x >= 1u) { return; }
  var value = lane;
  for (var round = 0u; round < 3u; round++) {
    cells[lane] = value;
    workgroupBarrier();
    value = cells[63u - lane] + input[0];
    workgroupBarrier();
  }
  output[lane] = value;
}`,
    check: expectInts(Array.from({ length: 64 }, (_, lane) => 66 - lane)),
  },
  {
    name: "exp_accuracy",
    description: "exp(x) is within 3 + 2 |x| ULP, far from zero too.",
    input: bits(expInputs),
    outputs: expInputs.length,
    code: single(`
  for (var i = 0u; i < ${expInputs.length}u; i++) {
    output[i] = bitcast<u32>(exp(bitcast<f32>(input[i])));
  }`),
    check: expectFloats(
      expInputs,
      Math.exp,
      (x) => (3 + 2 * Math.abs(x)) * ulp(Math.exp(x)),
    ),
  },
  {
    name: "exp_underflow",
    description: "exp() of a very large negative number is zero.",
    input: bits([-200, -1e4, -3.4e38]),
    outputs: 3,
    code: single(`
  for (var i = 0u; i < 3u; i++) {
    output[i] = bitcast<u32>(exp(bitcast<f32>(input[i])));
  }`),
    check: expectFloats([-200, -1e4, -3.4e38], () => 0, () => 0),
  },
  {
    name: "log_accuracy",
    description: "log(x) is within 2^-21 in [0.5, 2] and 3 ULP elsewhere.",
    input: bits(logInputs),
    outputs: logInputs.length,
    code: single(`
  for (var i = 0u; i < ${logInputs.length}u; i++) {
    output[i] = bitcast<u32>(log(bitcast<f32>(input[i])));
  }`),
    check: expectFloats(
      logInputs,
      Math.log,
      (x) => x >= 0.5 && x <= 2 ? 2 ** -21 : 3 * ulp(Math.log(x)),
    ),
  },
  {
    name: "fma",
    description: "fma(x, y, z) is x * y + z, rounded once or twice.",
    input: bits([1 + 2 ** -12, 3, -0.1, 1e15]),
    outputs: 4,
    code: single(`
  for (var i = 0u; i < 4u; i++) {
    let x = bitcast<f32>(input[i]);
    output[i] = bitcast<u32>(fma(x, x, -x));
  }`),
    check: expectFloats(
      [1 + 2 ** -12, 3, Math.fround(-0.1), Math.fround(1e15)],
      (x) => x * x - x,
      (x) => ulp(x * x) + ulp(x * x - x),
    ),
  },
  {
    name: "pack_half",
    description: "pack2x16float() and back keeps every f16.",
    input: bits(halves),
    outputs: halves.length,
    code: single(`
  for (var i = 0u; i < ${halves.length}u; i++) {
    let x = bitcast<f32>(input[i]);
    output[i] = bitcast<u32>(unpack2x16float(pack2x16float(vec2f(0.0, x))).y);
  }`),
    check: expectFloats(halves, (x) => x, () => 0),
  },
  {
    name: "f16_round_trip",
    description: "f32 to f16 and back keeps every f16.",
    features: ["shader-f16"],
    input: bits(halves),
    outputs: halves.length,
    code: single(`
  for (var i = 0u; i < ${halves.length}u; i++) {
    let half = f16(bitcast<f32>(input[i]));
    output[i] = bitcast<u32>(f32(half));
  }`),
    check: expectFloats(halves, (x) => x, () => 0),
  },
];
