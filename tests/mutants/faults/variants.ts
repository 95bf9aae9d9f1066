/**
 * One-line faults in what chooses kernels and tiles, cuts work to what loops
 * can do, and binds a plan's tensors.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../fault.ts";

const VARIANTS = ["ops/attention/variants/variant"];
const LOAD = ["ops/attention/variants/load"];
const TILES = ["ops/attention/variants/tiles"];
const LOOP_LIMIT = ["ops/attention/work/loop_limit"];
const LONG_LOOPS = ["kernels/long_loops"];
const PLAN = ["regressions/attention_plan"];
const OBJECTS = ["ops/attention/gpu_objects"];

/** Every fault listed for it. */
export const VARIANT_FAULTS: readonly SourceFault[] = [
  ...faultsIn("loadAlgorithm", LOAD, [
    [
      "no keys are ever shared",
      'if (sharedPrefix !== "never")',
      'if (sharedPrefix === "never")',
    ],
    [
      "the baseline is never run",
      'if (algorithm === "standard")',
      'if (algorithm !== "fused" && algorithm !== "standard")',
    ],
  ]),
  ...faultsIn("blockKeys", LOAD, [
    [
      "a block table may change under a plan that is being made",
      "? blockTable.slice()",
      "? blockTable",
    ],
  ]),
  ...faultsIn("chooseVariant", VARIANTS, [
    [
      "the features of a variant are not looked at",
      "!device.features.has(name)",
      "false",
    ],
    [
      "only the first feature counts",
      "variant.features.find((name) =>",
      "variant.features.slice(0, 1).find((name) =>",
    ],
    [
      "what is passed over is listed from behind",
      "passedOver.push({ variant: variant.name, why })",
      "passedOver.unshift({ variant: variant.name, why })",
    ],
    [
      "a misfit is taken",
      "if (why === undefined) return { variant, passedOver };",
      "if (lacking === undefined) return { variant, passedOver };",
    ],
  ]),
  ...faultsIn("DECODE", VARIANTS, [
    ["decode takes a row too few", "rows <= maxRows", "rows < maxRows"],
  ]),
  ...faultsIn("tilesOf", TILES, [
    [
      "a software adapter gets hardware's tiles",
      "device.software ? SOFTWARE_TILES : HARDWARE_TILES",
      "HARDWARE_TILES",
    ],
    [
      "a caller's sizes of decode are dropped",
      "decode: { ...own.decode, ...options.decode }",
      "decode: own.decode",
    ],
    [
      "any table is taken",
      "Object.hasOwn(RANGES, table)",
      "true",
    ],
    [
      "what every object has is a table",
      "Object.hasOwn(RANGES, table)",
      "table in RANGES",
    ],
    [
      "a table may be null",
      'typeof sizes === "object" && sizes !== null',
      'typeof sizes === "object"',
    ],
  ]),
  ...faultsIn("checkSizes", TILES, [
    [
      "what every object has is a size",
      "Object.hasOwn(ranges, size)",
      "size in ranges",
    ],
    [
      "a size may be 0",
      "checkInteger(name, value, 1, most)",
      "checkInteger(name, value, 0, most)",
    ],
    ["any number of lanes is taken", "value === powerOfTwo(value)", "true"],
    ["keys a lane may be 2", "value % 4 === 0", "value % 2 === 0"],
  ]),
  ...faultsIn("checkFits", TILES, [
    [
      "memory that is just enough is refused",
      "bytes <= limit",
      "bytes < limit",
    ],
  ]),
  ...faultsIn("powerOfTwo", TILES, [
    ["nothing is below 2", "Math.max(1, value)", "Math.max(2, value)"],
  ]),
  ...faultsIn("forwardTile", TILES, [
    [
      "rows grow past the device's memory",
      "forwardWorkgroupBytes(tile(2 * rowsPerLane)) <= room",
      "true",
    ],
    [
      "rows grow past those that there are",
      "rowsPerLane * lanes < rows",
      "true",
    ],
    [
      "score mods make no smaller step",
      "scoreMods ? modKeys : keys",
      "keys",
    ],
  ]),
  ...faultsIn("decodeTile", TILES, [
    [
      "lanes leave columns of the value out",
      "Math.ceil(valueVecs / columnLanes)",
      "columnsPerLane",
    ],
    ["rows are not a power of two", "rows: powerOfTwo(rows)", "rows: 1"],
  ]),
  ...faultsIn("withinLoopLimit", LOOP_LIMIT, [
    [
      "a worker's tiles are one tile late",
      "bounds.push(all.length);\n        iterations = 0;",
      "bounds.push(all.length + 1);\n        iterations = 0;",
    ],
    [
      "the tiles of a worker are not cut",
      "own.flatMap(cut)",
      "own",
    ],
  ]),
  ...faultsIn("cutRuns", LOOP_LIMIT, [
    [
      "a cut lies within a step",
      "first + Math.floor(steps / 2) * counts.step",
      "first + Math.floor(steps * counts.step / 2)",
    ],
    [
      "only the first kv head's keys are cut",
      "Math.max(...seen.map((runs) => runs[runs.length - 1].end))",
      "seen[0]?.at(-1)!.end",
    ],
    [
      "halves are not cut again",
      ".flatMap((half) => cutRuns(half, most, counts))",
      "",
    ],
  ]),
  ...faultsIn("iterationsOf", LOOP_LIMIT, [
    [
      "the kv head with the fewest counts",
      "Math.max(...lists.map(ofRuns))",
      "Math.min(...lists.map(ofRuns))",
    ],
  ]),
  ...faultsIn("src/ops/attention/variants/forward.ts: loopsOf", LONG_LOOPS, [
    ["a guarded step takes no more", "+ keys + guarded", "+ keys"],
    [
      "vec4s of queries and keys are not counted",
      "headVecs + valueVecs + (scoreMods",
      "(scoreMods",
    ],
  ]),
  ...faultsIn("src/ops/attention/variants/decode.ts: loopsOf", LONG_LOOPS, [
    [
      "the scores of a step are not counted",
      "own * (headVecs + 7)",
      "own",
    ],
    [
      "the reduction over lanes is not counted",
      "rows * (lanes + own + 2)",
      "0",
    ],
  ]),
  ...faultsIn("chunksOf", ["ops/attention/parts"], [
    [
      "a row of too many states is merged all the same",
      "if (vecs < Math.ceil(rowVecs / lanes)) {",
      "if (false) {",
    ],
  ]),
  ...faultsIn(
    "src/ops/attention/variants/standard.ts: checkLoops",
    LONG_LOOPS,
    [
      [
        "the scores' loops are not counted",
        "steps * (headVecs + 2 * step + 4)",
        "0 * headVecs",
      ],
      ["the softmax's loops are not counted", "3 * keys + 2 * steps", "0"],
      [
        "the values' loops are not counted",
        "Math.ceil(valueVecs / STANDARD_COLUMNS) * (keys + 2 * steps + 2)",
        "0 * valueVecs",
      ],
      ["loops are counted twice", "4 + Math.max(", "4 + 2 * Math.max("],
    ],
  ),
  ...faultsIn("checkWritten", PLAN, [
    [
      "the log-sum-exp may lie over the output",
      "bound.set(buffer, name);\n  }\n}",
      "}\n}",
    ],
  ]),
  ...faultsIn("arenaBuffers", PLAN, [
    ["arenas are not looked at", "arenas.map(", "arenas.slice(0, 0).map("],
  ]),
  ...faultsIn("PlanProgram.update", ["ops/plan/plan_program"], [
    [
      "a plan is told to be for the problem before",
      "this.#problem = problem;",
      "",
    ],
    [
      "a plan that is destroyed while it compiles is updated",
      "this.check();\n    this.#program.update",
      "this.#program.update",
    ],
  ]),
  ...faultsIn("AttentionPlan.encode", PLAN, [
    ["only the output is looked at", '["lse", lse?.buffer]', ""],
    ["values are not looked at", '["value", value?.buffer],', ""],
  ]),
  ...faultsIn("BindGroups", OBJECTS, [
    ["bind groups are never found again", "if (known) return known;", ""],
  ]),
  ...faultsIn("Slots", OBJECTS, [
    [
      "a slot is never used again",
      "slot.layout === layout && slot.uses.none",
      "false",
    ],
    [
      "a slot is used again while a recording reads it",
      "slot.layout === layout && slot.uses.none",
      "slot.layout === layout",
    ],
  ]),
];
