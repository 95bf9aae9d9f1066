/**
 * Prefill by the tiled kernel, beside the standard 3-dispatch baseline.
 *
 * @module
 */

import { attentionBench } from "./support/attention_pair.ts";

const SHAPE = {
  kind: "prefill",
  queryHeads: 8,
  kvHeads: 8,
  headDim: 64,
  queries: 256,
  keys: 256,
} as const;

attentionBench({ ...SHAPE, source: "dense", dtype: "f32", causal: false }, 8);
for (const source of ["dense", "paged"] as const) {
  for (const dtype of ["f32", "f16"] as const) {
    attentionBench({ ...SHAPE, source, dtype, causal: true }, 8);
  }
}
