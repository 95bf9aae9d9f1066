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
    "part < item.part_count; part++) {\nlet at",
    "part + 1u < item.part_count; part++) {\nlet at",
  ],
  [
    "sums are merged unweighted",
    "sum = fma(scaling, stats.y, sum);",
    "sum += stats.y;",
  ],
  [
    "all rows of a kv head take the first one's states",
    "let at = part_row(item, part, kv_head) + local;",
    "let at = part_row(item, part, kv_head);",
  ],
  [
    "rows of the next tile are written too",
    "index < item.row_count * params.value_vecs",
    "index < (item.row_count + 1u) * params.value_vecs",
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
    "item.state_row + kv_head * item.state_stride",
    "item.state_row",
  ],
];

/** Faults in what stream-K workers and shared prefixes add. */
const STRETCHES: readonly Fault[] = [
  [
    "a worker begins with the next one's items",
    "schedule[params.workers_at + group_index]; item_index",
    "schedule[params.workers_at + group_index + 1u]; item_index",
  ],
  [
    "a worker leaves its last item out",
    "item_index < end_item; item_index++",
    "item_index + 1u < end_item; item_index++",
  ],
  [
    "an item's own kv head is ignored",
    "let kv_head = item.kv_head + group_id.y;",
    "let kv_head = group_id.y;",
  ],
  [
    "a merge takes kv head 0's states for all",
    "return schedule[at] + kv_head * schedule[at + 1u];",
    "return schedule[at];",
  ],
];

