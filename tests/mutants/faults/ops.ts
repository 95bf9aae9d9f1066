/**
 * One-line faults in what decides who does what in attention, and in what it is given.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../fault.ts";

const CONTIGUOUS = ["laws/contiguous"];
const DEVICE = ["kv/contiguous_cache", "kv/contiguous_cache_errors"];
const LIMITS = ["ops/attention/limits"];
const SCHEDULE = ["ops/attention/work/schedule"];
const LOOP_LIMIT = ["ops/attention/work/loop_limit"];
const LONG_LOOPS = ["kernels/long_loops"];
const SERVICE = ["laws/service"];

/** Every fault listed for it. */
export const OPS_FAULTS: readonly SourceFault[] = [
  ...faultsIn("extentKeys", CONTIGUOUS, [
    [
      "every extent begins at the arena's start",
      "extents.map(({ start }) => start)",
      "extents.map(() => 0)",
    ],
    [
      "all room counts as written",
      "extents.map(({ length }) => length)",
      "extents.map(({ capacity }) => capacity)",
    ],
  ]),
  ...faultsIn("keysOf", CONTIGUOUS, [
    [
      "values are looked for too early",
      "const keyTokens = cache.numBlocks * cache.blockSize",
      "const keyTokens = (cache.numBlocks - 1) * cache.blockSize",
    ],
  ]),
  ...faultsIn("ownSequence", DEVICE, [
    [
      "extents of another cache are read",
      "sequence.pool === cache.pool",
      "true",
    ],
  ]),
  ...faultsIn("checkIndexing", LIMITS, [
    [
      "an arena of extents is checked as two tensors",
      "keys.segments > 0 ?",
      'keys.kind === "paged" && keys.segments > 0 ?',
    ],
  ]),
  ...faultsIn("checkArenas", DEVICE, [
    ["arenas may be too small", "arena.size >= bytes", "true"],
  ]),
  ...faultsIn("clipRuns", SCHEDULE, [
    [
      "a split runs on into the next",
      "end: Math.min(run.end, to)",
      "end: run.end",
    ],
    [
      "a split begins in the one before",
      "first: Math.max(run.first, from)",
      "first: run.first",
    ],
  ]),
  ...faultsIn("KeyRuns", SCHEDULE, [
    [
      "a run ends one tile early",
      "end: (run.start + run.count) * tileKeys",
      "end: (run.start + run.count - 1) * tileKeys",
    ],
    [
      "a tile is classified by its first row",
      "Math.floor((end - 1) / group)",
      "Math.floor(row / group)",
    ],
    [
      "all heads take the first one's runs",
      "[kvHead * group, (kvHead + 1) * group - 1]",
      "[0, group - 1]",
    ],
    [
      "keys of the prefix are visited again",
      "range.from === 0 ? runs : clipRuns(runs, range.from, Infinity)",
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
    [
      "all rows take the first ones' runs",
      "`${batch},${head},${queryStart},${queryEnd},${keyLength},${tileKeys}`",
      "`${batch},${head},${keyLength},${tileKeys}`",
    ],
  ]),
  ...faultsIn("withinLoopLimit", SCHEDULE, [
    [
      "nothing is cut",
      "if (maxLoopIterations === Infinity) return",
      "return",
    ],
    [
      "a worker's tiles are not given to more workers",
      "if (iterations > 0 && iterations + more > maxLoopIterations) {",
      "if (false) {",
    ],
  ]),
  ...faultsIn("iterationsOf", LOOP_LIMIT, [
    [
      "masked steps are taken for full ones",
      "run.full ? fullStep : maskedStep",
      "fullStep",
    ],
    ["beginning and ending are free", "}, tile)", "}, 0)"],
  ]),
  ...faultsIn("MERGE_WORDS", ["ops/attention/parts"], [
    ["merges are never divided", "2 ** 17", "2 ** 40"],
  ]),
  ...faultsIn(
    "src/ops/attention/variants/standard.ts: checkLoops",
    LONG_LOOPS,
    [
      [
        "the baseline runs at any length",
        "if (iterations <= maxLoopIterations) return",
        "return",
      ],
    ],
  ),
  ...faultsIn("Finder", SERVICE, [
    [
      "blocks in the same column are taken for the same",
      "const id = blockTable[keyStart + column]",
      "const id = column + 0 * blockTable[keyStart]",
    ],
  ]),
  ...faultsIn("Finder", SCHEDULE, [
    [
      "sequences share what only some of them hold",
      "this.#sameBlock(same, next)[0]?.length === same.length",
      "this.#sameBlock(same, next).length > 0",
    ],
    [
      "keys past a sequence's end are shared",
      "Math.min(least, sequences[s].keyCount)",
      "least",
    ],
    [
      "a prefix ends within a step",
      "Math.floor(keys / alignment) * alignment",
      "keys",
    ],
    [
      "nothing is shared behind the first range",
      "for (const more of this.#visit(next)) found.push(more)",
      "this.#visit(next)",
    ],
    [
      "positions are never looked up",
      "this.#listed ||= !this.#isAnonymous(record, range);",
      "",
    ],
    [
      "scattered queries are taken for consecutive ones",
      "token === record.queryStart + i",
      "true",
    ],
    [
      "score mods see the prefix's positions",
      'modsDependOn(problem.scoreMods, "query")',
      "false",
    ],
    [
      "all sequences have the first one's rows",
      "firstRow += this.#rows(sequence);",
      "",
    ],
  ]),
  ...faultsIn("splitRuns", SCHEDULE, [
    [
      "splits of a rest begin at key 0",
      "const first = from + at * step",
      "const first = at * step",
    ],
  ]),
  ...faultsIn("visited", SCHEDULE, [
    [
      "a work tile is cut as if it visited every key",
      "before += end - first;",
      "",
    ],
  ]),
  ...faultsIn("streamKWork", SCHEDULE, [
    ["all work is of kv head 0", "kvHead: rowTile % kvHeads", "kvHead: 0"],
    [
      "kv heads share one list of keys",
      "runs[runs.length > 1 ? h : 0]",
      "runs[0]",
    ],
  ]),
  ...faultsIn("partitionCost", SCHEDULE, [
    ["a merge is free", "merge: partial ? model.dispatchSteps : 0", "merge: 0"],
    [
      "a workgroup begins for free",
      "return model.tileSteps + stepsOf(",
      "return stepsOf(",
    ],
  ]),
  ...faultsIn("makespan", SCHEDULE, [
    [
      "there are always workers enough",
      "Math.max(1, Math.min(workers, loads.length))",
      "Math.max(1, loads.length)",
    ],
  ]),
  ...faultsIn("Merges", SCHEDULE, [
    [
      "rows of a prefix are not cut at its tiles",
      "const stop = Math.min(end, theirs.row + theirs.rows)",
      "const stop = end",
    ],
    [
      "a prefix's later rows take its first ones' states",
      "ofHead(state, start - theirs.row)",
      "ofHead(state, 0)",
    ],
    [
      "cut rows take the first ones' states",
      "ofHead(state, start - from)",
      "ofHead(state, 0)",
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
  ]),
  ...faultsIn("ScheduleWriter", SCHEDULE, [
    [
      "kv heads share their states",
      "this.#stateRows += workers ? rows : rows * kvHeads",
      "this.#stateRows += rows",
    ],
    [
      "the block table is looked for at the start",
      'record.keyStart + (keys.kind === "paged" ? tableAt : 0)',
      "record.keyStart",
    ],
    [
      "masked runs are called full",
      "full: kindOf(run)",
      "full: 1",
    ],
    [
      "the rest of a sequence forgets its prefix",
      "this.#shared.has(range) || range.prefixes.length > 0",
      "this.#shared.has(range)",
    ],
    [
      "the dearest partition is taken",
      "totals.indexOf(Math.min(...totals))",
      "totals.indexOf(Math.max(...totals))",
    ],
    [
      "lists of queries are looked for at the start",
      "queriesAt + listedAt[index]",
      "listedAt[index]",
    ],
  ]),
];
