/**
 * Scratch is poisoned in tests before each run, so what a kernel leaves out is
 * not read as a state without keys: it shows.
 *
 * @module
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { attentionProblem, type Gpu, type PlanChoices } from "../../../mod.ts";
import { Program } from "../../../src/gpu/mod.ts";
import { partsFor } from "../../support/attention/parts.ts";
import { gpuTest } from "../../support/gpu.ts";
import { inputs, upload } from "./tensors.ts";

/** What is wrong with a kernel's code. */
interface Fault {
  /** How its label begins. */
  readonly kernel: string;
  readonly plant: (code: string) => string;
}

/** Skips the statement that begins so, where a condition holds. */
function skip(statement: string, where: string): Fault["plant"] {
  return (code) =>
    code.split("\n").map((line) =>
      line.trim().startsWith(statement) ? `if (!(${where})) { ${line} }` : line
    ).join("\n");
}

/** How many rows hold a NaN in output or log-sum-exp. */
async function spoiltRows(
  gpu: Gpu,
  choices: PlanChoices,
  fault?: Fault,
): Promise<number> {
  const host = inputs({ batch: 2, queries: 1, keys: 300 });
  using tensors = upload(gpu, host);
  const problem = attentionProblem({
    ...host,
    // One sequence without keys, whose state says so.
    keyLengths: [300, 0],
    returnLse: true,
  });
  const { parts } = partsFor(problem, gpu, choices);
  let planted = 0;
  const dispatches = parts.dispatches.map((dispatch) => {
    const { source } = dispatch;
    const code = fault && source.label.startsWith(fault.kernel)
      ? fault.plant(source.code)
      : source.code;
    if (code !== source.code) planted++;
    return { ...dispatch, source: { ...source, code } };
  });
  assertEquals(planted, fault ? 1 : 0);
  using program = await Program.create(gpu, "test", { ...parts, dispatches });
  assertGreater(program.explain().scratchBytes, 0);
  const { query, key, value, output, lse } = tensors;
  gpu.submit(
    "test",
    (encoder) => program.encode(encoder, { query, key, value, output, lse }),
  );
  const [rows, sums] = await gpu.read([output, lse]);
  const width = rows.length / sums.length;
  return [...sums].filter((sum, row) =>
    Number.isNaN(sum) ||
    rows.subarray(row * width, (row + 1) * width).some(Number.isNaN)
  ).length;
}

const FAULTS: readonly (readonly [string, PlanChoices, Fault])[] = [
  ["the maximum and sum of a state", { splits: 3 }, {
    kernel: "attention.decode",
    plant: skip("states[params.stats_at + row] =", "row == 1u"),
  }],
  ["the state of a row without keys", { splits: 3 }, {
    kernel: "attention.decode",
    plant: skip("states[params.stats_at + row] =", "sum == 0.0"),
  }],
  ["four elements of a state", { splits: 3 }, {
    kernel: "attention.decode",
    plant: skip("states[row * params.value_vecs + vec] =", "row + vec == 1u"),
  }],
  ["a whole work tile", { splits: 3 }, {
    kernel: "attention.decode",
    plant: (code) =>
      code.replace("params.group_count", "(params.group_count - 1u)"),
  }],
  ["a score", { algorithm: "standard" }, {
    kernel: "attention.standard.scores",
    plant: skip(
      "scratch[place_of(scratch_at, first_key + 1, 0, lane)] =",
      "lane == 1u && first_key > 0u",
    ),
  }],
];

for (const [what, choices, fault] of FAULTS) {
  gpuTest(`a kernel that leaves out ${what} is seen`, async (_, gpu) => {
    assert(gpu.scratch.poison, "scratch must be poisoned in tests");
    assertEquals(await spoiltRows(gpu, choices), 0);
    assertGreater(await spoiltRows(gpu, choices, fault), 0);
  });
}