const LISTED: readonly Fault[] = [
  [
    "a listed query's token is not looked up",
    "let token_${r} = schedule[listed_${r}] * params.query_heads",
    "let token_${r} = (sequence.query_start + query_${r}) * params.query_heads",
  ],
  [
    "a listed query stands where it is in the list",
    "bitcast<i32>(schedule[listed_${r} + 1u])",
    "i32(query_${r})",
  ],
  [
    "a listed query is of the first sequence",
    "i32(schedule[listed_${r} + 2u])",
    "sequence.batch",
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
    "let theirs = weight(their_lse, maximum);",
    "let theirs = 1.0;",
  ],
  [
    "a part without keys has the host's log-sum-exp",
    "bits == 0xff800000u",
    "false",
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

/** Faults in what decides who does what; no device is needed to notice. */
const KEY_RUNS: readonly Fault[] = [
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
    "a tile is classified by its first row",
    "Math.floor((end - 1) / group)",
    "Math.floor(row / group)",
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
    "keys of the prefix are visited again",
    "unit.from === 0 ? runs : clipRuns(runs, unit.from, Infinity)",
    "runs",
  ],
  [
    "a shared tile is classified by its first sequence's position",
    "query[1] = Math.max(query[1], listed.position);",
    "",
  ],
  [
    "a shared tile is classified by its first sequence",
    "batch[1] = Math.max(batch[1], listed.batch);",
    "",
  ],
];

const DEAL: readonly Fault[] = [
  [
    "splits of a rest begin at key 0",
    "const first = from + tile * step;",
    "const first = tile * step;",
  ],
  [
    "a stretch is cut as if it visited every key",
    "before += end - first;",
    "",
  ],
  [
    "pieces are all of kv head 0",
    "kvHead: output % kvHeads,",
    "kvHead: 0,",
  ],
  [
    "kv heads share one list of keys",
    "runs[runs.length > 1 ? h : 0]",
    "runs[0]",
  ],
];

const COST: readonly Fault[] = [
  [
    "a merge is free",
    "merge: partial ? model.dispatchSteps : 0,",
    "merge: 0,",
  ],
  [
    "a workgroup begins for free",
    "return model.itemSteps + stepsOf(",
    "return stepsOf(",
  ],
  [
    "there are always workers enough",
    "Math.max(1, Math.min(workers, loads.length))",
    "Math.max(1, loads.length)",
  ],
];

const MERGES: readonly Fault[] = [
  [
    "rows of a prefix are not cut at its tiles",
    "const stop = Math.min(end, theirs.row + theirs.rows);",
    "const stop = end;",
  ],
  [
    "a prefix's later rows take its first ones' states",
    "ofHead(part, start - theirs.row)",
    "ofHead(part, 0)",
  ],
  [
    "cut rows take the first ones' states",
    "ofHead(part, start - from)",
    "ofHead(part, 0)",
  ],
  [
    "a prefix's states of another kv head are merged",
    "kvHead === own.kvHead",
    "true",
  ],
  [
    "the states of kv head 0 stand for the chosen one",
    "{ at: at + kvHead * stride + skip, stride: 0 }",
    "{ at: at + skip, stride: 0 }",
  ],
];

const SHARED_PREFIX: readonly Fault[] = [
  [
    "sequences share what only some of them hold",
    "this.#sameBlock(same, next)[0]?.length === same.length",
    "this.#sameBlock(same, next).length > 0",
  ],
  [
    "keys past a sequence's end are shared",
    "Math.min(least, sequences[s].keyCount),",
    "least,",
  ],
  [
    "a prefix ends within a step",
    "Math.floor(keys / alignment) * alignment",
    "keys",
  ],
  [
    "nothing is shared behind the first stretch",
    "for (const more of this.#visit(next)) found.push(more);",
    "this.#visit(next);",
  ],
  [
    "positions are never looked up",
    "this.#listed ||= !this.#isAnonymous(record, unit);",
    "",
  ],
  [
    "scattered queries are taken for consecutive ones",
    "token === record.queryStart + i",
    "true",
  ],
  [
    "score mods see the prefix's positions",
    'this.#listed = modsDependOn(problem.scoreMods, "query") ||',
    "this.#listed = false &&",
  ],
  [
    "all sequences have the first one's rows",
    "firstRow += this.#rows(sequence);",
    "",
  ],
];

const SCHEDULE: readonly Fault[] = [
  [
    "parts share their states",
    "this.#stateRows += stretches ? rows : rows * kvHeads;",
    "this.#stateRows += rows;",
  ],
  [
    "the block table is looked for at the start",
    'record.keyStart + (source.kind === "paged" ? tableAt : 0)',
    "record.keyStart",
  ],
  [
    "masked runs are called full",
    "this.#runs.push(first, end, full ? 1 : 0);",
    "this.#runs.push(first, end, 1);",
  ],
  [
    "the rest of a sequence forgets its prefix",
    "this.#shared.has(unit) || unit.prefixes.length > 0",
    "this.#shared.has(unit)",
  ],
  [
    "the dearest way of dealing is taken",
    "totals.indexOf(Math.min(...totals))",
    "totals.indexOf(Math.max(...totals))",
  ],
  [
    "lists of queries are looked for at the start",
    "queriesAt + lists[index],",
    "lists[index],",
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
    "rows * params.key_row, lane",
    "params.destination_key_block, lane",
  ],
  [
    "every copy goes to the first block",
    "params.destination_value_at + to_block * params.destination_value_block",
    "params.destination_value_at",
  ],
  [
    "keys are copied over values",
    "params.destination_value_at + to_block",
    "to_block",
  ],
  [
    "half of the rows are lost",
    "i += ${COPY_LANES}u",
    "i += ${2 * COPY_LANES}u",
  ],
];

const COPY_HALVES: readonly Fault[] = [
  [
    "a unit is wider than the rows",
    "row.key % unit + row.value % unit === 0",
    "row.key % unit === 0",
  ],
  [
    "the half before a row is lost",
    "atomicAnd(&destination[word], ~mask);",
    "atomicAnd(&destination[word], 0u);",
  ],
  [
    "old bits shine through",
    "atomicAnd(&destination[word], ~mask);",
    "",
  ],
  [
    "a row that begins within a word loses its first half",
    "var word = to_at / 2u + lane;",
    "var word = (to_at + 1u) / 2u + lane;",
  ],
  [
    "a row that ends within a word loses its last half",
    "2u * word < to_at + count;",
    "2u * word + 1u < to_at + count;",
  ],
  [
    "the half after a row is written too",
    "if (i < count) {",
    "if (i <= count) {",
  ],
  [
    "halves are read from whole words alone",
    "16u * ((from_at + i) % 2u)",
    "0u",
  ],
  [
    "half of the words are lost",
    "word += ${COPY_LANES}u",
    "word += ${2 * COPY_LANES}u",
  ],
];

const TURNS: readonly Fault[] = [
  ["nothing is cut", "if (budget.most === Infinity) return", "return"],
  [
    "masked steps are taken for full ones",
    "full ? fullStep : maskedStep",
    "fullStep",
  ],
  [
    "stretches are not broken",
    "if (turns > 0 && turns + more > budget.most) {",
    "if (false) {",
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
  ...faultsIn("kernels/fragments/schedule.ts", ["laws/split"], STRETCHES),
  ...faultsIn("kernels/attention/score_tile.ts", ["laws/sharing"], LISTED),
  ...faultsIn("src/ops/attention/work/key_runs.ts", ["ops/schedule"], KEY_RUNS),
  ...faultsIn("src/ops/attention/work/turns.ts", ["ops/schedule"], TURNS),
  ...faultsIn("src/ops/attention/work/schedule.ts", ["kernels/turns"], [
    ["merges are never divided", "2 ** 17", "2 ** 40"],
  ]),
  ...faultsIn(
    "src/ops/attention/variants/standard_build.ts",
    ["kernels/turns"],
    [
      [
        "the baseline's loops are cut off",
        "standardTurns(tile(rowsPerLane), sizes, keys) > most",
        "false",
      ],
      [
        "the baseline runs at any length",
        "if (turns <= most) return",
        "return",
      ],
    ],
  ),
  ...faultsIn("kernels/attention/forward.ts", ["kernels/turns"], [
    [
      "turns of masked steps are forgotten",
      "step + keysPerStep + guarded + 4",
      "step",
    ],
  ]),
  ...faultsIn("kernels/attention/decode.ts", ["kernels/turns"], [
    [
      "turns of the scores are forgotten",
      "own * (headVecs + KEYS + 3) + rows",
      "rows",
    ],
  ]),
  ...faultsIn("src/ops/attention/work/shared_prefix.ts", ["laws/service"], [
    [
      "blocks in the same column are taken for the same",
      "const id = blockTable[keyStart + column];",
      "const id = column + 0 * blockTable[keyStart];",
    ],
  ]),
  ...faultsIn("src/ops/attention/work/deal.ts", ["ops/schedule"], DEAL),
  ...faultsIn("src/ops/attention/work/cost.ts", ["ops/schedule"], COST),
  ...faultsIn("src/ops/attention/work/merges.ts", ["ops/schedule"], MERGES),
  ...faultsIn(
    "src/ops/attention/work/shared_prefix.ts",
    ["ops/schedule"],
    SHARED_PREFIX,
  ),
  ...faultsIn("src/ops/attention/work/schedule.ts", ["ops/schedule"], SCHEDULE),
  ...faultsIn("kernels/cache/append.ts", ["kernels/cache"], APPEND),
  ...faultsIn("kernels/cache/copy_blocks.ts", ["kernels/cache"], COPY),
  ...faultsIn("kernels/cache/copy_blocks.ts", ["cache/kv_copier"], COPY_HALVES),
];
