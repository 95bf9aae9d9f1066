/**
 * Work with the roles swapped: its rows are keys, and what each is held against
 * are packed query rows.
 *
 * @module
 */

import { KEY_GRADIENTS } from "../../../../kernels/attention/backward/spec.ts";
import { type AttentionProblem, packedRows } from "../../attention/problem.ts";
import { flatWork, type Work } from "../../attention/work/key_ranges.ts";
import { gradientSpans } from "../gradient_spans.ts";

/** The keys of each sequence that have gradients, against all of its rows. */
export function keyWork(problem: AttentionProblem): Work {
  const { spans } = gradientSpans(problem);
  const own = problem.sequences.map((sequence, record) => ({
    record,
    rows: spans[record].count,
    from: 0,
    end: packedRows(problem, sequence),
    prefixes: [],
  })).filter(({ rows }) => rows > 0);
  return { ...flatWork(problem), own };
}

/** Where those gradients are: the words of a record for each sequence. */
export function keySpans(problem: AttentionProblem): number[] {
  return gradientSpans(problem).spans.flatMap((span) =>
    KEY_GRADIENTS.pack(span)
  );
}
