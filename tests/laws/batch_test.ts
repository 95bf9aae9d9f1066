import { Prng } from "../../src/core/prng.ts";
import {
  type AttentionCase,
  dataOf,
  type Lengths,
  PLAIN,
  type SequenceData,
} from "../support/attention/cases.ts";
import {
  assertClose,
  assertSameBits,
  replayLine,
} from "../support/attention/check.ts";
import { runCases, sliceOf } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";
import { runsOf, SEED } from "../support/property.ts";

const BASE: AttentionCase = { ...PLAIN, layout: "ragged", causal: true };

/** Few rows and many: other batches choose other tiles for them. */
const WATCHED: readonly Lengths[] = [[1, 1100], [1, 37], [2, 90], [17, 60], [
  40,
  83,
]];

const MATES: readonly Lengths[] = [
  [1, 1],
  [1, 700],
  [2, 31],
  [3, 3],
  [5, 0],
  [0, 7],
  [9, 40],
  [17, 100],
  [64, 64],
];

gpuTest(
  "attention() of a row does not depend on its batch, bitwise",
  async (_, gpu) => {
    const random = new Prng(SEED);
    const watched = WATCHED.map((lengths, i) => {
      const c: AttentionCase = { ...BASE, seed: i + 1, sequences: [lengths] };
      return { c, data: dataOf(c) };
    });
    const alone = await runCases(gpu, watched.map(({ c }) => c));
    const batches: {
      c: AttentionCase;
      data: readonly SequenceData[];
      at: number;
      i: number;
    }[] = [];
    watched.forEach((one, i) => {
      for (let run = 0; run < Math.max(2, Math.ceil(runsOf(4))); run++) {
        const mates = Array.from(
          { length: 1 + random.below(4) },
          () => MATES[random.below(MATES.length)],
        );
        const at = random.below(mates.length + 1);
        const c: AttentionCase = {
          ...BASE,
          seed: random.u32() >>> 1,
          sequences: mates.toSpliced(at, 0, one.c.sequences[0]),
        };
        const data = dataOf(c).toSpliced(at, 1, one.data[0]);
        batches.push({ c, data, at, i });
      }
    });
    const together = await runCases(gpu, batches.map(({ c }) => c), {
      data: (_, n) => batches[n].data,
    });
    batches.forEach(({ c, at, i }, n) =>
      assertSameBits(
        sliceOf(c, together[n], at),
        alone[i],
        `sequence ${at} of ${JSON.stringify(c.sequences)} against itself alone`,
      )
    );
  },
);

gpuTest("attention() repeats bitwise", async (_, gpu) => {
  const repeats = Math.min(200, runsOf(40));
  const cases: AttentionCase[] = [
    { ...BASE, sequences: [[40, 83], [1, 339]] },
    { ...BASE, sequences: [[40, 83], [1, 339]], splits: 3 },
    { ...BASE, sequences: [[40, 83], [1, 339]], algorithm: "standard" },
    { ...BASE, sequences: [[17, 40], [1, 39]], algorithm: "fa1" },
    {
      ...BASE,
      sequences: [[40, 83], [1, 339]],
      splits: "stream-k",
      workers: 5,
    },
    {
      ...BASE,
      layout: "paged",
      sequences: [[1, 300], [1, 200], [2, 339]],
      inherits: [0, 192, 128],
      sharedPrefix: "always",
    },
  ];
  for (const c of cases) {
    const [first, ...others] = await runCases(
      gpu,
      new Array(repeats).fill(c),
    );
    for (const other of others) assertSameBits(other, first, replayLine(c));
  }
});

gpuTest(
  "attention() standard is attention() fused within the bound",
  async (_, gpu) => {
    const cases = WATCHED.map((lengths): AttentionCase => ({
      ...BASE,
      sequences: [lengths],
    }));
    const fused = await runCases(gpu, cases);
    const standard = await runCases(
      gpu,
      cases.map((c) => ({ ...c, algorithm: "standard" })),
    );
    cases.forEach((c, i) =>
      assertClose(c, standard[i], fused[i], "standard against fused")
    );
  },
);
