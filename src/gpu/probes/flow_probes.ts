/**
 * Probes of what memory holds and of where control goes. Workgroup 1 of 2 also
 * runs; those that need one lane let only the first of workgroup 0 write.
 *
 * @module
 */

import { expectInts, single, words } from "./probe_parts.ts";
import type { Probe } from "./probe.ts";

const loopInput = [5, 7, 11, 13];

/** The probes, in the order in which they are reported. */
export const FLOW_PROBES: readonly Probe[] = [
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
    name: "long_loops",
    description:
      "Loops go on for as long as their condition holds. Mesa 22.3's llvmpipe ends them after 65,535 iterations of all loops together, so kernels take fewer on software adapters.",
    input: words([300]),
    outputs: 2,
    code: single(`
  var iterations = 0u;
  for (var i = 0u; i < input[0]; i++) {
    for (var j = 0u; j < input[0]; j++) {
      iterations += 1u + (output[1] & 0u);
    }
  }
  output[0] = iterations;
  output[1] = input[0];`),
    check: expectInts([90000, 300]),
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
];
