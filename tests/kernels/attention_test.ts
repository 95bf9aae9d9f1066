import type { AttentionCase } from "../support/attention/cases.ts";
import {
  assertSameBits,
  checkCase,
  replayLine,
} from "../support/attention/check.ts";
import { drawCases, FAMILIES } from "../support/attention/families.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";
import { runsOf, SEED } from "../support/property.ts";

/** Multiplications of one case: a second of the oracle's time at most. */
const MOST_WORK = 12_000_000;

const drawn = drawCases(SEED, runsOf(4 * FAMILIES.length), MOST_WORK);

/** Whether a case has bytes that no written key owns. */
function hasUnowned({ layout, padding = 0, sequences }: AttentionCase) {
  const [[, first]] = sequences;
  if (layout === "dense") {
    return padding > 0 || sequences.some(([, keys]) => keys !== first);
  }
  return layout !== "ragged" || padding > 0;
}

for (const family of FAMILIES) {
  const cases = drawn.filter((it) => it.family === family).map(({ c }) => c);
  if (cases.length === 0) continue;
  gpuTest(
    `attention() keeps the error rule: ${family.name}`,
    async (_, gpu) => {
      const results = await runCases(gpu, cases);
      cases.forEach((c, i) => checkCase(c, results[i]));
      const unowned = cases.filter(hasUnowned);
      const large = family.dtype === "f16" ? 6e4 : 1e30;
      const again = await runCases(gpu, unowned, { poison: large });
      unowned.forEach((c, i) =>
        assertSameBits(
          again[i],
          results[cases.indexOf(c)],
          `whatever lies in unowned memory\n${replayLine(c)}`,
        )
      );
    },
    { features: family.dtype === "f16" ? ["shader-f16"] : [] },
  );
}

const replayed = Deno.env.get("QUIRE_CASE");
if (replayed) {
  const c = JSON.parse(replayed) as AttentionCase;
  gpuTest("attention() replays QUIRE_CASE", async (_, gpu) => {
    const [result] = await runCases(gpu, [c]);
    checkCase(c, result);
  });
}
