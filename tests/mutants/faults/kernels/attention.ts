/**
 * One-line faults in what the attention kernels have in common, and in the
 * forward kernel. Each is judged by the few small tests of its kernel, so that
 * a run compiles little.
 *
 * @module
 */

import { type Fault, faultsInKernel, type ListedKernel } from "../../fault.ts";

const FORWARD = ["kernels/forward"];

/** Which keys a workgroup visits. */
const WALK: readonly ListedKernel[] = [
  [
    "the last step of a run is lost",
    "first_key < end_key; first_key += $step)",
    "first_key + $step < end_key; first_key += $step)",
  ],
  [
    "full tiles are masked and masked ones are not",
    "let masked = run.full == 0u",
    "let masked = run.full != 0u",
  ],
  [
    "the last run is lost",
    "run_index < runs.count",
    "run_index + 1u < runs.count",
  ],
  [
    "every kv head takes the first one's runs",
    "tile.runs_at + $words * kv_head * params.runs_per_head",
    "tile.runs_at",
  ],
  ["every other run is lost", "run_index++", "run_index += 2u"],
];

/** Which rows are whose, and where. */
const ROWS_OF_A_LANE: readonly ListedKernel[] = [
  [
    "a row takes another head's query",
    "kv_head * params.group + row_$r",
    "kv_head + row_$r",
    "all",
  ],
  [
    "positions ignore the query offset",
    "i32(query_$r) + sequence.query_offset",
    "i32(query_$r)",
    "all",
  ],
  [
    "a lane's later rows repeat its first ones",
    "tile.first_row + $n + lane",
    "tile.first_row + lane",
    "all",
  ],
  [
    "queries lie as close as their heads",
    "token * params.query_token_stride",
    "token * params.query_head_stride",
  ],
  [
    "all heads have the first one's queries",
    "head * params.query_head_stride",
    "0u",
  ],
  [
    "all heads are written over the first one's rows",
    "head * params.output_head_stride",
    "0u",
  ],
];

const SCORES: readonly ListedKernel[] = [
  [
    "scores are not scaled",
    "select(s_$r_$j * params.scale, SENTINEL",
    "select(s_$r_$j, SENTINEL",
    "all",
  ],
  [
    "the mask hides the key after",
    "select(1u << j, 0u, sees",
    "select(2u << j, 0u, sees",
    "all",
  ],
  [
    "the cursor walks on past the last key",
    "advance(cursor, first_key + $j < sequence.key_count)",
    "advance(cursor, true)",
    "all",
  ],
  [
    "the key after the last one is seen",
    "return key < key_count",
    "return key <= key_count",
  ],
  [
    "the mask is not asked",
    "return key < key_count && $mask;",
    "return key < key_count;",
  ],
];

const SCORE_MODS: readonly ListedKernel[] = [
  [
    "score mods change hidden keys instead of seen ones",
    "if (extractBits(hidden_$r, j, 1u) == 0u) { scores",
    "if (extractBits(hidden_$r, j, 1u) != 0u) { scores",
    "all",
  ],
  [
    "score mods see the key of the step's start",
    "for (var j = 0u; j < $n; j++) { let key = i32(first_key + j); if",
    "for (var j = 0u; j < $n; j++) { let key = i32(first_key); if",
  ],
];

const LISTED_QUERIES: readonly ListedKernel[] = [
  [
    "a listed query's token is not looked up",
    "let token_$r = listed_$r.token",
    "let token_$r = sequence.query_start + query_$r",
    "all",
  ],
  [
    "a listed query stands where it is in the list",
    "listed_$r.position",
    "i32(query_$r)",
    "all",
  ],
  [
    "a listed query is of the first sequence",
    "listed_$r.batch",
    "sequence.batch",
    "all",
  ],
];

const SOFTMAX: readonly ListedKernel[] = [
  [
    "the accumulator is not rescaled",
    "accumulator[$at] = carry_values(accumulator[$at], alpha_$r, x_$r)",
    "accumulator[$at] += x_$r",
    "all",
  ],
  [
    "the sum is not rescaled",
    "l_$r = carry_sum(l_$r, alpha_$r,",
    "l_$r = carry_sum(l_$r, 1.0,",
    "all",
  ],
  [
    "alpha is inverted",
    "exp(old_maximum - maximum)",
    "exp(maximum - old_maximum)",
  ],
  ["the maximum is not carried on", "m_$r = max_$r;", "", "all"],
  [
    "hidden keys of a row without others have weight",
    "select(exp(score - maximum), 0.0, score == SENTINEL)",
    "exp(score - maximum)",
  ],
  [
    "a row without keys is divided by 0",
    "accumulator / select(sum, 1.0, sum == 0.0)",
    "accumulator / sum",
  ],
  ["the log-sum-exp forgets the maximum", "maximum + log(", "log("],
];

