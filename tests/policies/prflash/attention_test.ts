/**
 * Attention to drawn blocks on the device: held against the oracle with the
 * draw's mask and scores, and its rounds against the sums that they stand for.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  attention as oracle,
  attentionBackward as gradientOracle,
  GRADIENT_GATES,
  gradientBound,
} from "../../../reference/mod.ts";
import {
  type BlockDraw,
  blockIsDrawn,
  drawnBlocks,
  inverselyWeighted,
} from "../../../reference/policies/prflash.ts";
import {
  attention,
  mergeAttention,
  planAttention,
} from "../../../src/ops/mod.ts";
import {
  experimentalPrFlash,
  type PrFlashOptions,
} from "../../../src/policies/mod.ts";
import {
  assertNear,
  expectedOf,
  HEADS,
  packedOptions,
  sequencesOf,
  WIDTHS,
} from "../../laws/ragged_support.ts";
import { TILES } from "../../support/attention/runner.ts";
import { forwardBackward, normals } from "../../support/gradients.ts";
import { gpuTest } from "../../support/gpu.ts";

const OPTIONS = { family: "power", a: 1, floor: 0.25, seed: 5 } as const;
/** The hash is in the source once a pair of a tile. */
const TILE = { tiles: TILES.small } as const;
const LENGTHS = [[33, 33], [1, 70], [20, 57]] as const;

function drawOf(options: PrFlashOptions): BlockDraw {
  const { block, probability } = experimentalPrFlash(options);
  const { seed = 0, round = 0 } = options;
  const group = HEADS.queryHeads / HEADS.kvHeads;
  return { probability, block, seed: Number(seed), round, group };
}

gpuTest(
  "attention({ select: experimentalPrFlash() }) is the oracle's over what is drawn",
  async (_, gpu) => {
    const sequences = sequencesOf(LENGTHS, 3);
    const packed = packedOptions(sequences);
    for (const mode of ["paper", "ht"] as const) {
      // Blocks that fit the tiles, and blocks that lie across them.
      for (const block of [16, 5]) {
        const options: PrFlashOptions = { ...OPTIONS, block, mode, round: 2 };
        const draw = drawOf(options);
        const { output } = await attention(gpu, {
          ...packed,
          select: experimentalPrFlash(options),
        });
        let at = 0;
        sequences.forEach((sequence, i) => {
          const [queries, keys] = LENGTHS[i];
          const mask = drawnBlocks(draw);
          const expected = expectedOf(sequence, {
            queryOffset: keys - queries,
            mask: (_, ...place) => mask(i, ...place),
            ...(mode === "ht" && { score: inverselyWeighted(draw) }),
          });
          const width = queries * WIDTHS.query;
          const rows = output.data.subarray(at, at + width);
          assertNear(rows, expected, `sequence ${i}, ${mode}, block ${block}`);
          at += width;
        });
      }
    }
  },
);

gpuTest(
  "experimentalPrFlash() with certainty is causal attention",
  async (_, gpu) => {
    const sequences = sequencesOf(LENGTHS, 4);
    const { output } = await attention(gpu, {
      ...packedOptions(sequences),
      ...TILE,
      select: experimentalPrFlash({ family: "geometric", gamma: 1, block: 16 }),
    });
    let at = 0;
    sequences.forEach((sequence, i) => {
      const [queries, keys] = LENGTHS[i];
      const rows = output.data.subarray(at, at += queries * WIDTHS.query);
      const expected = expectedOf(sequence, {
        queryOffset: keys - queries,
        mask: (_b, _h, query, key) => key <= query,
      });
      assertNear(rows, expected, `sequence ${i}`);
    });
  },
);

