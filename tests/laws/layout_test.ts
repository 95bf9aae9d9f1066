import {
  type AttentionCase,
  dataOf,
  PLAIN,
} from "../support/attention/cases.ts";
import { assertSameBits, replayLine } from "../support/attention/check.ts";
import { runCases, sliceOf } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";
import { runsOf, SEED } from "../support/property.ts";
import { Prng } from "../../src/core/prng.ts";

/** Prefill and decode in one batch, in whole vec4s and with a tail. */
const SHAPES: readonly Partial<AttentionCase>[] = [
  { sequences: [[1, 131], [40, 83], [2, 66], [5, 0], [0, 5], [2, 1]] },
  { sequences: [[1, 131], [40, 83]], headDim: 7, valueHeadDim: 5 },
];

/** Rows with a tail take long to compile, so they see one block size. */
function blockSizes({ headDim }: AttentionCase): readonly number[] {
  return headDim % 4 === 0 ? [1, 5, 16, 64, 100] : [5];
}

/** Any table: the seed shuffles blocks, and decides how many are surplus. */
function paged(
  c: AttentionCase,
  layout: "paged" | "cache" | "contiguous",
  blockSize: number,
): AttentionCase {
  return { ...c, layout, blockSize };
}

gpuTest(
  "attention() paged is attention() contiguous, bitwise",
  async (_, gpu) => {
    const random = new Prng(SEED);
    for (let run = 0; run < Math.ceil(runsOf(1) / 10); run++) {
      const seed = random.u32() >>> 1;
      const flat = SHAPES.map((shape): AttentionCase => ({
        ...PLAIN,
        seed,
        layout: "ragged",
        ...shape,
      }));
      const expected = await runCases(gpu, flat);
      for (const layout of ["paged", "cache", "contiguous"] as const) {
        const cases = flat.flatMap((c) =>
          blockSizes(c).map((blockSize) => paged(c, layout, blockSize))
        );
        const results = await runCases(gpu, cases);
        cases.forEach((c, i) =>
          assertSameBits(
            results[i],
            expected[flat.findIndex(({ headDim }) => headDim === c.headDim)],
            `${layout} against contiguous\n${replayLine(c)}`,
          )
        );
      }
    }
  },
);

gpuTest(
  "attention() from several arenas is attention() from one, bitwise",
  async (_, gpu) => {
    const base: AttentionCase = {
      ...PLAIN,
      layout: "cache",
      blockSize: 5,
      sequences: [[33, 70], [1, 339]],
      causal: true,
    };
    const cases = [1, 2].map((segments) => ({ ...base, segments }));
    const [one, ...several] = await runCases(gpu, cases);
    several.forEach((result, i) =>
      assertSameBits(result, one, replayLine(cases[i + 1]))
    );
  },
);

gpuTest(
  "attention() ragged is a call for each sequence, bitwise",
  async (_, gpu) => {
    for (const shape of SHAPES) {
      const c: AttentionCase = {
        ...PLAIN,
        layout: "ragged",
        causal: true,
        ...shape,
      };
      const [together] = await runCases(gpu, [c]);
      // The data of a sequence follow from the seed and its index.
      const data = dataOf(c);
      const alone = await runCases(
        gpu,
        c.sequences.map((lengths) => ({
          ...c,
          layout: "dense",
          sequences: [lengths],
        })),
        { data: (_, i) => [data[i]] },
      );
      c.sequences.forEach((_, i) =>
        assertSameBits(
          alone[i],
          sliceOf(c, together, i),
          `sequence ${i} alone\n${replayLine(c)}`,
        )
      );
    }
  },
);
