// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task bench:policies`: by policy, what selecting costs beside what it
 * saves, and the length from which it pays.
 *
 * @module
 */

import { formatTable } from "../src/cli/table.ts";
import { standardOutput } from "../src/cli/terminal.ts";
import { type Gpu, openGpu } from "../src/gpu/mod.ts";
import {
  measurePolicy,
  paysFrom,
  POLICY_COLUMNS,
  POLICY_MAKERS,
  policyCells,
  type PolicyRow,
} from "./support/policy_times.ts";
import { quickAsked } from "./support/quick.ts";
import { writeSection } from "./support/results.ts";

/** How much is measured. */
interface Extent {
  readonly lengths: readonly number[];
  readonly repeats: number;
}

const FULL: Extent = { lengths: [256, 512, 1024, 2048, 4096], repeats: 5 };
const QUICK: Extent = { lengths: [256, 512], repeats: 1 };

async function measure(
  gpu: Gpu,
  { lengths, repeats }: Extent,
): Promise<PolicyRow[]> {
  const rows: PolicyRow[] = [];
  for (const policy of Object.keys(POLICY_MAKERS)) {
    for (const tokens of lengths) {
      rows.push(await measurePolicy(gpu, { policy, tokens, repeats }));
    }
  }
  return rows;
}

async function main(): Promise<void> {
  const quick = quickAsked(
    "bench:policies",
    "Times what selecting costs beside what it saves, by policy and length",
  );
  const gpu = await openGpu({ label: "bench" });
  try {
    const rows = await measure(gpu, quick ? QUICK : FULL);
    const pays = Object.keys(POLICY_MAKERS).map((policy) => {
      const from = paysFrom(rows.filter((row) => row.policy === policy));
      return { policy, from };
    });
    console.log(
      `${gpu.info.description}, by the wall\n\n` +
        formatTable(POLICY_COLUMNS, rows.map(policyCells), {
          width: standardOutput().columns,
        }) + "\n",
    );
    for (const { policy, from } of pays) {
      console.log(
        from === undefined
          ? `${policy}: does not pay at these lengths`
          : `${policy}: pays from ${from} tokens`,
      );
    }
    if (quick) return console.log("\n--quick: nothing is written.");
    const file = await writeSection(gpu, "policies", { rows, pays });
    console.log(`\nWritten: ${file}`);
  } finally {
    gpu.destroy();
  }
}

if (import.meta.main) await main();
