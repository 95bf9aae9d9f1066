/**
 * Probes of what numbers come out.
 *
 * @module
 */

import {
  bits,
  expectFloats,
  expectInts,
  single,
  ulp,
  words,
} from "./probe_parts.ts";
import type { Probe } from "./probe.ts";

const I32_MIN = -2147483648;

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

/** The probes, in the order in which they are reported. */
export const ARITHMETIC_PROBES: readonly Probe[] = [
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
