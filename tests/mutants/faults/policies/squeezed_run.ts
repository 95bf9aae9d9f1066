/**
 * One-line faults in the look-up of Squeezed Attention and in what attends.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../../fault.ts";

const LOOKUP = ["policies/squeezed/lookup"];
const PLAN = ["policies/squeezed/squeezed_plan"];
const ATTENTION = ["policies/squeezed/squeezed_attention"];
const POLICY = ["policies/squeezed/squeezed_policy"];
const INPUT = ["policies/squeezed/bad_input"];
const COMPACT = ["kernels/selection/compact"];
const REFERENCE = ["reference/policies/squeezed"];

const REPRO = ["repro/policies/squeezed"];

/** Every fault listed for it. */
export const SQUEEZED_RUN_FAULTS: readonly Fault[] = [
  ...faultsInKernel("selection.centroids.denominators", LOOKUP, [
    [
      "a cluster counts once, however many keys it has",
      "let bias = log(f32(members));",
      "let bias = 0.0;",
    ],
    [
      "clusters without keys count",
      "if (members > 0u) {",
      "if (members >= 0u) {",
    ],
    [
      "the heads of a group are those of the next",
      "let head = kv_head * params.group + row % params.group;",
      "let head = row % params.group;",
    ],
    [
      "lanes are merged without their maxima",
      "total += totals[other * 8 + lane] * weight(maxima[other * 8 + lane], maximum);",
      "total += totals[other * 8 + lane];",
    ],
    [
      "the last lane's clusters are left out",
      "for (var other = 0u; other < 64; other++) {",
      "for (var other = 0u; other < 63; other++) {",
      "all",
    ],
    [
      "clusters that are not listed are looked at",
      "return list[kv_head * params.clusters + i];",
      "return i;",
    ],
    [
      "every head lists as many as the first",
      "return listed[kv_head];",
      "return listed[0];",
    ],
  ]),
  ...faultsInKernel("selection.centroids.sums", LOOKUP, [
    [
      "queries past a chunk's end are added",
      "if (first_row + 3 < end) {",
      "if (first_row + 2 < end) {",
    ],
    [
      "chunks begin one after the other's first",
      "let first = chunk * params.chunk_rows;",
      "let first = chunk;",
    ],
    [
      "sums go by the place in the list",
      "sums[plane * params.clusters + cluster] = sum;",
      "sums[plane * params.clusters + i] = sum;",
    ],
  ]),
  ...faultsInKernel("selection.centroids.means", LOOKUP, [
    [
      "the mean is a sum",
      "clamp(sum / f32(params.rows), 0x1p-126f, 1.0);",
      "clamp(sum, 0x1p-126f, 1.0);",
    ],
    [
      "means of the last chunk are left out",
      "for (var chunk = 0u; chunk < params.chunks; chunk++) {",
      "for (var chunk = 0u; chunk < max(params.chunks, 2u) - 1u; chunk++) {",
    ],
    [
      "a mean is above 1 where scores were rounded up",
      "clamp(sum / f32(params.rows), 0x1p-126f, 1.0);",
      "max(sum / f32(params.rows), 0x1p-126f);",
    ],
    [
      "clusters that were not looked at have a mean",
      "& 1u) == 1u;",
      "& 1u) <= 1u;",
    ],
  ]),
  ...faultsInKernel("selection.centroids.means", PLAN, [
    [
      "a mean that is too small for float32 is none",
      "clamp(sum / f32(params.rows), 0x1p-126f, 1.0);",
      "min(sum / f32(params.rows), 1.0);",
    ],
  ]),
  ...faultsInKernel("selection.keep_members", LOOKUP, [
    [
      "keys behind the context are dropped",
      "var keep = true;",
      "var keep = false;",
    ],
    [
      "keys have the labels of the first head",
      "let cluster = labels[head * params.labelled + first + i];",
      "let cluster = labels[first + i];",
    ],
    [
      "the key behind the context has a label",
      "if (first + i < params.labelled) {",
      "if (first + i <= params.labelled) {",
    ],
  ]),
  ...faultsInKernel("selection.keep_members", PLAN, [
    [
      "a threshold of 1 keeps what has all of the attention, and one of 0 what has none",
      "> params.threshold;",
      "< params.threshold;",
    ],
  ]),
  ...faultsInKernel("selection.compact", COMPACT, [
    [
      "a workgroup counts its own words as before it",
      "own.y += select(0u, count, word < first_own);",
      "own.y += select(0u, count, word <= first_own);",
    ],
    [
      "a row's last word is not counted",
      "word < params.row_words; word += 64",
      "word + 1u < params.row_words; word += 64",
    ],
    [
      "of places past the list one keeps what it held",
      "for (var place = max(first, all); place < end; place++) {",
      "for (var place = max(first, all) + 1u; place < end; place++) {",
    ],
    [
      "places of a list that fills its word are not in use",
      "0xffffffffu, here == 32",
      "0u, here == 32",
    ],
    [
      "all rows' counts go to the first",
      "counts[row] = all;",
      "counts[0] = all;",
    ],
    [
      "all rows list the first one's keys",
      "return token * params.member_stride + row * params.row_stride;",
      "return token * params.member_stride;",
    ],
  ]),
  ...faultsInKernel("selection.compact/u32.paged", PLAN, [
    [
      "tokens of a block are its first",
      "+ member - block * params.block_size;",
      ";",
    ],
    [
      "blocks are taken in order",
      "let token = block_table[block] * params.block_size",
      "let token = block * params.block_size",
    ],
  ]),
  ...faultsInKernel("attention.merge_states/f32.by_head", PLAN, [
    [
      "the other part's log-sum-exp is read in the order of this one's",
      "let their_lse = lse_of(other_lse[other_row]);",
      "let their_lse = lse_of(other_lse[row]);",
    ],
    [
      "heads of a group share one",
      "+ head % params.group;",
      ";",
    ],
  ]),
  ...faultsIn("src/policies/squeezed/lookup.ts: levelOf", LOOKUP, [
    [
      "queries are taken as if they had the keys' heads",
      "token = queryHeads * headDim",
      "token = sizes.kvHeads * headDim",
    ],
  ]),
  ...faultsIn("src/policies/squeezed/lookup.ts: lookupParts", LOOKUP, [
    [
      "the upper level has the lower one's threshold",
      "threshold: coarseThreshold",
      "threshold",
    ],
    [
      "sums have room for the lower level alone",
      "chunks * Math.max(clusters, coarse)",
      "chunks * clusters",
    ],
  ]),
  ...faultsIn("prefixOptions", PLAN, [
    [
      "groups of query heads begin at each head",
      "strides: [group * headDim, queryHeads * headDim, headDim]",
      "strides: [headDim, queryHeads * headDim, headDim]",
    ],
    [
      "kept keys' scores are not capped",
      "...(softcap !== undefined && { softcap }),",
      "",
    ],
  ]),
  ...faultsIn("behind", PLAN, [
    [
      "keys behind the context begin one later",
      "offset: keys * kvHeads * dim",
      "offset: (keys + 1) * kvHeads * dim",
    ],
  ]),
  ...faultsIn("placeOf", PLAN, [
    [
      "keys behind the context are a block's first",
      "* size + token % size",
      "* size",
    ],
  ]),
  ...faultsIn("restOptions", PLAN, [
    [
      "queries see keys behind their own",
      "causal: true,",
      "causal: false,",
    ],
  ]),
  ...faultsIn("SqueezedPlan.encode", ATTENTION, [
    [
      "all layers look up the first one's clusters",
      "const { clusters = this.#clusters } = tensors;",
      "const clusters = this.#clusters;",
    ],
  ]),
  ...faultsIn("SqueezedPlan.update", ATTENTION, [
    [
      "a plan keeps the number of keys that it had",
      "keyLength,\n      returnLse",
      "keyLength: this.#problem.keyLength,\n      returnLse",
    ],
    [
      "the context is looked up where it was",
      "if (blocks) this.#parts.lookup.update(gatherOf(problem));",
      "",
    ],
    [
      "a length that is not given is all the room that there is",
      'checkInteger("keyLength", keyLength, 0);',
      "void checkInteger;",
    ],
  ]),
  ...faultsIn("SqueezedPlan.update", ["policies/squeezed/grown"], [
    [
      "a plan goes on with the sizes of a context that has grown",
      "checkSameSizes(problem.sizes, this.#problem.sizes);",
      "",
    ],
  ]),
  ...faultsIn("SqueezedPlan.kept", ATTENTION, [
    [
      "kept keys are found by the table of the next recording",
      "placeOf(this.#recorded, i)",
      "placeOf(this.#problem, i)",
    ],
  ]),
  ...faultsIn("SqueezedPlan.kept", PLAN, [
    [
      "kept keys are read as places",
      "tokens.get(Math.floor(row / kvHeads))!",
      "Math.floor(row / kvHeads)",
    ],
  ]),
  ...faultsIn("SqueezedPolicy", POLICY, [
    [
      "queries with heads first are read with tokens first",
      'shape.layout === "bhsd"',
      "shape.queryHeads === 0",
    ],
    [
      "a mask is written as if it had room for the call's keys alone",
      "queries: queryCount,",
      "queries: queryCount,\n      keys: keyCount,",
    ],
    [
      "scores have a scale of their own",
      "scale: shape.scale",
      "scale: 1",
    ],
  ]),
  ...faultsIn("SqueezedPolicy", INPUT, [
    [
      "queries may stand in the context",
      "queryOffset >= sizes.keys",
      "queryOffset >= 0",
    ],
    [
      "a query may have no key of its own",
      "queryOffset + queryCount <= keyCount",
      "queryOffset <= keyCount",
    ],
  ]),
  ...faultsIn("squeezedProblem", INPUT, [
    [
      "the context may be all there is",
      "const least = kept.sizes.keys + queries;",
      "const least = kept.sizes.keys;",
    ],
    [
      "of keys in blocks all are taken for written",
      "blockTable === undefined || options.keyLength !== undefined",
      "blockTable !== null",
    ],
  ]),
  ...faultsIn("squeezedProblem", ATTENTION, [
    [
      "a table is whatever its array says by now",
      "table: blockTable.slice()",
      "table: blockTable",
    ],
  ]),
  ...faultsIn("src/policies/squeezed/squeezed_plan.ts: createParts", INPUT, [
    [
      "what was made before an error stays",
      "for (const one of owned) one.destroy();\n    throw",
      "throw",
    ],
  ]),
  ...faultsIn("checkThreshold", INPUT, [
    [
      "a threshold above 1 keeps nothing, silently",
      "threshold >= 0 && threshold <= 1",
      "threshold >= 0",
    ],
  ]),
  ...faultsIn("clusterSizes", INPUT, [
    [
      "the upper level may be of other clusters",
      "coarse.members === fine.clusters",
      "coarse.members > 0",
    ],
  ]),
  ...faultsIn("levelSizes", INPUT, [
    [
      "rows are longer than what kernels have room for",
      "headDim, 1, 256",
      "headDim, 1, 512",
    ],
  ]),
  ...faultsIn("countQuantile", REPRO, [
    [
      "the upper level is counted by one query's clusters alone",
      "coarse.clusters,",
      "0,",
    ],
    [
      "the upper level drops as much as both",
      "quantile / 2",
      "1",
    ],
  ]),
  ...faultsIn("countBudget", REPRO, [
    [
      "an error is that of no key at all",
      "x - dense.output[t]",
      "dense.output[t]",
    ],
  ]),
  ...faultsIn("clusterMeans", REFERENCE, [
    [
      "means are over queries alone",
      "(queries * group)",
      "queries",
    ],
  ]),
  ...faultsIn("clusterScores", REFERENCE, [
    [
      "a cluster counts once in a denominator",
      "sum += counts[kvHead * clusters + i] * Math.exp(scores[i] - most);",
      "sum += Math.exp(scores[i] - most);",
    ],
  ]),
];