gpuTest(
  "rounds that are merged are the mean of their numerators and denominators",
  async (_, gpu) => {
    const rounds = 3;
    const [sequence] = sequencesOf([[40, 40]], 8);
    const tensor = (data: Float32Array, heads: number) =>
      gpu.tensor(data, [1, 40, heads, HEADS.headDim]);
    const tensors = {
      query: tensor(sequence.query, HEADS.queryHeads),
      key: tensor(sequence.key, HEADS.kvHeads),
      value: tensor(sequence.value, HEADS.kvHeads),
    };
    const options = (round: number): PrFlashOptions => ({
      ...OPTIONS,
      block: 4,
      mode: "ht",
      round,
    });
    const parts = [];
    for (let round = 0; round < rounds; round++) {
      const { output, lse } = await attention(gpu, {
        ...tensors,
        returnLse: true,
        select: experimentalPrFlash(options(round)),
      });
      parts.push({ output, lse: lse! });
    }
    const merged = await mergeAttention(gpu, parts);
    const [output, lse] = await gpu.read([merged.output, merged.lse]);
    // A key that is drawn in c rounds counts c times.
    const draws = Array.from({ length: rounds }, (_, n) => drawOf(options(n)));
    const masks = draws.map(drawnBlocks);
    const score = inverselyWeighted(draws[0]);
    const times = (...at: [number, number, number, number]) =>
      masks.filter((sees) => sees(...at)).length;
    const meaning = {
      mask: (...at: [number, number, number, number]) => times(...at) > 0,
      score: (s: number, ...at: [number, number, number, number]) =>
        score(s, ...at) + Math.log(Math.max(1, times(...at)) / rounds),
    };
    const expected = expectedOf(sequence, meaning);
    // A merge adds a rounding to each round's own.
    assertNear(
      output as Float32Array,
      { ...expected, bound: 2 * expected.bound },
      "merged",
    );
    const exact = oracle({
      ...sequence,
      batch: 1,
      queryLength: 40,
      keyLength: 40,
      ...HEADS,
      ...meaning,
    });
    exact.lse.forEach((value, n) => {
      const found = (lse as Float32Array)[n] - Math.log(rounds);
      assert(
        Math.abs(found - value) < 1e-5,
        `lse[${n}] ${found}, not ${value}`,
      );
    });
    for (
      const it of [...Object.values(tensors), ...parts, merged].flatMap((one) =>
        "lse" in one ? [one.output, one.lse] : [one]
      )
    ) it.destroy();
  },
);

gpuTest(
  "plans visit the tiles of the blocks that are drawn, and no others",
  async (_, gpu) => {
    const [tokens, block] = [512, 64];
    const options: PrFlashOptions = { ...OPTIONS, block };
    const tensor = (heads: number) => ({
      dtype: "f32" as const,
      shape: [2, tokens, heads, HEADS.headDim],
    });
    using plan = await planAttention(gpu, {
      query: tensor(HEADS.queryHeads),
      key: tensor(HEADS.kvHeads),
      value: tensor(HEADS.kvHeads),
      select: experimentalPrFlash(options),
    });
    const { tileCounts, dispatches: [{ tile }] } = plan.explain();
    const group = HEADS.queryHeads / HEADS.kvHeads;
    const [rows, keys] = [tile!.rows / group, tile!.keys];
    assert(block % rows === 0 && block % keys === 0, `${rows} x ${keys}`);
    const draw = drawOf(options);
    const [queryTiles, keyTiles] = [block / rows, block / keys];
    let [visited, full] = [0, 0];
    const blocks = tokens / block;
    for (let batch = 0; batch < 2; batch++) {
      for (let kvHead = 0; kvHead < HEADS.kvHeads; kvHead++) {
        for (let row = 0; row < blocks; row++) {
          for (let column = 0; column < row; column++) {
            const head = kvHead * group;
            if (!blockIsDrawn(draw, { batch, head, row, column })) continue;
            visited += queryTiles * keyTiles;
            full += queryTiles * keyTiles;
          }
          // The triangle of the row's own block.
          for (let n = 0; n < queryTiles; n++) {
            visited += Math.ceil((n + 1) * rows / keys);
            full += Math.floor((n * rows + 1) / keys);
          }
        }
      }
    }
    assertEquals(tileCounts.visited, visited);
    assertEquals(tileCounts.full, full);
  },
);

gpuTest(
  "gradients of mode ht are the oracle's over what is drawn",
  async (_, gpu) => {
    const [tokens, batch] = [30, 1];
    const options: PrFlashOptions = { ...OPTIONS, block: 4, mode: "ht" };
    const draw = drawOf(options);
    const of = (heads: number, seed: number) =>
      normals([batch, tokens, heads, HEADS.headDim], seed);
    const [query, outputGradient] = [1, 4].map((n) => of(HEADS.queryHeads, n));
    const [key, value] = [2, 3].map((n) => of(HEADS.kvHeads, n));
    const found = await forwardBackward(
      gpu,
      { query, key, value, select: experimentalPrFlash(options) },
      { outputGradient },
    );
    const problem = {
      query: query.data as Float32Array,
      key: key.data as Float32Array,
      value: value.data as Float32Array,
      outputGradient: outputGradient.data as Float32Array,
      batch,
      queryLength: tokens,
      keyLength: tokens,
      ...HEADS,
      mask: drawnBlocks(draw),
      score: inverselyWeighted(draw),
      scoreDerivative: () => 1,
    };
    const exact = gradientOracle(problem);
    const bounds = gradientBound(problem, {
      rows: 8,
      keys: 8,
      gate: GRADIENT_GATES.wgsl,
    });
    for (const name of ["query", "key", "value"] as const) {
      const [output, bound] = [
        exact[`${name}Gradient`],
        bounds[`${name}Gradient`],
      ];
      assertNear(found[name].data, { output, bound }, `${name}'s gradient`);
    }
  },
);
