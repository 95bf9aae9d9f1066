/**
 * One-line faults in mods: in the interval reading, what it claims wrongly and what it no
 * longer knows; in rows, conditions and what is uploaded of captures.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../fault.ts";

const INTERVAL_ARITHMETIC = ["mods/interval/interval_arithmetic"];
const INTERVAL = ["mods/interval/interval"];
const VALUE_SETS = ["mods/interval/value_sets"];
const RANGE_TABLE = ["mods/interval/range_table"];
const DRAW_MASK = ["mods/drawing/draw_mask"];

/** Every fault listed for it. */
export const MODS_FAULTS: readonly SourceFault[] = [
  ...faultsIn("remainderInt", INTERVAL_ARITHMETIC, [
    [
      "a remainder's quotient is floored",
      "Math.trunc(a[0] / divisor) === Math.trunc(a[1] / divisor)",
      "Math.floor(a[0] / divisor) === Math.floor(a[1] / divisor)",
    ],
    [
      "a remainder reaches its divisor",
      "if (divisor === b[1]) {",
      "if (false) {",
    ],
  ]),
  ...faultsIn("remainderInt", INTERVAL, [
    [
      "a remainder's quotient is floored, and random masks see it",
      "Math.trunc(a[0] / divisor) === Math.trunc(a[1] / divisor)",
      "Math.floor(a[0] / divisor) === Math.floor(a[1] / divisor)",
    ],
    [
      "a remainder never has its dividend's sign",
      "a[0] >= 0 ? 0 : Math.max(-bound, a[0])",
      "0",
    ],
  ]),
  ...faultsIn("divideInt", INTERVAL_ARITHMETIC, [
    [
      "a quotient by what may be 0 is not the dividend",
      "if (b[0] <= 0 && b[1] >= 0) parts.push(a);",
      "",
    ],
  ]),
  ...faultsIn(
    "src/mods/interval/interval_arithmetic.ts: wrapped",
    INTERVAL_ARITHMETIC,
    [
      [
        "a product wraps unnoticed",
        "return low >= INT_MIN && high <= INT_MAX ?",
        "return low >= INT_MIN || high <= INT_MAX ?",
      ],
    ],
  ),
  ...faultsIn("sparseTable", RANGE_TABLE, [
    [
      "the last chunk of a range is missed",
      "const second = endChunk - 2 ** level",
      "const second = firstChunk",
    ],
    [
      "a range lacks its last element",
      "scan(data, endChunk * CHUNK, high)",
      "scan(data, endChunk * CHUNK, high - 1)",
    ],
  ]),
  ...faultsIn("addRange", VALUE_SETS, [
    [
      "values of the last chunks are missed",
      "end - 2 ** level",
      "first",
    ],
    [
      "values of the last elements are missed",
      "scan(set, data, end * CHUNK, high)",
      "scan(set, data, end * CHUNK, high - 1)",
    ],
    [
      "values of the elements before the chunks are missed",
      "scan(set, data, low, first * CHUNK - 1)",
      "scan(set, data, low + 1, first * CHUNK - 1)",
    ],
  ]),
  ...faultsIn("src/mods/interval/value_sets.ts: valuesOf", VALUE_SETS, [
    [
      "one row stands for all",
      "i <= high",
      "i <= low",
    ],
  ]),
  ...faultsIn("src/mods/interval/value_sets.ts: buildLevels", VALUE_SETS, [
    [
      "a level's sets are of half the chunks",
      "half[i + width * WORDS]",
      "half[i]",
    ],
  ]),
  ...faultsIn("loadedFrom", VALUE_SETS, [
    [
      "the values of one range are those of the next",
      "loaded.part = { buffer, ranges };",
      "loaded.part = { buffer, ranges: ranges.map(([low]): Interval => [low, low]) };",
    ],
  ]),
  ...faultsIn("haveNothingInCommon", VALUE_SETS, [
    [
      "one word in which they are apart is enough",
      "a.every(",
      "a.some(",
    ],
  ]),
  ...faultsIn("src/mods/interval/range_table.ts: buildLevels", RANGE_TABLE, [
    [
      "the table lacks the last chunk",
      "Math.floor(data.length / CHUNK)",
      "Math.floor((data.length - 1) / CHUNK)",
    ],
    [
      "every level lacks its last entry",
      "const count = chunks - 2 * width + 1",
      "const count = chunks - 2 * width",
    ],
    [
      "a chunk lacks its last element",
      "(i + 1) * CHUNK - 1)",
      "(i + 1) * CHUNK - 2)",
    ],
  ]),
  ...faultsIn("rowNode", ["mods/masks"], [
    [
      "rows of all sequences begin at the first one's offset",
      "offsets.every((other) => other === first)",
      "true",
    ],
  ]),
  ...faultsIn("checkConditions", ["mods/expression"], [
    [
      "a condition that is not used passes",
      "!used.has(condition)",
      "false",
    ],
  ]),
  ...faultsIn("HeldWords.take", ["gpu/program/held_words"], [
    [
      "words that are new past the old end are not kept",
      "this.#words = words.slice();",
      "this.#words = words;",
    ],
  ]),
  ...faultsIn("countTable", RANGE_TABLE, [
    [
      "one false element of a range does not count",
      "count === high - low + 1 ? 1 : 0",
      "count >= high - low ? 1 : 0",
    ],
  ]),
  ...faultsIn("tileGrid", DRAW_MASK, [
    [
      "a drawn row tile takes the next one's first query in",
      "queryEnd: queryOffset + end - 1,",
      "queryEnd: queryOffset + end,",
    ],
    [
      "a mask is drawn for the first head only",
      "head: [head, head],",
      "head: [0, 0],",
    ],
  ]),
  ...faultsIn("pairs", DRAW_MASK, [
    [
      "the last run of a drawn tile is left out",
      "key <= endKey; key++",
      "key < endKey; key++",
    ],
    [
      "a tile's pairs are drawn at positions, not at rows",
      "path += box(start, query, key - start, 1);",
      "path += box(start, query + queryOffset, key - start, 1);",
    ],
  ]),
];