/** What is written. */
const OUTPUT: readonly ListedKernel[] = [
  [
    "the last row is not written",
    "if (packed_$r < row_count) {",
    "if (packed_$r + 1u < row_count) {",
    "all",
  ],
  ["the log-sum-exp is not written", "write_stats($row);", "", "all"],
  [
    "the last columns are lost",
    "vec < params.value_vecs; vec++) { var x_$r",
    "vec + 1u < params.value_vecs; vec++) { var x_$r",
  ],
];

const GUARD: readonly ListedKernel[] = [
  [
    "values that are no numbers are not guarded",
    "if (masked && step_has_non_finite($step))",
    "if (false && step_has_non_finite($step))",
  ],
  [
    "the guarded step takes hidden keys",
    "let seen_$r = extractBits(hidden_$r, j, 1u) == 0u",
    "let seen_$r = extractBits(hidden_$r, j, 1u) <= 1u",
    "all",
  ],
  [
    "the guarded step does not rescale",
    "accumulator[$at] *= alpha_$r",
    "accumulator[$at] *= 1.0",
    "all",
  ],
];

/** Rows that are read and written four elements at a time. */
const TAILS: readonly ListedKernel[] = [
  [
    "the last element of a tail is lost",
    "vec4u(0u, 1u, 2u, 3u) <= vec4u(more)",
    "vec4u(0u, 1u, 2u, 3u) < vec4u(more)",
  ],
  [
    "what lies past a row's end is read",
    "vec4u(0u, 1u, 2u, 3u) <= vec4u(more)",
    "vec4u(0u, 1u, 2u, 0u) <= vec4u(more)",
  ],
  [
    "one element past a row's end is written",
    "if (i + $c < params.$dim) {",
    "if (i + $c <= params.$dim) {",
    "all",
  ],
];

const PAGES: readonly ListedKernel[] = [
  [
    "a block ends one key late",
    "let wrap = offset == params.block_size",
    "let wrap = offset > params.block_size",
  ],
  [
    "the next page is the same page",
    "Cursor(cursor.entry + select(0u, 1u, wrap)",
    "Cursor(cursor.entry",
  ],
  [
    "a walk begins at its block's start",
    "key - entry * params.block_size",
    "0u",
  ],
  [
    "every key is its block's first",
    "block * params.block_size + cursor.offset",
    "block * params.block_size",
  ],
  [
    "all kv heads have the first one's keys",
    "kv_head * params.key_head_stride",
    "0u",
  ],
  [
    "all kv heads have the first one's values",
    "kv_head * params.value_head_stride",
    "0u",
  ],
];

const ARENAS: readonly ListedKernel[] = [
  [
    "values are read where keys are",
    "kv_head * params.value_head_stride + params.value_at",
    "kv_head * params.value_head_stride",
  ],
  [
    "blocks are counted through all arenas",
    "id - segment * params.segment_blocks",
    "id",
  ],
];

/** Tensors whose rows do not begin at the start, or lie otherwise. */
const LAYOUTS: readonly ListedKernel[] = [
  [
    "keys begin where the buffer does",
    "kv_head * params.key_head_stride + params.key_at",
    "kv_head * params.key_head_stride",
  ],
];

/** What stream-K workers and shared prefixes add. */
const SCHEDULE: readonly ListedKernel[] = [
  [
    "a worker begins with the next one's tiles",
    "schedule[params.workers_at + group_index]; tile_index",
    "schedule[params.workers_at + group_index + 1u]; tile_index",
  ],
  [
    "a worker leaves its last tile out",
    "tile_index < end_tile",
    "tile_index + 1u < end_tile",
  ],
  [
    "a tile's own kv head is ignored",
    "let kv_head = tile.kv_head + group_id.y",
    "let kv_head = group_id.y",
  ],
];

/** Every fault listed for it. */
export const ATTENTION_FAULTS: readonly Fault[] = [
  ...faultsInKernel(
    "attention.",
    ["kernels/forward", "kernels/mods", "kernels/decode"],
    WALK,
  ),
  ...faultsInKernel("attention.", ["kernels/cache"], ARENAS),
  ...faultsInKernel("attention.", ["laws/tensor_layouts"], LAYOUTS),
  ...faultsInKernel("attention.", ["laws/split"], SCHEDULE),
  ...faultsInKernel("attention.", ["laws/sharing"], LISTED_QUERIES),
  ...faultsInKernel("attention.forward", FORWARD, [
    ...ROWS_OF_A_LANE,
    ...SCORES,
    ...SOFTMAX,
    ...OUTPUT,
    ...TAILS,
    ...PAGES,
  ]),
  ...faultsInKernel("attention.forward", ["kernels/mods"], SCORE_MODS),
  ...faultsInKernel("attention.forward", ["kernels/guard"], GUARD),
];
