/**
 * One-line faults in the kernels' sources and in the schedule that drives
 * them. Each is judged by the few small tests of its kernel, so that a run
 * compiles little.
 *
 * @module
 */

import type { Mutant } from "./mutate.ts";

type Fault = readonly [name: string, find: string, replace: string];

function faultsIn(
  file: string,
  tests: readonly string[],
  faults: readonly Fault[],
): Mutant[] {
  return faults.map(([name, find, replace]) => ({
    name,
    file,
    find,
    replace,
    tests: tests.map((test) => `tests/${test}_test.ts`),
  }));
}

const WALK: readonly Fault[] = [
  [
    "the last step of a run is lost",
    "first_key < end_key;",
    "first_key + ${step}u < end_key;",
  ],
  [
    "full tiles are masked and masked ones are not",
    "let masked = schedule[run + 2u] == 0u;",
    "let masked = schedule[run + 2u] != 0u;",
  ],
  [
    "the last run is lost",
    "run < end_run;",
    "run + ${RUN_WORDS}u < end_run;",
  ],
  [
    "every kv head takes the first one's runs",
    "item.runs + 2u * kv_head * params.runs_per_head",
    "item.runs",
  ],
  [
    "every other run is lost",
    "run += ${RUN_WORDS}u",
    "run += ${2 * RUN_WORDS}u",
  ],
];

const FORWARD: readonly Fault[] = [
  [
    "the accumulator is not rescaled",
    "`${accumulator(r)} = fma(${accumulator(r)}, vec4f(alpha_${r}), x_${r});`",
    "`${accumulator(r)} += x_${r};`",
  ],
  [
    "the sum is not rescaled",
    "l_${r} = fma(l_${r}, alpha_${r}, ${",
    "l_${r} = fma(l_${r}, 1.0, ${",
  ],
  [
    "alpha is inverted",
    "exp(m_${r} - max_${r})",
    "exp(max_${r} - m_${r})",
  ],
  ["the maximum is not carried on", "m_${r} = max_${r};", ""],
  [
    "the last row is not written",
    "if (packed_${r} < row_count) {",
    "if (packed_${r} + 1u < row_count) {",
  ],
  [
    "the log-sum-exp is not written",
    "write_stats(out_${r}, m_${r}, l_${r});",
    "",
  ],
  [
    "the last columns are lost",
    "vec < params.value_vecs; vec++) {\\n${body}",
    "vec + 1u < params.value_vecs; vec++) {\\n${body}",
  ],
];

const FORWARD_GUARD: readonly Fault[] = [
  [
    "values that are no numbers are not guarded",
    "if (masked && step_has_non_finite(sequence, first_key, kv_head)) {",
    "if (false && step_has_non_finite(sequence, first_key, kv_head)) {",
  ],
  [
    "the guarded step takes hidden keys",
    "if (extractBits(hidden_${r}, j, 1u) == 0u) {\nvar s",
    "if (extractBits(hidden_${r}, j, 1u) <= 1u) {\nvar s",
  ],
  [
    "the guarded step does not rescale",
    "`${accumulator(r)} *= alpha_${r};`",
    "`${accumulator(r)} *= 1.0;`",
  ],
];

const FORWARD_MODS: readonly Fault[] = [];

const SCORE_TILE_MODS: readonly Fault[] = [
  [
    "score mods change hidden keys instead of seen ones",
    "if (extractBits(hidden_${r}, j, 1u) == 0u) {\n${at}",
    "if (extractBits(hidden_${r}, j, 1u) != 0u) {\n${at}",
  ],
  [
    "score mods see the key of the step's start",
    "let key = i32(first_key + j);\n${\n    unroll(rowsPerLane, (r) => {",
    "let key = i32(first_key);\n${\n    unroll(rowsPerLane, (r) => {",
  ],
];

const DECODE_GUARD: readonly Fault[] = [
  [
    "hidden values count",
    "x_${r}_${c}, p_${r} == 0.0);",
    "x_${r}_${c}, false);",
  ],
];

