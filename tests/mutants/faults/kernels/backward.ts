/**
 * One-line faults in the backward kernels, and in what gives them their work.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../../fault.ts";

const SMALL = ["kernels/backward/small"];
const LAWS = ["laws/backward"];
const TRAFFIC = ["ops/attention_backward/traffic", "planning/backward_traffic"];

/** All of them. */
export const BACKWARD_FAULTS: readonly Fault[] = [
  ...faultsInKernel("attention.backward.delta", SMALL, [
    [
      "the log-sum-exp's gradient is added",
      "delta -= lse_gradient",
      "delta += lse_gradient",
    ],
    [
      "every row has the first one's D",
      "let at = row * params.output_row_stride",
      "let at = 0u * params.output_row_stride",
    ],
  ]),
  ...faultsInKernel("attention.backward.query", SMALL, [
    [
      "D is left out",
      "(dp_$r_$j - statistics_$r.y)",
      "(dp_$r_$j - 0.0)",
      "all",
    ],
    [
      "D is taken for the log-sum-exp",
      "weight(s_$r_$j, statistics_$r.x)",
      "weight(s_$r_$j, statistics_$r.y)",
      "all",
    ],
    ["the gradient is not scaled", "lane)] * params.scale", "lane)]", "all"],
    [
      "a step replaces the ones before it",
      "accumulator[own($r, vec, lane)] + x_$r",
      "x_$r",
      "all",
    ],
    [
      "all heads have the first one's gradient",
      "head * params.output_head_stride",
      "0u * params.output_head_stride",
    ],
    [
      "the derivative of score mods is left out",
      "* derivatives[$n * $k + $j]",
      "* 1.0",
      "all",
    ],
    [
      "derivatives are by the changed score",
      "derivatives[$r * $k + j] = modify_derivative(scores[$r * $k + j]",
      "derivatives[$r * $k + j] = modify_derivative(0.0 * scores[$r * $k + j]",
      "all",
    ],
    [
      "dropped weights have a gradient",
      "dp_$r_$j * kept(extractBits(dropped_$r, $j, 1u) != 0u)",
      "dp_$r_$j * kept(false)",
      "all",
    ],
  ]),
  ...faultsInKernel("attention.backward.query", LAWS, [
    [
      "what a row does not see is multiplied by 0",
      "select(k, vec4f(0.0), non_finite(k))",
      "k",
    ],
  ]),
  ...faultsInKernel("attention.backward.key_value", SMALL, [
    [
      "D is left out",
      "(dp_$r_$j - statistics_$j.y)",
      "(dp_$r_$j - 0.0)",
      "all",
    ],
    [
      "rows past the last one count",
      "packed_step < row_count && sees",
      "sees",
      "all",
    ],
    [
      "a step begins with the first head of its query",
      "let member_0 = first_row % params.group",
      "let member_0 = 0u",
    ],
    [
      "shared heads take the first one's queries",
      "head_first + member_$j",
      "head_first",
      "all",
    ],
    [
      "a query's heads have another token",
      "token_$i + select(0u, 1u, next_$j)",
      "token_$i",
      "all",
    ],
    [
      "keys that are not written have gradients",
      "key_$r < sequence.key_count",
      "key_$r <= sequence.key_count",
      "all",
    ],
    [
      "gradients begin with the sequence's first one",
      "gradients.start + key_$r",
      "key_$r",
      "all",
    ],
    [
      "values have the keys' room",
      "own($r, vec + $n, lane)",
      "own($r, vec, lane)",
      "all",
    ],
    [
      "dropped weights count for values",
      "let kept_$r_$j = s_$r_$j * kept(extractBits(dropped_$r, $j, 1u) != 0u)",
      "let kept_$r_$j = s_$r_$j * kept(false)",
      "all",
    ],
  ]),
  ...faultsInKernel("attention.backward.key_value", LAWS, [
    ["rows without keys give their NaN", "log_sum != SENTINEL", "true", "all"],
  ]),
  ...faultsInKernel("attention.backward.value", SMALL, [
    [
      "keys past the sequence's end give to queries",
      "let exists_$r = key_$r < sequence.key_count",
      "let exists_$r = true",
      "all",
    ],
    [
      "blanks are left as they are",
      "score_gradients[scores_at_0 + step_at + 0] = vec4f(0.0);",
      "",
    ],
    [
      "gradients of a step lie over those of another",
      "let step_at = first_row / 4u *",
      "let step_at = first_row / 8u *",
      "all",
    ],
    [
      "all kv heads store theirs in one place",
      "(kv_head * stretch.tile_count + tile)",
      "(tile)",
    ],
    [
      "a round stores as if it were the first",
      "let tile = (key - stretch.first_key)",
      "let tile = key",
    ],
    [
      "a sequence reads the stretch of another",
      "(sequence - params.first_sequence)",
      "(sequence - sequence)",
    ],
  ]),
  ...faultsInKernel("attention.backward.product.key", SMALL, [
    [
      "keys' gradients are not scaled",
      "lane)] * params.scale",
      "lane)]",
      "all",
    ],
    [
      "gradients begin with the sequence's first one",
      "gradients.start + key_$r",
      "key_$r",
      "all",
    ],
    [
      "a step replaces the ones before it",
      "accumulator[own($r, vec, lane)] + x_$r",
      "x_$r",
      "all",
    ],
  ]),
  ...faultsInKernel("attention.backward.product.query", SMALL, [
    [
      "a lane's rows are those of another",
      "(tile.first_row / 4u + lane)",
      "(tile.first_row / 4u)",
    ],
    [
      "a later round begins anew",
      "= sums[sums_$r + vec]",
      "= vec4f(0.0)",
      "all",
    ],
    [
      "rows between rounds lie over each other",
      "let sums_$r = lse_place(token_$r, head_$r) * row_sizes.head_vecs",
      "let sums_$r = lse_place(token_$r, head_$r)",
      "all",
    ],
    ["the gradient is not scaled", "lane)] * params.scale", "lane)]", "all"],
  ]),
  ...faultsInKernel("attention.backward.product", LAWS, [
    [
      "what is not seen is multiplied by 0",
      "select(row, vec4f(0.0), non_finite(row))",
      "row",
    ],
  ]),
  ...faultsIn("withBlanks", ["ops/attention_backward/passes/stored_runs"], [
    [
      "a tile has no blanks before its first run",
      "blank(Math.floor(run.first / size) * size, run.first)",
      "blank(run.first, run.first)",
    ],
    ["blanks lie over a run", "Math.max(from, written)", "from"],
  ]),
  ...faultsIn("WrittenRuns.of", ["ops/attention_backward/passes/stored_runs"], [
    ["a run that ends before counts", "run.end > row", "run.end >= row"],
  ]),
  ...faultsIn("roundsOf", ["ops/attention_backward/passes/rounds"], [
    ["a stretch is one tile too long", "(own.tiles + 1)", "(own.tiles)"],
    ["a round is one tile too long", "(used + vecs) > bytes", "used > bytes"],
  ]),
  ...faultsIn("WrittenRuns.of", TRAFFIC, [
    [
      "steps past the last key are visited",
      "Math.min(first + this.#keys, last)",
      "first + this.#keys",
    ],
  ]),
  ...faultsIn("storedMoved", TRAFFIC, [
    ["blanks are not written", "written: seen + blanks", "written: seen"],
    [
      "sums between rounds do not move",
      "[sum * states[0], sum * states[1]]",
      "[0, 0]",
    ],
  ]),
  ...faultsIn("explainBackwardTraffic", TRAFFIC, [
    ["the log-sum-exp is not copied", "lse: [allRows, allRows]", "lse: [0, 0]"],
    [
      "its gradient is read in any case",
      "...(lseGradient && {",
      "...(true && {",
    ],
  ]),
  ...faultsIn("flash2BackwardOf", TRAFFIC, [
    [
      "dQ takes a product less",
      "query.pairs * (4 * d + 2 * e)",
      "query.pairs * (2 * d + 2 * e)",
    ],
  ]),
  ...faultsIn("rowsOfRound", SMALL, [
    ["no row goes on", "resumes: first > 0", "resumes: false"],
    [
      "rows end in each round",
      "partial: next < tokens.get(record)!",
      "partial: false",
    ],
    [
      "rows of sequences without keys are left out",
      "begins && !tokens.has(record)",
      "false",
    ],
  ]),
  ...faultsIn("bindsTooMuch", ["ops/attention_backward/buffers"], [
    [
      "one buffer more than there is fits",
      "length > most",
      "length > most + 1",
    ],
  ]),
  ...faultsIn("storedPasses", ["ops/attention_backward/passes/choose"], [
    ["split loops are stored too", "splits > 1", "splits > 65535"],
    [
      "cut loops are stored too",
      ".kernels].some(({ partial }) => partial)",
      ".kernels].some(() => false)",
    ],
    ["a sequence has any number of rounds", "> MOST_STRETCHES", "> 1e9"],
    ["sums that no binding holds are made", "sumBytes > room", "false"],
  ]),
  ...faultsInKernel("attention.backward.sum", SMALL, [
    [
      "the last part is lost",
      "i < tile.state_count",
      "i + 1u < tile.state_count",
    ],
    [
      "parts are of the first kv head",
      "state.row + kv_head * state.stride",
      "state.row",
    ],
  ]),
  ...faultsIn("maskRowRuns", SMALL, [
    ["rows are taken for queries", "Math.floor(row / group)", "row"],
    [
      "a tile of keys is classified by its first",
      "key: Interval = [keyStart, keyEnd]",
      "key: Interval = [keyStart, keyStart]",
    ],
  ]),
  ...faultsIn("RowRuns.of", ["ops/attention_backward/row_runs"], [
    ["unwritten keys are visited", "Math.min(end, keyCount) - 1", "end - 1"],
  ]),
  ...faultsIn("gradientSpans", SMALL, [
    [
      "sequences' gradients lie over each other",
      "tokens += count",
      "tokens += 0",
    ],
  ]),
];
