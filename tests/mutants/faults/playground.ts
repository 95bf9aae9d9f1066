/**
 * One-line faults in what the playground says of mods and caches.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../fault.ts";

const MASKS = ["playground/masks"];
const BLOCKS = ["playground/blocks"];

/** Every fault listed for it. */
export const PLAYGROUND_FAULTS: readonly SourceFault[] = [
  ...faultsIn("evaluateMods", MASKS, [
    ["nothing is taken for mods", "mods.length > 0 &&", ""],
    ["arrays in arrays are not looked into", "flat(Infinity)", "flat(0)"],
  ]),
  ...faultsIn("mistakeOf", MASKS, [
    ["the line is not told", "...(line && {", "...(!line && {"],
  ]),
  ...faultsIn("analyse", MASKS, [
    [
      "tiles are square in keys alone",
      "{ head, tileQueries: tile, tileKeys: tile }",
      "{ head, tileKeys: tile }",
    ],
    [
      "the first head is drawn",
      "{ head, tileQueries: tile, tileKeys: tile }",
      "{ tileQueries: tile, tileKeys: tile }",
    ],
  ]),
  ...faultsIn("eachPair", MASKS, [
    ["rows stand at the top left", "i + keys - queries", "i"],
  ]),
  ...faultsIn("scoresOf", MASKS, [
    [
      "scores are the first head's",
      "modify(SCORE_IN, 0, settings.head, query, key)",
      "modify(SCORE_IN, 0, 0, query, key)",
    ],
  ]),
  ...faultsIn("checkAttention", MASKS, [
    ["the mask is kept from the oracle", "maskMods.length > 0 &&", "false &&"],
    [
      "the scores are kept from the oracle",
      "scoreMods.length > 0 &&",
      "false &&",
    ],
  ]),
  ...faultsIn("writeTyped", MASKS, [
    [
      "sizes are told apart from the usual ones",
      "settingsOf(ready ?? GALLERY[0])",
      "settingsOf(GALLERY[0])",
    ],
  ]),
  ...faultsIn("Service", BLOCKS, [
    [
      "a copied block has nothing in it",
      "this.#words.set(to * blockSize + row, word);",
      "",
    ],
    [
      "cached words are written again, too early",
      "words.slice(cached)",
      "words.slice(0)",
    ],
    [
      "a sequence that does not fit stays",
      "this.manager.free(admission.sequence);",
      "",
    ],
    [
      "what does not fit again is half there",
      "this.manager.preempt(sequence);\n          throw error;",
      "throw error;",
    ],
    [
      "a pinned sequence is forgotten with its end",
      "if (!entry.pin) this.entries.delete(name);",
      "this.entries.delete(name);",
    ],
  ]),
  ...faultsIn("blockView", BLOCKS, [
    [
      "a found block's words are not shown",
      "references > 0 || cached",
      "references > 0",
    ],
  ]),
  ...faultsIn("stateOf", BLOCKS, [
    ["what several hold is one's own", "owners === 1", "owners >= 1"],
  ]),
  ...faultsIn("readCommand", BLOCKS, [
    ["any number of tokens is appended", "count <= MOST_TOKENS", "true"],
    ["a text's words are not decoded", "map(decoded)", "map(String)"],
  ]),
  ...faultsIn("writeTold", BLOCKS, [
    [
      "the moment is not written",
      "if (at !== commands.length)",
      "if (at > commands.length)",
    ],
  ]),
];
