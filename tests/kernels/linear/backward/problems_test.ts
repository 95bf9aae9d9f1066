/**
 * Gradients of any problem of linear attention; apart from the cases that faults
 * are held against, as what fails here is made small first.
 *
 * @module
 */

import fc from "fast-check";
import { gpuTest } from "../../../support/gpu.ts";
import {
  assertLinearGradients,
  backwardRunOf,
  linearGradients,
} from "../../../support/linear_backward_check.ts";
import { linearCases } from "../../../support/linear_cases.ts";
import { checkProperty } from "../../../support/property.ts";

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
  { headDim: 36, valueHeadDim: 40 },
  { headDim: 7, valueHeadDim: 5 },
  { headDim: 33, valueHeadDim: 1 },
);

const PROBLEMS = fc.record({
  c: linearCases({
    sequences: fc.array(fc.integer({ min: 0, max: 50 }), {
      minLength: 1,
      maxLength: 3,
    }),
    rule: fc.constantFrom("linear", "gated", "gated", "delta", "gated_delta"),
  }),
  dims: DIMS,
  sizes: SIZES,
}).map(({ c, dims, sizes }) => ({ c: { ...c, ...dims }, sizes }));

gpuTest(
  "linearAttentionBackward() is the recurrence run backwards",
  async (t, gpu) => {
    await checkProperty(
      t.name,
      [fc.array(PROBLEMS, { minLength: 10, maxLength: 10 })],
      async (problems) => {
        const results = await linearGradients(
          gpu,
          problems.map(({ c, sizes }) => backwardRunOf(c, sizes)),
        );
        problems.forEach(({ c, sizes: { chunk } }, i) =>
          assertLinearGradients(c, { result: results[i], chunk })
        );
      },
      { runs: 1 },
    );
  },
);
