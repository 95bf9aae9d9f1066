/**
 * One-line faults in Seer's gate and in what is selected by it.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../../fault.ts";

const GATE = ["policies/seer/gate"];
const KEYS = ["policies/seer/keys"];
const SELECTION = ["policies/seer/selection"];

/** Every fault listed for it. */
export const SEER_FAULTS: readonly Fault[] = [
  ...faultsInKernel("selection.gate.pool", GATE, [
    [
      "a last block of queries has the mean of a whole one",
      "sum / f32(end - begin)",
      "sum / f32(params.block)",
    ],
    [
      "the least of a block of keys is its most",
      "least = min(least, value)",
      "least = max(least, value)",
    ],
    [
      "the last row of a block is left out",
      "for (var row = begin; row < end; row++) {",
      "for (var row = begin; row + 1u < end; row++) {",
      "all",
    ],
  ]),
  ...faultsInKernel("selection.gate.pool", KEYS, [
    [
      "the least of a block begins anew with each append",
      "least = pooled[at + params.head_vecs];",
      "least = most;",
    ],
    [
      "the sum of a block begins anew with each append",
      "sum = pooled[at + 2u * params.head_vecs];",
      "sum = vec4f(0.0);",
    ],
    [
      "the rows of an append are looked for behind those before",
      "(row - span.first) * params.token_stride",
      "row * params.token_stride",
      "all",
    ],
  ]),
  ...faultsIn("appendParts", KEYS, [
    [
      "every append begins with the first block",
      "first: length",
      "first: 0 * length",
    ],
  ]),
  ...faultsIn("SeerKeys.append", KEYS, [
    [
      "keys are pooled past what there is room for",
      "this.#lengths[i] + count <= this.#capacity",
      "count <= this.#capacity + 1",
    ],
    [
      "tokens that a sequence has not are counted",
      "this.#lengths[i] += count",
      "this.#lengths[i] += tokens",
    ],
  ]),
  ...faultsIn("SeerKeys.#checkKeys", KEYS, [
    [
      "attention may have more keys than are pooled",
      "this.#lengths[i] === keyCount",
      "this.#lengths[i] <= keyCount",
    ],
    [
      "attention may have fewer keys than are pooled",
      "this.#lengths[i] === keyCount",
      "this.#lengths[i] >= keyCount",
    ],
  ]),
  ...faultsIn("gateTurns", GATE, [
    [
      "blocks stand side by side as tokens do",
      "block * rotary.base **",
      "rotary.base **",
    ],
  ]),
  ...faultsIn("SeerSelection.select", SELECTION, [
    [
      "a gate that sees back is taken for attention that sees ahead",
      "!gate.causal || shape.causal",
      "true || shape.causal",
    ],
    [
      "a window that ends at the query is not causal",
      "shape.window?.right === 0",
      "shape.window?.right === 1",
    ],
  ]),
  ...faultsIn("SeerSelection.#encode", KEYS, [
    [
      "each step selects as the last one",
      "sequences !== this.#sequences",
      "sequences.length !== this.#sequences.length",
    ],
  ]),
  ...faultsInKernel("selection.gate.project", GATE, [
    [
      "a last block of keys has the mean of a whole one",
      "f32(min(params.block, total - (first + 0) * params.block))",
      "f32(params.block)",
    ],
    [
      "all parts of a block go by the weights of the first",
      "(head * 3u + part) * params.head_dim",
      "(head * 3u) * params.head_dim",
    ],
  ]),
  ...faultsInKernel("selection.gate.rotate", GATE, [
    [
      "blocks of all sequences stand where the first one's do",
      "positions[sequence * params.given_blocks + i]",
      "positions[i]",
    ],
  ]),
  ...faultsInKernel("selection.gate.logits", GATE, [
    [
      "heads that share keys go by the first one's",
      "sequence * params.key_heads + head / params.head_group",
      "sequence * params.key_heads",
    ],
  ]),
  ...faultsInKernel("selection.gate.softmax", GATE, [
    [
      "the block behind the last that is seen has a share",
      "if (i < own.seen) {",
      "if (i <= own.seen) {",
    ],
    [
      "every row sees what the first row of blocks does",
      "row % params.query_blocks) * 3u",
      "0u) * 3u",
    ],
  ]),
  ...faultsInKernel("selection.gate.keep", GATE, [
    [
      "a whole word of blocks counts for none",
      "count >= 32u)",
      "count > 32u)",
    ],
    [
      "a row does not keep the blocks that it stands in",
      "chosen | forced",
      "chosen",
    ],
    [
      "what was kept in any case counts as chosen",
      "countOneBits(chosen)",
      "countOneBits(chosen | forced)",
    ],
  ]),
  ...faultsIn("gateRow", GATE, [
    [
      "one row too few is dense",
      "row >= rows - denseRows",
      "row > rows - denseRows",
    ],
  ]),
  ...faultsIn("gateRow", SELECTION, [
    [
      "a row before all keys keeps none",
      "next(Math.floor(last / block)) + 1",
      "Math.max(Math.floor(last / block) + 1, 0)",
    ],
    [
      "a row behind all keys keeps none",
      "forced_first: next(first)",
      "forced_first: first",
    ],
  ]),
  ...faultsIn("gateRow", GATE, [
    [
      "a row right before all keys sees some where it is causal",
      "causal && last < 0",
      "causal && last < -1",
    ],
  ]),
  ...faultsIn("checkRoom", KEYS, [
    [
      "pooled blocks may be more than a kernel can bind",
      "Math.max(bytes.pooled, bytes.gate) <= most",
      "Math.min(bytes.pooled, bytes.gate) <= most",
    ],
  ]),
  ...faultsIn("placeOfBlock", GATE, [
    [
      "every block of queries stands where the first one does",
      "queryOffset + row * queryBlock",
      "queryOffset + 0 * row * queryBlock",
    ],
  ]),
  ...faultsIn("keptOf", GATE, [
    [
      "a density is rounded up",
      "Math.floor((1 - Math.sqrt(1 - density)) * blocks)",
      "Math.ceil((1 - Math.sqrt(1 - density)) * blocks)",
    ],
  ]),
  ...faultsIn("givenSource", SELECTION, [
    [
      "sequences lie where heads come after tokens",
      "sequence[`${name}Start`] * strides[name].token",
      "sequence[`${name}Start`] * strides.query.head",
    ],
  ]),
  ...faultsIn("checkPlaces", SELECTION, [
    [
      "a query may stand right behind the blocks of keys",
      "queryOffset + queryCount <= room",
      "queryOffset + queryCount <= room + 1",
    ],
  ]),
  ...faultsIn("checkLayer", SELECTION, [
    [
      "a gate is for every layer where none is named",
      "layer === own",
      "layer === undefined || layer === own",
    ],
  ]),
  ...faultsIn("checkDensity", SELECTION, [
    [
      "a density is taken for sequences of different numbers of blocks",
      "count !== blocks[0]",
      "count < 0 && count !== blocks[0]",
    ],
  ]),
  ...faultsIn("checkSame", SELECTION, [
    [
      "queries may stand elsewhere than those that the gate looked at",
      '["queryCount", "keyCount", "queryOffset"] as const',
      '["queryCount", "keyCount"] as const',
    ],
  ]),
];
