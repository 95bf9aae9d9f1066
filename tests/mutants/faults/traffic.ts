/**
 * One-line faults in what foretells traffic, in the runs that count it, and in
 * FlashAttention-1.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../fault.ts";

const TRAFFIC = ["planning/traffic"];
const BACKWARD = ["planning/backward_traffic"];
const PLANNER = ["planning/planner"];
const MASK = ["planning/tiling_mask"];
const PLANS = ["ops/attention/traffic"];
const KERNEL = ["kernels/fa1"];

/** Every fault listed for it. */
export const TRAFFIC_FAULTS: readonly Fault[] = [
  ...faultsIn("flash1Of", TRAFFIC, [
    [
      "O is not read again",
      "output: [rows * e, rows * e + all * e]",
      "output: [0, rows * e + all * e]",
    ],
    [
      "line 2 writes no O",
      "rows * e + all * e]",
      "rows * e]",
    ],
  ]),
  ...faultsIn("flash2Of", TRAFFIC, [
    [
      "queries are read once a key tile",
      "query: [seeingRows * d, 0]",
      "query: [rows * d, 0]",
    ],
    [
      "rows without keys write nothing",
      "output: [0, all * e]",
      "output: [0, seeingRows * e]",
    ],
  ]),
  ...faultsIn("visitSums", TRAFFIC, [
    [
      "the last tile is whole",
      "Math.min(tile, length - i * tile)",
      "tile",
    ],
    [
      "the last row tile is forgotten",
      "Math.ceil(rows / tiles.rows)",
      "Math.floor(rows / tiles.rows)",
    ],
    ["no key is seen", "seen.add(j);", ""],
    [
      "heads share what is visited",
      "tiles.visits(i, j, b, head)",
      "tiles.visits(i, j, b, 0)",
    ],
  ]),
  ...faultsIn("standardOf", TRAFFIC, [
    [
      "P is divided without being read",
      "passes === 1 ? [1, 0] : [2, 1]",
      "passes === 1 ? [1, 0] : [2, 0]",
    ],
    [
      "P is read once for all columns",
      "Math.ceil(e / columns)",
      "1",
    ],
  ]),
  ...faultsIn("smallCacheCost", TRAFFIC, [
    [
      "the pass for m and l is free",
      "scores: [pairs * (1 + columnTiles), pairs]",
      "scores: [pairs * columnTiles, pairs]",
    ],
    [
      "m and l are read once",
      "statistics: [2 * all * columnTiles, 2 * all]",
      "statistics: [2 * all, 2 * all]",
    ],
  ]),
  ...faultsIn("tileElements", TRAFFIC, [
    ["m and l take no room", "rows * (dims + 2)", "rows * dims"],
  ]),
  ...faultsIn("flash1BackwardCost", BACKWARD, [
    [
      "dQ begins without being written",
      "rows * d + heads * packed.rows * d]",
      "rows * d]",
    ],
    ["P is not computed again", "(6 * d + 4 * e)", "(4 * d + 4 * e)"],
  ]),
  ...faultsIn("flash2BackwardOf", BACKWARD, [
    [
      "the log-sum-exp is read by one kernel",
      "lse: [rows, 0]",
      "lse: [key.rows, 0]",
    ],
    [
      "only seen keys have a gradient",
      "keyGradient: [0, allKeys * d]",
      "keyGradient: [0, key.seenKeys * d]",
    ],
  ]),
  ...faultsIn("backwardTileElements", BACKWARD, [
    ["dP takes no room", "2 * rows * keys", "rows * keys"],
  ]),
  ...faultsIn("SlowMemory", TRAFFIC, [
    [
      "a store counts as a load",
      "this.#of(matrix).writes +=",
      "this.#of(matrix).reads +=",
    ],
    [
      "what is dropped stays held",
      "this.#now -= tile.rows * tile.columns;",
      "",
    ],
  ]),
  ...faultsIn("boundOf", PLANNER, [
    [
      "the small cache begins one element late",
      "fastElements >= dim * dim",
      "fastElements > dim * dim",
    ],
    ["the order has a square too many", "pairs * dim / Math", "pairs / Math"],
  ]),
  ...faultsIn("trafficBound", PLANNER, [
    [
      "queries are read where there is no key",
      "const some = keys > 0 ? 1 : 0",
      "const some = 1",
    ],
  ]),
  ...faultsIn("smallCacheTile", PLANNER, [
    [
      "a tile that is just small enough is too large",
      "smallCacheElements(tile) > elements",
      "smallCacheElements(tile) >= elements",
    ],
  ]),
  ...faultsIn("src/planning/planner.ts: candidatesOf", PLANNER, [
    [
      "tiles need not fit",
      "tileElements(sizes, tile) <= fastElements",
      "true",
    ],
    [
      "both orders cost the same",
      'schedule === "fa1" ? flash1Cost : flash2Cost',
      "flash2Cost",
    ],
  ]),
  ...faultsIn("src/planning/planner.ts: compare", PLANNER, [
    [
      "the dearest comes before",
      "a.elements - b.elements ||",
      "b.elements - a.elements ||",
    ],
  ]),
  ...faultsIn("src/planning/planner.ts: checked", PLANNER, [
    [
      "registers do not count",
      "Math.floor(workgroupBytes / 4) + registerElements",
      "Math.floor(workgroupBytes / 4)",
    ],
  ]),
  ...faultsIn("trafficBytes", PLANNER, [
    [
      "all is stored alike",
      "SINGLE[name] ? single : stored",
      "stored",
    ],
  ]),
  ...faultsIn("TilingMask", MASK, [
    [
      "keys ahead begin at column 0",
      "column: Math.max(-delta, 0)",
      "column: 0",
    ],
    [
      "a tile far ahead is clamped a row early",
      "Math.min(distance, this.side)",
      "Math.min(distance, this.side - 1)",
    ],
    [
      "the window is a key short",
      "!at(queryOffset - left - 1)",
      "!at(queryOffset - left)",
    ],
    [
      "a tile that is just full is not known to be",
      "column + this.#keys - 1 <= row",
      "column + this.#keys <= row",
    ],
    [
      "a tile that is just empty is not known to be",
      "column > row + this.#rows - 1",
      "column > row + this.#rows",
    ],
  ]),
  ...faultsIn("sumVisits", PLANS, [
    [
      "rows are counted once for all steps",
      "sums.rows += steps * own.rows",
      "sums.rows += own.rows",
    ],
    [
      "a row tile without keys reads its queries",
      "if (runs.length > 0) sums",
      "sums",
    ],
    [
      "a worker's tile is for all kv heads",
      "work.kvHead === undefined && work.runs.length === 1",
      "work.runs.length === 1",
    ],
  ]),
  ...faultsIn("statesCost", PLANS, [
    [
      "m and l of a state are free",
      "vecsOf(valueHeadDim) + 1",
      "vecsOf(valueHeadDim)",
    ],
  ]),
  ...faultsIn("src/ops/attention/moved_work.ts: keysOf", PLANS, [
    [
      "keys past the end are read",
      "Math.min(end, range.end) - first",
      "end - first",
    ],
  ]),
  ...faultsIn("unionOf", PLANS, [
    [
      "a key that two row tiles see counts twice",
      "last - Math.max(first, until)",
      "last - first",
    ],
  ]),
  ...faultsIn("standardSums", PLANS, [
    ["keys are read once for all rows", "tiles * keys;", "kvHeads * keys;"],
  ]),
  ...faultsIn("flash1Tile", KERNEL, [
    [
      "keys need not fit workgroup memory",
      "keys > 1 && flash1WorkgroupBytes(tile(keys)) > room",
      "false",
    ],
  ]),
  ...faultsIn("src/ops/attention/variants/fa1.ts: checkLoops", [
    "kernels/long_loops",
  ], [
    ["row tiles are not counted", "rowTiles * inner", "inner"],
    ["staging is not counted", "staged(headVecs) + staged(valueVecs) +", ""],
  ]),
  ...faultsIn("src/ops/attention/parts.ts: attentionParts", KERNEL, [
    ["m and l need no binding", "others: 5 +", "others: 4 +"],
  ]),
  ...faultsInKernel("attention.fa1", KERNEL, [
    [
      "O goes on normalised",
      "load_output(out_$r, vec) * before_$r.y",
      "load_output(out_$r, vec)",
      "all",
    ],
    [
      "l is not kept",
      "statistics[statistics_at_$r] = vec2f(m_$r, l_$r)",
      "statistics[statistics_at_$r] = vec2f(m_$r, before_$r.y)",
      "all",
    ],
    [
      "O does not begin at 0",
      "store_output(output_place(token_$r, head_$r), vec, vec4f(0.0));",
      "",
      "all",
    ],
    [
      "values are staged by the key's vec4s",
      "i - j * params.value_vecs",
      "i - j * params.head_vecs",
    ],
    [
      "m and l of all heads share a place",
      "let statistics_at_$r = lse_place(token_$r, head_$r)",
      "let statistics_at_$r = lse_place(token_$r, 0u)",
      "all",
    ],
    [
      "the log-sum-exp lacks its sum",
      "lse[lse_place(token_$r, head_$r)] = log_sum_exp(state_$r.x, state_$r.y)",
      "lse[lse_place(token_$r, head_$r)] = log_sum_exp(state_$r.x, 1.0)",
      "all",
    ],
  ]),
  ...faultsInKernel("attention.fa1", ["kernels/guard"], [
    [
      "a hidden value counts 0 times itself",
      "select(fma(vec4f(s_$r_$j), v, x_$r), x_$r, s_$r_$j == 0.0)",
      "fma(vec4f(s_$r_$j), v, x_$r)",
      "all",
    ],
  ]),
];
