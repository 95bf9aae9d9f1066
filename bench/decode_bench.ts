/**
 * Decode: one query over many keys (split, then merged), beside the standard
 * 3-dispatch baseline.
 *
 * @module
 */

import { attentionBench } from "./support/attention_pair.ts";

for (const source of ["dense", "paged"] as const) {
  for (const dtype of ["f32", "f16"] as const) {
    attentionBench({
      kind: "decode",
      source,
      dtype,
      causal: false,
      queryHeads: 32,
      kvHeads: 8,
      headDim: 64,
      queries: 1,
      keys: 2048,
    }, 32);
  }
}
