import {
  backwardReplay,
  checkBackward,
  GRADIENT_NAMES,
} from "../../support/backward/check.ts";
import {
  BACKWARD_FAMILIES,
  drawBackwardCases,
} from "../../support/backward/families.ts";
import {
  type BackwardCase,
  type BackwardResults,
  runBackward,
} from "../../support/backward/runner.ts";
import { gpuTest } from "../../support/gpu.ts";
import { runsOf, SEED } from "../../support/property.ts";

/** Multiplications of one case: the bound takes several oracles' time. */
const MOST_WORK = 1_500_000;

const drawn = drawBackwardCases(
  SEED,
  runsOf(3 * BACKWARD_FAMILIES.length),
  MOST_WORK,
);

function assertSameGradients(
  actual: BackwardResults,
  expected: BackwardResults,
  c: BackwardCase,
): void {
  for (const name of GRADIENT_NAMES) {
    const where = actual[name].findIndex((x, n) =>
      !Object.is(x, expected[name][n])
    );
    if (where < 0) continue;
    throw new Error(
      `${name}[${where}] is ${actual[name][where]}, not ${
        expected[name][where]
      }, whatever lies in unowned memory\n${backwardReplay(c)}`,
    );
  }
}

for (const family of BACKWARD_FAMILIES) {
  const cases = drawn.filter((it) => it.family === family).map(({ c }) => c);
  if (cases.length === 0) continue;
  gpuTest(
    `attentionBackward() keeps the error rule: ${family.name}`,
    async (_, gpu) => {
      const results = await runBackward(gpu, cases);
      cases.forEach((c, i) => checkBackward(c, results[i]));
      const large = family.dtype === "f16" ? 6e4 : 1e30;
      const again = await runBackward(gpu, cases, { poison: large });
      cases.forEach((c, i) => assertSameGradients(again[i], results[i], c));
    },
    { features: family.dtype === "f16" ? ["shader-f16"] : [] },
  );
}

const replayed = Deno.env.get("QUIRE_CASE");
if (replayed) {
  const c = JSON.parse(replayed) as BackwardCase;
  gpuTest("attentionBackward() replays QUIRE_CASE", async (_, gpu) => {
    const [result] = await runBackward(gpu, [c]);
    checkBackward(c, result);
  });
}
