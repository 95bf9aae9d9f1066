import { assertEquals, assertRejects } from "@std/assert";
import { runMutants } from "./mutate.ts";

const TESTS = ["tests/double_test.ts"];

/** A tiny repository with one function and one test of it. */
async function makeRoot(expected: number): Promise<string> {
  const root = await Deno.makeTempDir();
  await Deno.mkdir(`${root}/src`);
  await Deno.mkdir(`${root}/tests`);
  await Deno.writeTextFile(`${root}/deno.json`, "{}");
  await Deno.writeTextFile(
    `${root}/src/double.ts`,
    "// twice\nexport const double = (x: number) => x * 2;\n",
  );
  await Deno.writeTextFile(
    `${root}/tests/double_test.ts`,
    `import { double } from "../src/double.ts";
Deno.test("double()", () => {
  if (double(3) !== ${expected}) throw new Error("no");
});
`,
  );
  return root;
}

Deno.test("runMutants() tells killed, survived and broken apart", async () => {
  const root = await makeRoot(6);
  const mutant = (find: string, replace: string) => ({
    name: find,
    file: "src/double.ts",
    find,
    replace,
    tests: TESTS,
  });
  const results = await runMutants([
    mutant("x * 2", "x * 3"),
    mutant("twice", "two times"),
    mutant("absent", ""),
    mutant("double =", "double = ="),
    mutant("export ", "throw 1; export "),
    mutant("x * 2", "{ while (true); }"),
  ], { root, timeout: 3 });
  await Deno.remove(root, { recursive: true });
  assertEquals(results.map(({ verdict }) => verdict), [
    "killed",
    "survived",
    "broken",
    "broken",
    "broken",
    "killed",
  ]);
  assertEquals(results[0].detail, "double(): Error: no");
  assertEquals(results[2].detail, "the text to replace occurs 0 times");
  assertEquals(results[5].detail, "out of time");
});

Deno.test("runMutants() rejects where the tests fail by themselves", async () => {
  const root = await makeRoot(7);
  const mutant = {
    name: "three times",
    file: "src/double.ts",
    find: "x * 2",
    replace: "x * 3",
    tests: TESTS,
  };
  await assertRejects(
    () => runMutants([mutant], { root }),
    Error,
    "Cannot judge mutants as the tests fail without them",
  );
  await Deno.remove(root, { recursive: true });
});
