/**
 * Which rows a tile of keys visits: none where its keys are not written.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { attentionProblem } from "../../../src/ops/mod.ts";
import { backwardParts } from "../../../src/ops/attention_backward/parts.ts";
import { SOFTWARE_BACKWARD_TILES } from "../../../src/ops/attention_backward/tiles.ts";
import { planDevice } from "../../support/plan_device.ts";

const DEVICE = planDevice({ workgroupBytes: 32768 });

/** 32 keys a tile, 16 rows a step. */
const TILES = {
  ...SOFTWARE_BACKWARD_TILES,
  lanes: 32,
  rowsPerLane: 1,
  keys: 16,
  keysPerLane: 1,
  rows: 16,
};

function keyValueTiles(causal: boolean) {
  const shape = (length: number) =>
    ({ dtype: "f32", shape: [2, length, 1, 16] }) as const;
  const { explanation } = backwardParts(
    {
      problem: attentionProblem({
        query: shape(64),
        key: shape(256),
        value: shape(256),
        keyLengths: [70, 128],
        causal,
        returnLse: true,
      }),
      lseGradient: false,
    },
    DEVICE,
    { tiles: TILES },
  );
  return explanation.kernels.keyValue.tileCounts;
}

Deno.test("tiles of keys that are not written visit no row", () => {
  // 3 of 8 tiles of the one, 4 of 8 of the other, 4 steps of rows each.
  const { visited, full } = keyValueTiles(false);
  assertEquals([visited, full], [4 * (3 + 4), 4 * (3 + 4)]);
});

Deno.test("the last written key decides whether a tile is full", () => {
  // Row i of the one sees keys up to i + 6: those of tile 0 from row 0 on, and
  // all of them from 25 on; of tile 1 from 26 and 57 on; of tile 2, whose last
  // written key is 69, from 58 and 63 on. Of the other, up to i + 64.
  const { visited, full } = keyValueTiles(true);
  assertEquals([visited, full], [
    (4 + 3 + 1) + (4 + 4 + 4 + 2),
    (2 + 0 + 0) + (4 + 4 + 2 + 0),
  ]);
});
