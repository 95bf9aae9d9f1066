/**
 * Faults of how Squeezed Attention's contexts are made.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../../fault.ts";

const KERNELS = ["kernels/selection/kmeans"];
const CONTEXT = ["policies/squeezed/context"];
const REFERENCE = ["reference/policies/kmeans"];
const CALIBRATE = ["policies/squeezed/calibrate"];
const GROWN = ["policies/squeezed/grown"];
const STORE = ["policies/squeezed/store"];

/** All of them. */
export const SQUEEZED_FIT_FAULTS: readonly Fault[] = [
  ...faultsInKernel("selection.kmeans.gather", KERNELS, [
    [
      "squares of long keys overflow",
      "let key = load_source(source_at, vec) / largest;",
      "let key = load_source(source_at, vec);",
    ],
    [
      "a key without a direction has one",
      "var scale = 0.0;",
      "var scale = 1.0;",
    ],
    [
      "the fourth of four elements is not looked at",
      "max(size.z, size.w)",
      "max(size.z, size.z)",
    ],
  ]),
  ...faultsInKernel("selection.kmeans.gather", CONTEXT, [
    [
      "every group of heads reads the first one's keys",
      "(params.first_head + head) * params.head_stride",
      "head * params.head_stride",
    ],
    [
      "keys become members in the order of arenas",
      "let member = head * params.members + place.x;",
      "let member = head * params.members + index - head * params.count;",
    ],
  ]),
  ...faultsInKernel("selection.kmeans.seed_distances", KERNELS, [
    [
      "the first seed is no nearer than no seed",
      "if (taken == 1u || distance < distances[own]) {",
      "if (distance < distances[own]) {",
    ],
    [
      "the distance is that of the last seed, not of the nearest",
      "distance = distances[own];",
      "distance = distance;",
    ],
    [
      "a row is labelled by how many seeds there are",
      "labels[own] = taken - 1u;",
      "labels[own] = taken;",
    ],
    [
      "keys without a direction are drawn",
      "scales[own] > 0.0",
      "scales[own] >= 0.0",
    ],
    [
      "every distance is from the first seed",
      "picks[picks_at + taken]",
      "picks[picks_at + 1u]",
    ],
  ]),
  ...faultsInKernel("selection.kmeans.seed_pick", KERNELS, [
    [
      "all heads draw by the first one's numbers",
      "draws[head * params.clusters + taken]",
      "draws[taken]",
    ],
    [
      "within a group the sum before it is forgotten",
      "var passed = chosen_before;",
      "var passed = 0.0;",
    ],
    [
      "a group is taken where the sum reaches what came before it",
      "chosen_before = before;",
      "chosen_before = before + sum;",
    ],
  ]),
  ...faultsInKernel("selection.kmeans.assign", KERNELS, [
    [
      "of equally near ones the last is taken",
      "if (nearness_0 > most) {",
      "if (nearness_0 >= most) {",
    ],
    [
      "long means draw more rows than they should",
      "let nearness_1 = product_1 - halves[cluster_1];",
      "let nearness_1 = product_1;",
    ],
    [
      "a dispatch forgets what those before it found",
      "if (params.first > 0u) {",
      "if (params.first > params.end) {",
    ],
    [
      "labels count across heads",
      "nearest = cluster_2 - clusters_at;",
      "nearest = cluster_2;",
    ],
  ]),
  ...faultsInKernel("selection.kmeans.update/f32.directions", KERNELS, [
    [
      "means are of rows, not of directions",
      "sum += load_row(own * params.row_stride, lane) * scales[own];",
      "sum += load_row(own * params.row_stride, lane);",
    ],
    [
      "an empty cluster loses its centroid",
      "if (total > 0u) {\n      let mean",
      "if (total >= 0u) {\n      let mean",
    ],
    [
      "nothing is said to move",
      "select(0.0, 1.0, any(",
      "select(0.0, 0.0, any(",
    ],
    ["halves are whole", "0.5 * sums.x", "sums.x"],
  ]),
  ...faultsInKernel("selection.kmeans.update/f32.keys", KERNELS, [
    [
      "new keys take the place of those that were there",
      "if (params.more != 0u) {",
      "if (params.more > 1u) {",
    ],
    [
      "a new key weighs as much as all before it",
      "sum = load_centroid(centroid_at, lane) * f32(total);",
      "sum = load_centroid(centroid_at, lane);",
    ],
    [
      "the second half of a chunk is read from the first",
      "first + 32u * word + countTrailingZeros(bits)",
      "first + countTrailingZeros(bits)",
    ],
  ]),
  ...faultsInKernel("selection.kmeans.update/f32.clusters", KERNELS, [
    [
      "a cluster counts once, however many keys it has",
      "total += weights[own];",
      "total += 1u;",
    ],
    [
      "a mean of clusters does not weigh them",
      "* f32(weights[own])",
      "* 1.0",
    ],
  ]),
  ...faultsIn("src/policies/squeezed/fit/kmeans.ts: drawSeeds", CONTEXT, [
    [
      "the last seed labels no key",
      "first <= clusters; first += SEEDS_A_SUBMIT",
      "first < clusters; first += SEEDS_A_SUBMIT",
    ],
    [
      "heads past the first workgroup draw no seed",
      "Math.ceil(heads / SEED_PICK_LANES)",
      "Math.floor(heads / SEED_PICK_LANES) || 1",
    ],
  ]),
  ...faultsIn("src/policies/squeezed/fit/kmeans.ts: kmeans", CONTEXT, [
    [
      "clusters without a row are near to everything",
      ".fill(NEVER)",
      ".fill(0)",
    ],
  ]),
  ...faultsIn("fitLevel", CONTEXT, [
    [
      "clusters of clusters are means of clusters, not of keys",
      'weights ? "clusters" : "keys"',
      '"keys"',
    ],
  ]),
  ...faultsIn("fitHeads", CONTEXT, [
    [
      "every group of heads draws by the same numbers",
      "of.slice(first * count, (first + heads) * count)",
      "of.slice(0, heads * count)",
    ],
  ]),
  ...faultsIn("src/policies/squeezed/fit/levels.ts: place", CONTEXT, [
    [
      "every group of heads goes to the first",
      "first * head,",
      "0 * head,",
    ],
  ]),
  ...faultsIn("growClusters", CONTEXT, [
    [
      "new labels lie over the old ones",
      "put(added, sizes.members, first);",
      "put(added, sizes.members, 0);",
    ],
    [
      "keys that are in clusters already are added again",
      "places.parts(first, end)",
      "places.parts(0, end - first)",
    ],
  ]),
  ...faultsIn("fitSizes", CONTEXT, [
    ["a tenth of the keys are clusters", "share(0.05)", "share(0.1)"],
    [
      "clusters are counted of all keys",
      "const members = keys - observationWindow;",
      "const members = keys;",
    ],
    [
      "few keys have no cluster",
      "Math.max(1, Math.round(part * members))",
      "Math.round(part * members)",
    ],
  ]),
  ...faultsIn("keysAtOnce", KERNELS, [
    [
      "each head has a binding of its own",
      "heads * headDim * 4",
      "headDim * 4",
    ],
  ]),
  ...faultsIn("SqueezedContext", CONTEXT, [
    [
      "keys of another layer are taken",
      "layer === this.layer,",
      "layer !== undefined,",
    ],
    [
      "the observation window goes into clusters as the context grows",
      "const end = places.keys - observationWindow;",
      "const end = places.keys;",
    ],
    [
      "updates do not wait for one another",
      "const turn = this.#updating.then(() => this.#grow(keys));",
      "const turn = this.#grow(keys);",
    ],
  ]),
  ...faultsIn("placesInCache", CONTEXT, [
    [
      "every group of a sequence is read as the first",
      "cache.keysOf([sequence] as never, { group })",
      "cache.keysOf([sequence] as never)",
    ],
    [
      "slots without a key are read as keys",
      "(sequence as { readonly committed: number }).committed",
      "Infinity",
    ],
    [
      "copies that wait are not looked at",
      "cache.copyPending();",
      "void cache;",
    ],
    [
      "the null block is read as one of the sequence's",
      "slot >= cache.firstBlock * blockSize",
      "slot >= 0",
    ],
    [
      "keys of later arenas are read from the first",
      "(slot - arena * perArena) * kvHeads * headDim",
      "slot * kvHeads * headDim",
    ],
  ]),
  ...faultsIn("placesInTensor", CONTEXT, [
    [
      "a view is read from its tensor's beginning",
      "(offset + (first + i) * token) / unit",
      "((first + i) * token) / unit",
    ],
  ]),
  ...faultsIn("reference/policies/kmeans.ts: drawSeeds", REFERENCE, [
    [
      "the first seed is no nearer than no seed",
      "if (k === 0 || distance < distances[i])",
      "if (distance < distances[i])",
    ],
  ]),
  ...faultsIn("quantileOf", CALIBRATE, [
    [
      "clusters count as one key each",
      "below += count;",
      "below += 1;",
    ],
    [
      "a score more is passed than needs be",
      "below >= wanted",
      "below > wanted",
    ],
    [
      "a part that rounds up passes a score more",
      " * (1 - 1e-12)",
      "",
    ],
  ]),
  ...faultsIn("calibrateSqueezed", CALIBRATE, [
    [
      "the lower level is calibrated as if nothing was dropped above",
      'await meansOf(gpu, layers, { level: "fine", coarseThreshold, read }),',
      'await meansOf(gpu, layers, { level: "fine", read }),',
    ],
    [
      "the upper level drops all that is to be dropped",
      "coarseSparsity = sparsity / 2",
      "coarseSparsity = sparsity",
    ],
  ]),
  ...faultsIn("layerOf", CALIBRATE, [
    [
      "a scale that is given is not taken",
      "const scale = given ?? 1 / Math.sqrt(headDim);",
      "const scale = 1 / Math.sqrt(headDim);",
    ],
  ]),
  ...faultsIn("checkedLayers", CALIBRATE, [
    [
      "a scale that is none in float32 is taken",
      "checkScale(scale);",
      "void checkScale;",
    ],
  ]),
  ...faultsIn("checkSameSizes", GROWN, [
    [
      "a context that has grown is looked up with its old sizes",
      "found[name] === own[name]",
      "found[name] !== undefined",
    ],
  ]),
  ...faultsIn("begins", STORE, [
    [
      "another tenant's contexts are found",
      "encodeDomain(entry.domain) === encodeDomain(domain)",
      "encodeDomain(entry.domain) === encodeDomain(entry.domain)",
    ],
    [
      "tokens behind the last full block are not compared",
      "entry.tokens.every(",
      "entry.tokens.slice(0, 2).every(",
    ],
  ]),
  ...faultsIn("isWhole", STORE, [
    [
      "a context that has grown is found by its old tokens",
      "!destroyed && length === tokens.length",
      "!destroyed",
    ],
  ]),
  ...faultsIn("SqueezedStore", STORE, [
    [
      "a domain is whatever its object says by now",
      "structuredClone(domain)",
      "domain",
    ],
    [
      "a context that has grown is freed, whose blocks are where they were",
      "entry.contexts.some(({ destroyed }) => destroyed)",
      "!isWhole(entry)",
    ],
    [
      "a prefix stays as long as any block of it",
      "!walk.includes(NULL_BLOCK)",
      "walk[0] !== NULL_BLOCK",
    ],
    [
      "the shortest prefix is found",
      "entry.tokens.length > (found?.tokens.length ?? -1)",
      "entry.tokens.length < (found?.tokens.length ?? Infinity)",
    ],
    [
      "contexts outlive their prefix",
      "if (!but.has(context)) context.destroy();",
      "if (but.has(context)) context.destroy();",
    ],
    [
      "nothing is dropped when all is forgotten",
      'events.some(({ type }) => type !== "stored")',
      'events.some(({ type }) => type === "removed")',
    ],
  ]),
];
