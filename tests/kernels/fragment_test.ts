/**
 * Kernels as the sum of their fragments.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Fragment, kernelOf } from "../../kernels/fragment.ts";

const MAIN = "@compute @workgroup_size(1)\nfn main() {\nadd();\n}";

function sum(...fragments: Fragment[]) {
  return kernelOf({ label: "test.kernel", fragments, main: MAIN });
}

/** How often a text occurs in a kernel. */
function times(code: string, text: string): number {
  return code.split(text).length - 1;
}

const key: Fragment = {
  bindings: [{ name: "key", type: "array<f32>", access: "read" }],
  uniforms: { stride: "u32", scale: "f32" },
  code: "fn load(at: u32) -> f32 {\nreturn key[at * params.stride];\n}",
};
const output: Fragment = {
  needs: [key],
  bindings: [
    { name: "output", type: "array<f32>", access: "read_write" },
    { name: "key", type: "array<f32>", access: "read" },
  ],
  uniforms: { offset: "i32", scale: "f32" },
  code: "fn add() {\noutput[0] = load(0);\n}",
};

Deno.test("kernelOf() is the sum of its fragments", () => {
  const kernel = sum(output);
  assertEquals(kernel, {
    label: "test.kernel",
    bindings: [
      { name: "key", type: "array<f32>", access: "read" },
      { name: "output", type: "array<f32>", access: "read_write" },
      { name: "params", type: "Params", access: "uniform" },
    ],
    uniforms: { stride: "u32", scale: "f32", offset: "i32" },
    features: [],
    code: `struct Params {
  stride: u32,
  scale: f32,
  offset: i32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> key: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

fn load(at: u32) -> f32 {
  return key[at * params.stride];
}

fn add() {
  output[0] = load(0);
}

@compute @workgroup_size(1)
fn main() {
  add();
}
`,
  });
});

Deno.test("kernelOf() has what several fragments need once", () => {
  const twice: Fragment = { needs: [output, key], code: "const TWICE = 2;" };
  const { code, bindings } = sum(key, twice, output);
  assertEquals(times(code, "fn load("), 1);
  assertEquals(times(code, "fn add("), 1);
  assertEquals(times(code, "stride: u32"), 1);
  assertEquals(bindings.map(({ name }) => name), ["key", "output", "params"]);
});

Deno.test("kernelOf() tells equal declarations by their text", () => {
  const spaced: Fragment = { code: `\n${key.code}\n` };
  const other: Fragment = { code: "fn other() {\n}" };
  const { code } = sum(key, spaced, other, output);
  assertEquals(times(code, "fn load("), 1);
  assertEquals(times(code, "fn other("), 1);
});

Deno.test("kernelOf() has needs before what needs them, in order", () => {
  const first: Fragment = { code: "const A = 1;" };
  const second: Fragment = { needs: [first], code: "const B = A;" };
  const { code } = sum({ needs: [second], code: "const C = B;" }, {
    code: "fn add() {\n}",
  });
  const at = ["const A", "const B", "const C", "fn add"]
    .map((text) => code.indexOf(text));
  assertEquals(at, at.toSorted((a, b) => a - b));
  assert(at[0] >= 0);
});

Deno.test("kernelOf() without uniforms has no params", () => {
  const { code, bindings, uniforms } = sum({
    bindings: [{ name: "output", type: "array<f32>", access: "read_write" }],
    uniforms: {},
    code: "fn add() {\n}",
  });
  assertEquals(bindings.map(({ name }) => name), ["output"]);
  assertEquals(uniforms, {});
  assertEquals(times(code, "Params"), 0);
});

Deno.test("kernelOf() with f16 bindings needs the feature", () => {
  const half: Fragment = {
    bindings: [{ name: "half", type: "array<vec4<f16>>", access: "read" }],
  };
  const kernel = sum(output, half);
  assertEquals(kernel.features, ["shader-f16"]);
  assert(kernel.code.startsWith("enable f16;\n"));
  assertEquals(sum(output).features, []);
  assertEquals(times(sum(output).code, "enable"), 0);
});

Deno.test("kernelOf() pads the uniforms to whole 16 bytes", () => {
  for (let count = 1; count <= 9; count++) {
    const names = Array.from({ length: count }, (_, i) => `field_${i}`);
    const { code, uniforms } = sum({
      uniforms: Object.fromEntries(names.map((name) => [name, "u32"])),
    });
    assertEquals(Object.keys(uniforms), names);
    const [, body] = code.match(/^struct Params \{\n([^}]*)\}/)!;
    const fields = body.trim().split("\n");
    assertEquals(fields.length % 4, 0);
    assertEquals(fields.length - count, times(body, "padding_"));
    assert(fields.length - count < 4);
  }
});

Deno.test("kernelOf() leaves out code that is empty", () => {
  const { code } = sum({ code: "" }, {}, output);
  assert(!code.includes("\n\n\n"));
});

Deno.test("kernelOf() refuses fragments that disagree", () => {
  const disagreeing: readonly (readonly [Fragment, string])[] = [
    [
      { uniforms: { stride: "i32" } },
      "Fragments of test.kernel must agree about stride: current values are u32 and i32",
    ],
    [
      { bindings: [{ name: "key", type: "array<u32>", access: "read" }] },
      "must agree about key: current values are read array<f32> and read array<u32>",
    ],
    [
      { bindings: [{ name: "key", type: "array<f32>", access: "read_write" }] },
      "must agree about key: current values are read array<f32> and read_write array<f32>",
    ],
  ];
  for (const [fragment, message] of disagreeing) {
    assertThrows(() => sum(key, fragment), TypeError, message);
    assertThrows(() => sum({ needs: [key, fragment] }), TypeError);
  }
});
