/**
 * Doctor's last word, of made-up devices and of this one.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { formatVerdict, profilesOf } from "../../src/cli/doctor.ts";
import { checkAttention, definition } from "../../src/cli/self_check.ts";
import { gpuEnvironment } from "../../src/cli/setup.ts";
import { type Findings, verdictOf } from "../../src/cli/verdict.ts";
import { attention } from "../../reference/mod.ts";
import { PROBES } from "../../src/gpu/probes/probes.ts";
import { Prng } from "../../src/core/prng.ts";
import { gpuTest, SKIP_REASON } from "../support/gpu.ts";

const PLAIN = { interactive: false, colour: false, columns: 80 };

/** A device where the named probes fail. */
function device(
  failing: readonly string[],
  more: Partial<Findings> = {},
): Findings {
  return {
    software: true,
    probes: PROBES.map(({ name }) => ({
      name,
      ok: !failing.includes(name),
      detail: "so it is",
    })),
    checks: [{ name: "attention, dense", error: 1e-7, ok: true }],
    ...more,
  };
}

Deno.test("profilesOf() gives a reason for each profile", () => {
  const [portable, subgroups, matrix] = profilesOf(new Set(["subgroups"]));
  assert(portable.possible && subgroups.possible && !matrix.possible);
  assertStringIncludes(matrix.reason, "the device lacks");
});

Deno.test("verdictOf() takes a device without faults", () => {
  assertEquals(verdictOf(device([])), { works: true, avoided: {}, wrong: [] });
});

Deno.test("verdictOf() names the faults that are avoided", () => {
  const { works, avoided } = verdictOf(
    device(["loop_var_reinit", "long_loops"]),
  );
  assertEquals(works, true);
  assertEquals(Object.keys(avoided), ["loop_var_reinit", "long_loops"]);
  assertStringIncludes(avoided.long_loops, "65,535 iterations");
});

Deno.test("verdictOf() refuses whatever is relied on and is wrong", () => {
  for (const { name } of PROBES) {
    if (["loop_var_reinit", "long_loops"].includes(name)) continue;
    const { works, wrong } = verdictOf(device([name]));
    assertEquals(works, false);
    assertEquals(wrong, [`the probe ${name} fails: so it is`]);
  }
  // Loops are cut on software adapters alone.
  const hardware = verdictOf(device(["long_loops"], { software: false }));
  assertEquals([hardware.works, hardware.avoided], [false, {}]);
  const off = verdictOf(device([], {
    checks: [{ name: "attention, dense", error: NaN, ok: false }],
  }));
  assertEquals(off.wrong, ["attention, dense, is off by NaN"]);
});

Deno.test("verdictOf() does not count probes that cannot run", () => {
  const findings = device([]);
  const probes = findings.probes.map((probe) => ({ ...probe, ok: undefined }));
  assertEquals(verdictOf({ ...findings, probes }).works, true);
});

Deno.test("formatVerdict() is the answer, then the faults", () => {
  const text = (failing: string[], columns = 80) =>
    formatVerdict({ software: false, verdict: verdictOf(device(failing)) }, {
      ...PLAIN,
      columns,
    });
  assertEquals(
    text([]),
    "Quire works here.\nNo known fault of drivers was found.",
  );
  const avoided = text(["loop_var_reinit"], 40).split("\n");
  assertEquals(avoided[0], "Quire works here.");
  assertEquals(
    avoided[1],
    "These known faults of this driver are avoided:",
  );
  assert(avoided.slice(2).every((line) => line.length <= 40));
  assertStringIncludes(
    text(["fma"]),
    "Quire does not work here:\n  - the probe fma fails: so it is\n",
  );
});

Deno.test("formatVerdict() is coloured where the terminal shows it", () => {
  const report = { software: false, verdict: verdictOf(device([])) };
  const escape = "\x1b[";
  assert(!formatVerdict(report, PLAIN).includes(escape));
  assert(formatVerdict(report, { ...PLAIN, colour: true }).includes(escape));
});

Deno.test("definition() is the oracle's attention", () => {
  const random = new Prng(3);
  const size = 40 * 64;
  const rows = () => Float32Array.from({ length: size }, () => random.normal());
  const [query, key, value] = [rows(), rows(), rows()];
  const { output } = attention({
    query,
    key,
    value,
    batch: 1,
    queryLength: 40,
    keyLength: 40,
    queryHeads: 2,
    kvHeads: 2,
    headDim: 32,
    mask: (_batch, _head, query, key) => key <= query,
  });
  for (const position of [0, 17, 39]) {
    definition({ query, key, value }, position).forEach((x, c) => {
      assert(Math.abs(x - output[position * 64 + c]) < 1e-14);
    });
  }
});

gpuTest("checkAttention() finds attention right", async (_t, gpu) => {
  for (const { name, ok, error } of await checkAttention(gpu)) {
    assert(ok, `${name}: ${error}`);
    assert(error > 0);
  }
});

Deno.test({
  name: "doctor ends with a verdict, in 80 columns and without colour",
  ignore: SKIP_REASON !== undefined,
  fn: async () => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "-q", "src/cli/doctor.ts"],
      env: gpuEnvironment(),
    }).output();
    const out = new TextDecoder().decode(stdout);
    assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
    assertStringIncludes(out, "\n\nQuire works here");
    assert(!out.includes("\x1b"));
    for (const line of out.split("\n")) assert(line.length <= 80, line);
  },
});