const SCORE_TILE: readonly Fault[] = [
  [
    "a row takes another head's query",
    "kv_head * params.group + row_${r}",
    "kv_head + row_${r}",
  ],
  [
    "positions ignore the query offset",
    "i32(query_${r}) + sequence.query_offset",
    "i32(query_${r})",
  ],
  [
    "a lane's later rows repeat its first ones",
    "item.first_row + ${offset(r)}",
    "item.first_row + ${offset(0)}",
  ],
  [
    "tokens are counted in kv heads",
    "query_${r}) * params.query_heads",
    "query_${r}) * params.kv_heads",
  ],
  [
    "scores are not scaled",
    "select(s_${r}_${j} * params.scale, SENTINEL",
    "select(s_${r}_${j}, SENTINEL",
  ],
  [
    "the mask hides the key after",
    "select(1u << j, 0u, sees",
    "select(2u << j, 0u, sees",
  ],
  [
    "the cursor walks on past the last key",
    "advance(cursor, first_key + ${j + 1}u < sequence.key_count)",
    "advance(cursor, true)",
  ],
];

const SOFTMAX: readonly Fault[] = [
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

const ROWS: readonly Fault[] = [
  [
    "a row's second element of a tail is lost",
    "i + 1u <= last",
    "i + 1u < last",
  ],
  [
    "what lies past a row's end is read",
    "select(0.0, w, i + 3u <= last)",
    "w",
  ],
  [
    "one element past a row's end is written",
    "if (i + ${c}u < params.${dim}) {",
    "if (i + ${c}u <= params.${dim}) {",
  ],
];

const PAGES: readonly Fault[] = [
  [
    "a block ends one key late",
    "let wrap = offset == params.block_size;",
    "let wrap = offset > params.block_size;",
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
    "blocks hold one kv head",
    "((row * params.kv_heads + kv_head) * stride)",
    "((row * params.kv_heads) * stride)",
  ],
];

const SCORE: readonly Fault[] = [
  [
    "the key after the last one is seen",
    "key < key_count${mask}",
    "key <= key_count${mask}",
  ],
  [
    "the mask is not asked",
    "return key < key_count${mask};",
    "return key < key_count;",
  ],
];

const DECODE: readonly Fault[] = [
  [
    "the running maximum's change is ignored",
    "let alpha_${r} = exp(m_${r} - all_${r});",
    "let alpha_${r} = 1.0;",
  ],
  [
    "the sum is not rescaled",
    "l_${r} = fma(l_${r}, alpha_${r}, sum_${r});",
    "l_${r} += sum_${r};",
  ],
  [
    "the accumulator is not rescaled",
    "`a_${r}_${c} = fma(a_${r}_${c}, vec4f(alpha_${r}), x_${r}_${c});`",
    "`a_${r}_${c} += x_${r}_${c};`",
  ],
  [
    "weights are read before all lanes wrote them",
    "l_${r} = fma(l_${r}, alpha_${r}, sum_${r});`\n            )\n          }\nworkgroupBarrier();",
    "l_${r} = fma(l_${r}, alpha_${r}, sum_${r});`\n            )\n          }",
  ],
  [
    "maxima are read before all lanes wrote them",
    "lane_values[${r * lanes}u + lane] = max_${r};`)}\nworkgroupBarrier();",
    "lane_values[${r * lanes}u + lane] = max_${r};`)}",
  ],
  [
    "one lane's sum is lost",
    "for (var i = 0u; i < ${lanes}u; i++) {\nsum +=",
    "for (var i = 1u; i < ${lanes}u; i++) {\nsum +=",
  ],
  [
    "one lane's maximum is lost",
    "i < ${lanes}u; i++) {\nall_${r}",
    "i + 1u < ${lanes}u; i++) {\nall_${r}",
  ],
  [
    "the last lane along keys is lost",
    "for (var i = 1u; i < ${keyLanes}u; i++) {",
    "for (var i = 1u; i + 1u < ${keyLanes}u; i++) {",
  ],
  [
    "a lane's first column alone is written",
    "if (${c * columnLanes}u + column_lane < params.value_vecs) {",
    "if (${c * columnLanes}u + column_lane < 1u) {",
  ],
  ["scores are not scaled", "}) * params.scale;`", "});`"],
];

const MERGE: readonly Fault[] = [
  [
    "every part weighs the same",
    "select(exp(stats.x - maximum), 1.0, stats.x == maximum)",
    "1.0",
  ],
  [
    "the last part is lost",
    "slot < item.slot_count; slot++) {\nlet at",
    "slot + 1u < item.slot_count; slot++) {\nlet at",
  ],
  [
    "sums are merged unweighted",
    "sum = fma(scaling, stats.y, sum);",
    "sum += stats.y;",
  ],
  [
    "slots of kv heads overlap",
    "let slot_rows = params.kv_heads * ${rows}u;",
    "let slot_rows = ${rows}u;",
  ],
  [
    "rows past the sequence's end are written",
    "min(row_count - item.first_row, ${rows}u)",
    "${rows}u",
  ],
  [
    "statistics are looked for among the accumulators",
    "let stats = states[params.stats_at + at];",
    "let stats = states[at];",
  ],
];

const EPILOGUE: readonly Fault[] = [
  [
    "a part keeps no sum",
    "vec4f(maximum, sum, 0.0, 0.0)",
    "vec4f(maximum, 1.0, 0.0, 0.0)",
  ],
  [
    "a part's statistics are not written",
    "states[params.stats_at + row] = vec4f",
    "let unused = vec4f",
  ],
  [
    "parts of kv heads overlap",
    "(item.first_slot * params.kv_heads + kv_head) * ${rows}u",
    "(item.first_slot * params.kv_heads) * ${rows}u",
  ],
];

const MERGE_STATES: readonly Fault[] = [
  [
    "what was there before keeps its weight",
    "load_output(at, vec) * own",
    "load_output(at, vec)",
  ],
  [
    "what is merged has no weight of its own",
    "let theirs = weight(other_lse[row], maximum);",
    "let theirs = 1.0;",
  ],
];

const STANDARD: readonly Fault[] = [
  [
    "probabilities are not normalised",
    "let divisor = select(sum, 1.0, sum == 0.0);",
    "let divisor = 1.0;",
  ],
  [
    "kv heads share their scratch",
    "(item_index * params.kv_heads + kv_head) * params.scratch_keys",
    "item_index * params.scratch_keys",
  ],
  [
    "the last columns are lost",
    "if (vec + ${c}u < params.value_vecs) {",
    "if (vec + ${c + 1}u < params.value_vecs) {",
  ],
  [
    "the last key's score is lost",
    "if (first_key + ${j}u < sequence.key_count) {",
    "if (first_key + ${j + 1}u < sequence.key_count) {",
  ],
  [
    "the maximum skips the first key",
    "var maximum = SENTINEL;\nfor (var key = 0u;",
    "var maximum = SENTINEL;\nfor (var key = 1u;",
  ],
];

const SCHEDULE: readonly Fault[] = [
  ["a split runs on into the next", "end: Math.min(end, to),", "end,"],
  [
    "a split begins in the one before",
    "first: Math.max(first, from),",
    "first,",
  ],
  [
    "a run ends one tile early",
    "end: (run.start + run.count) * tileKeys,",
    "end: (run.start + run.count - 1) * tileKeys,",
  ],
  [
    "parts share a slot",
    "this.#writeRuns(part), slots++, 1]",
    "this.#writeRuns(part), slots, 1]",
  ],
  [
    "a tile is classified by its first row",
    "Math.floor(last / group) + sequence.queryOffset",
    "Math.floor(row / group) + sequence.queryOffset",
  ],
  [
    "all rows take the first ones' runs",
    "${batch},${head},${queryStart},${queryEnd},",
    "${batch},${head},",
  ],
  [
    "all heads take the first one's runs",
    "[kvHead * group, (kvHead + 1) * group - 1]",
    "[0, group - 1]",
  ],
  [
    "the block table is looked for at the start",
    'sequence.keyStart + (source.kind === "paged" ? tableAt : 0)',
    "sequence.keyStart",
  ],
  [
    "masked runs are called full",
    "this.#runs.push(first, end, full ? 1 : 0);",
    "this.#runs.push(first, end, 1);",
  ],
];

const APPEND: readonly Fault[] = [
  [
    "the first slot of the next arena is written into this one",
    "slot - params.first_slot >= params.slot_count",
    "slot - params.first_slot > params.slot_count",
  ],
  [
    "all kv heads go to the first one's place",
    "(slot - params.first_slot) * params.kv_heads + kv_head",
    "(slot - params.first_slot) * params.kv_heads",
  ],
  [
    "values go where keys are",
    "store_value(params.value_at + row",
    "store_value(row",
  ],
  [
    "a key's tail is lost",
    "vec < params.head_vecs",
    "vec + 1u < params.head_vecs",
  ],
];

const COPY: readonly Fault[] = [
  [
    "unwritten rows are copied too",
    "i < rows * params.${part}_row",
    "i < params.${part}_block",
  ],
  [
    "every copy goes to the first block",
    "[${base}target_block * params.${part}_block + i] =",
    "[${base}i] =",
  ],
  [
    "keys are copied over values",
    'copy("value", "params.value_at + ")',
    'copy("value", "")',
  ],
  [
    "half of the rows are lost",
    "i += ${COPY_LANES}u",
    "i += ${2 * COPY_LANES}u",
  ],
];

/** Faults in everything that decides what a kernel computes. */
export const KERNEL_MUTANTS: readonly Mutant[] = [
  ...faultsIn("kernels/attention/forward.ts", ["kernels/guard"], FORWARD_GUARD),
  ...faultsIn("kernels/attention/forward.ts", ["kernels/mods"], FORWARD_MODS),
  ...faultsIn(
    "kernels/attention/score_tile.ts",
    ["kernels/mods"],
    SCORE_TILE_MODS,
  ),
  ...faultsIn("kernels/attention/decode.ts", ["kernels/guard"], DECODE_GUARD),
  ...faultsIn("kernels/attention/forward.ts", ["kernels/forward"], FORWARD),
  ...faultsIn(
    "kernels/fragments/schedule.ts",
    ["kernels/forward", "kernels/mods", "kernels/decode"],
    WALK,
  ),
  ...faultsIn(
    "kernels/attention/score_tile.ts",
    ["kernels/forward"],
    SCORE_TILE,
  ),
  ...faultsIn(
    "kernels/fragments/online_softmax.ts",
    ["kernels/forward"],
    SOFTMAX,
  ),
  ...faultsIn("kernels/fragments/rows.ts", ["kernels/forward"], ROWS),
  ...faultsIn(
    "kernels/fragments/key_value_source.ts",
    ["kernels/forward"],
    PAGES,
  ),
  ...faultsIn("kernels/fragments/key_value_source.ts", ["kernels/cache"], [
    ["values are read where keys are", '" + params.value_at"', '""'],
    [
      "blocks are counted through all arenas",
      "id - segment * params.segment_blocks",
      "id",
    ],
  ]),
  ...faultsIn("kernels/fragments/score.ts", ["kernels/forward"], SCORE),
  ...faultsIn("kernels/attention/decode.ts", ["kernels/decode"], DECODE),
  ...faultsIn("kernels/attention/merge.ts", ["kernels/decode"], MERGE),
  ...faultsIn("kernels/attention/spec.ts", ["kernels/decode"], EPILOGUE),
  ...faultsIn(
    "kernels/attention/merge_states.ts",
    ["ops/merge"],
    MERGE_STATES,
  ),
  ...faultsIn("kernels/attention/standard.ts", ["kernels/standard"], STANDARD),
  ...faultsIn(
    "src/ops/schedule.ts",
    ["kernels/mods", "kernels/decode", "kernels/forward"],
    SCHEDULE,
  ),
  ...faultsIn("kernels/cache/append.ts", ["kernels/cache"], APPEND),
  ...faultsIn("kernels/cache/copy_blocks.ts", ["kernels/cache"], COPY),
];
