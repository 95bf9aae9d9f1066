/**
 * One-line faults in masks: what is a neighbour, who belongs to a packed row's
 * document, and where a mask looks that is made of another.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../fault.ts";

const ZOO = ["mods/mask_zoo", "mods/mask_zoo_errors"];
const SCORES = ["mods/scores"];

/** Every fault listed for it. */
export const MASK_FAULTS: readonly SourceFault[] = [
  ...faultsIn("inDense", ZOO, [
    [
      "an even window is longer after",
      "Math.floor(kernel / 2)",
      "Math.floor((kernel - 1) / 2)",
    ],
    [
      "a window is cut at the far edge",
      ".min(size.sub(kernel))",
      ".min(size.sub(1))",
    ],
    ["a group's window is its first one's", "Math.floor(stride / 2)", "0"],
    [
      "a causal group's window is its middle one's",
      "causal ? stride - 1",
      "causal ? stride >> 1",
    ],
    ["the last group looks beyond the canvas", ".min(size.sub(1))", ""],
  ]),
  ...faultsIn("inWindow", ZOO, [
    [
      "all interleaved canvases are as long as the longest",
      "int(extent - 1).sub(group)",
      "int(extent - 1).sub(0)",
    ],
    [
      "windows of different interleaved canvases meet",
      "return group.eq(key.rem(step)).and(dense);",
      "return group.ge(0).and(dense);",
    ],
  ]),
  ...faultsIn("neighborhood", ZOO, [
    [
      "a query behind the canvas sees its last window",
      "query.lt(tokens)",
      "query.le(tokens)",
    ],
    [
      "a query before the canvas sees its first window",
      "query.ge(0)",
      "query.ge(-1)",
    ],
  ]),
  ...faultsIn("src/mods/masks/canvas.ts: placeOf", ZOO, [
    [
      "a tiled canvas is square",
      "rest = Math.floor(rest / canvas[axis]);",
      "rest = Math.floor(rest / canvas[canvas.length - 1]);",
    ],
  ]),
  ...faultsIn("checkOrder", ZOO, [
    ["an order may lack a token", "seen[token] === 0", "seen[token] >= 0"],
  ]),
  ...faultsIn("slidingTile", ZOO, [
    ["text sees and is seen without end", ".and(key.lt(tokens + text))", ""],
  ]),
  ...faultsIn("documents", ZOO, [
    [
      "a document has its successor's first token",
      "key.lt(end.at(query))",
      "key.le(end.at(query))",
    ],
  ]),
  ...faultsIn("documentPrefixLm", ZOO, [
    [
      "a prefix has one token more",
      "key.lt(prefixEnd.at(query))",
      "key.le(prefixEnd.at(query))",
    ],
  ]),
  ...faultsIn("sharedPrefix", ZOO, [
    [
      "a document continues itself, and sees its future",
      "prefixOf[i] !== i",
      "prefixOf[i] >= 0",
    ],
    [
      "a prefix may itself continue another",
      "prefixOf[prefix], prefix, prefix)",
      "prefixOf[prefix], 0, prefix)",
    ],
  ]),
  ...faultsIn("perToken", ZOO, [
    ["a packed row fits any problem", 'axes: ["key"]', "axes: [undefined]"],
  ]),
  ...faultsIn("packedDocuments", ZOO, [
    ["a row may have no token", "bounds[last], 1,", "bounds[last], 0,"],
  ]),
  ...faultsIn("withinDocuments", ZOO, [
    [
      "a document's mask counts the row's keys",
      "key: key.sub(first)",
      "key: key.sub(0)",
    ],
  ]),
  ...faultsIn("movedTree", ZOO, [
    [
      "a mask's keys are moved to where its queries are",
      "key ?? node : node",
      "query : node",
    ],
    [
      "a block's mask is held against the whole row",
      "withoutPlaces(node.buffer, key !== undefined)",
      "node.buffer",
    ],
    [
      "a mask by rows is moved as if by positions",
      '!dependsOn(expression, "row")',
      "true",
    ],
  ]),
  ...faultsIn("withoutPlaces", ZOO, [
    [
      "a moved mask forgets that it has one for each sequence",
      'axis === "batch" || axis === "head"',
      'axis === "head"',
    ],
    [
      "picked rows forget how many keys there are",
      'axis === "key" && !keysMove',
      "false",
    ],
  ]),
  ...faultsIn("pickedRows", ZOO, [
    [
      "picked rows of all sequences are the first one's",
      'start.at(at("batch")).add(at("row"))',
      'start.at(0).add(at("row"))',
    ],
  ]),
  ...faultsIn("withinBlocks", ZOO, [
    [
      "queries before all keys are of block 0",
      "query.ge(0).and(query.div(length).eq(key.div(length)))",
      "query.div(length).eq(key.div(length))",
    ],
  ]),
  ...faultsIn("byIndex", ZOO, [
    [
      "the mask after the first is the first's twin",
      "number.eq(i + 1)",
      "number.eq(i)",
    ],
  ]),
  ...faultsIn("globalWindow", ZOO, [
    ["a global token is not seen from afar", ".or(marks.at(key))", ""],
  ]),
  ...faultsIn("imageCross", ZOO, [
    [
      "keys behind the images are the last one's",
      "image.lt(intervals.length)",
      "image.le(intervals.length)",
    ],
  ]),
  ...faultsIn("blockDiffusion", ZOO, [
    [
      "a noised block sees itself clean",
      "noisedKey.not()).and(seen.lt(own))",
      "noisedKey.not()).and(seen.le(own))",
    ],
  ]),
  ...faultsIn("temporalHead", ZOO, [
    [
      "frames begin with the prompt",
      "position.sub(prompt).rem(frame)",
      "position.rem(frame)",
    ],
  ]),
  ...faultsIn("sandwich", SCORES, [
    [
      "all heads have the first one's scale",
      "heads / (8 * (i + 1))",
      "heads / (8 * (0 + 1))",
    ],
  ]),
  ...faultsIn("bucketBias", SCORES, [
    [
      "a bucket behind the table is its last",
      "0, tableShape[1] - 1",
      "0, tableShape[1]",
    ],
  ]),
];
