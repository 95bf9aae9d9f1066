/**
 * Linear attention by chunks, of any problem, is its recurrence within the bound
 * that follows from the problem.
 *
 * @module
 */

import fc from "fast-check";
import { gpuTest } from "../../support/gpu.ts";
import {
  assertLinear,
  chunkedOptionsOf,
  linearResults,
} from "../../support/linear_check.ts";
import { linearCases } from "../../support/linear_cases.ts";
import { checkProperty } from "../../support/property.ts";

/** Sizes of chunks that a case is run with. */
const SIZES = fc.constantFrom(
  { chunk: 4, subChunk: 4 },
  { chunk: 16, subChunk: 4 },
  { chunk: 24, subChunk: 12 },
  { chunk: 64, subChunk: 16 },
);

/** Rows of whole vec4s or not, as sources differ in that. */
const DIMS = fc.constantFrom(
  { headDim: 8, valueHeadDim: 12 },
  { headDim: 64, valueHeadDim: 16 },
  { headDim: 36, valueHeadDim: 40 },
  { headDim: 7, valueHeadDim: 5 },
  { headDim: 33, valueHeadDim: 1 },
);

const PROBLEMS = fc.record({
  c: linearCases({
    sequences: fc.array(fc.integer({ min: 0, max: 70 }), {
      minLength: 1,
      maxLength: 3,
    }),
    rule: fc.constantFrom("linear", "gated", "gated", "gated"),
  }),
  dims: DIMS,
  sizes: SIZES,
}).map(({ c, dims, sizes }) => ({ c: { ...c, ...dims }, sizes }));

gpuTest("linearAttention() by chunks is the recurrence", async (t, gpu) => {
  await checkProperty(
    t.name,
    [fc.array(PROBLEMS, { minLength: 16, maxLength: 16 })],
    async (problems) => {
      const results = await linearResults(
        gpu,
        problems.map(({ c, sizes }) => ({
          options: chunkedOptionsOf(c, sizes),
        })),
      );
      problems.forEach(({ c, sizes: { chunk } }, i) =>
        assertLinear(c, { result: results[i], chunk })
      );
    },
    { runs: 2 },
  );
});
