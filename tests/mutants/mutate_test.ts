import { assertEquals, assertRejects } from "@std/assert";
import { faultsIn, faultsInKernel } from "./fault.ts";
import { runMutants } from "./mutate.ts";

/** A tiny repository with one function and a test of it and of a "kernel". */
async function makeRoot(expected: number): Promise<string> {
  const root = await Deno.makeTempDir();
  await Deno.mkdir(`${root}/src`);
  await Deno.mkdir(`${root}/tests`);
  await Deno.writeTextFile(`${root}/deno.json`, "{}");
  await Deno.writeTextFile(
    `${root}/src/double.ts`,
    "// twice\nexport const double = (x: number) => x * 2;\nlet limit = 9;\n",
  );
  await Deno.writeTextFile(
    `${root}/tests/double_test.ts`,
    `import { double } from "../src/double.ts";
Deno.test("double()", () => {
  if (double(3) !== ${expected}) throw new Error("no");
});
`,
  );
  const emitted = new URL("emitted.ts", import.meta.url);
  await Deno.writeTextFile(
    `${root}/tests/kernel_test.ts`,
    `import { plantFault } from "${emitted}";
Deno.test("a kernel", async () => {
  const known = new Set<string>();
  const gpu = {
    pipeline(kernel: { code: string }) {
      if (kernel.code.includes("?")) throw new Error("Cannot compile k: ?");
      known.add(kernel.code);
      return Promise.resolve(kernel.code);
    },
    compiled({ code }: { code: string }) {
      return known.has(code) ? code : undefined;
    },
  };
  plantFault(gpu as never);
  const kernel = { label: "scale/2", code: "x = 2 * x; y = 2 * y; z = 0;" };
  const code = await gpu.pipeline(kernel as never);
  // A program asks by the source that it has, fault or no fault.
  if (gpu.compiled(kernel) !== code) throw new Error("is not compiled");
  if (!code.startsWith("x = 2 * x; y = 2 * y;")) throw new Error(code);
});
`,
  );
  return root;
}

Deno.test("runMutants() tells killed, survived and broken apart", async () => {
  const root = await makeRoot(6);
  const results = await runMutants([
    ...faultsIn("double", ["double"], [
      ["wrong", "x*2", "x * 3"],
      ["endless", "x * 2", "{ while (true); }"],
      ["same", "x * 2", "2 * x"],
      ["not there", "x * 4", ""],
      ["no TypeScript", "double =", "double = ="],
      ["not loaded", "export", "throw 1; export"],
      ["by an old name", "x * 2", "twice(x)"],
    ]),
    ...faultsIn("triple", ["double"], [["no symbol", "x", "y"]]),
    ...faultsIn("limit", ["double"], [["unused", "9", "8"]]),
  ], { root, timeout: 3 });
  await Deno.remove(root, { recursive: true });
  assertEquals(
    results.map(({ fault, verdict, detail }) => [fault.name, verdict, detail]),
    [
      ["wrong", "killed", "double(): Error: no"],
      ["endless", "killed", "out of time"],
      ["same", "survived", ""],
      [
        "not there",
        "broken",
        "the text to replace occurs 0 times in double",
      ],
      ["no TypeScript", "broken", results[4].detail],
      ["not loaded", "broken", results[5].detail],
      [
        "by an old name",
        "broken",
        "double(): ReferenceError: twice is not defined",
      ],
      ["no symbol", "broken", "nothing declares triple"],
      ["unused", "survived", ""],
    ],
  );
});

Deno.test("runMutants() makes faults in what is compiled", async () => {
  const root = await makeRoot(6);
  const results = await runMutants([
    ...faultsInKernel("scale", ["kernel"], [
      ["wrong", "x = 2", "x = 3"],
      ["all of them", "$a = 2 * $a", "$a = 3 * $a", "all"],
      ["several", "= 2 *", "= 3 *"],
      ["not there", "= 4 *", "= 3 *"],
      ["no WGSL", "x = 2", "x = ?"],
      ["unused", "z = 0", "z = 1"],
    ]),
    ...faultsInKernel("shift", ["kernel"], [["no kernel", "x", "y"]]),
  ], { root });
  await Deno.remove(root, { recursive: true });
  assertEquals(
    results.map(({ fault, verdict, detail }) => [fault.name, verdict, detail]),
    [
      ["wrong", "killed", "a kernel: Error: x = 3 * x; y = 2 * y; z = 0;"],
      [
        "all of them",
        "killed",
        "a kernel: Error: x = 3 * x; y = 3 * y; z = 0;",
      ],
      [
        "several",
        "broken",
        "the text to replace occurs 2 times in scale/2",
      ],
      [
        "not there",
        "broken",
        "the text to replace occurs in none of 1 kernels",
      ],
      ["no WGSL", "broken", "Cannot compile k: ?"],
      ["unused", "survived", ""],
      [
        "no kernel",
        "broken",
        "no kernel was compiled whose label begins with shift",
      ],
    ],
  );
});

Deno.test("runMutants() rejects where the tests fail by themselves", async () => {
  const root = await makeRoot(7);
  await assertRejects(
    () =>
      runMutants(
        faultsIn("double", ["double"], [["three times", "x * 2", "x * 3"]]),
        { root },
      ),
    Error,
    "Cannot judge mutants as the tests fail without them",
  );
  await Deno.remove(root, { recursive: true });
});
