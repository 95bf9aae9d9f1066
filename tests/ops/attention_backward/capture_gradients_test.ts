/**
 * Gradients with respect to what score mods capture, on the device.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  alibi,
  attention,
  attentionBackward,
  capture,
  type Gpu,
  planAttentionBackward,
  relativeBias,
  type ScoreMod,
  scoreMod,
  softcap,
} from "../../../mod.ts";
import {
  attentionBackward as oracleBackward,
  type BackwardProblem,
  captureGradient,
  captureGradientBound,
  compareWithBound,
  dropoutKeep,
  GRADIENT_GATES,
} from "../../../reference/mod.ts";
import { Prng } from "../../../src/core/prng.ts";
import {
  type CapturedFloats,
  scoreDerivative,
  scoreFunction,
} from "../../../src/mods/mod.ts";
import type { BackwardRunOptions } from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { normals } from "../../reference/cases.ts";

/** One case: what mods are made of a table of 24 floats. */
interface Case {
  readonly mods: (table: Float32Array) => ScoreMod[];
  readonly sizes?: Partial<typeof SIZES>;
  readonly causal?: boolean;
  readonly dropout?: { readonly rate: number; readonly seed: number };
  readonly options?: BackwardRunOptions;
}

const SIZES = {
  batch: 2,
  queries: 37,
  keys: 51,
  queryHeads: 4,
  kvHeads: 2,
  headDim: 8,
  valueHeadDim: 12,
};

/** Small, so that there are many work tiles and steps. */
const TILES = {
  lanes: 8,
  rowsPerLane: 2,
  keysPerLane: 1,
  keys: 4,
  rows: 4,
  modStep: 4,
};

const CASES: Readonly<Record<string, Case>> = {
  "relative bias": {
    mods: (table) => [relativeBias(table.subarray(0, 20), [4, 5])],
    causal: true,
  },
  "slopes of a batch, a soft cap after": {
    mods: (table) => [alibi(table.subarray(0, 8), [2, 4]), softcap(4)],
  },
  "dropout, one table for all": {
    mods: (table) => {
      const own = capture(table.subarray(0, 24), { shape: [24] });
      return [
        scoreMod(
          "bias",
          ({ score, query, key }) =>
            score.add(own.at(query.sub(key).abs()).mul(0.5)),
        ),
      ];
    },
    dropout: { rate: 0.3, seed: 11 },
    options: { tiles: { ...TILES, lanes: 4 } },
  },
  "twice, and not linearly": {
    mods: (table) => {
      const own = capture(table.subarray(0, 12), { shape: [3, 4] });
      return [
        softcap(9),
        scoreMod(
          "twice",
          ({ score, head, key }) =>
            score.add(own.at(head, key).mul(own.at(key.rem(3), 0)).tanh()),
        ),
      ];
    },
    sizes: { queries: 9, keys: 70 },
  },
  "a table of 8 MiB, of which there are few": {
    mods: () => {
      const own = capture(new Float32Array(2 ** 21), { shape: [2 ** 21] });
      return [
        scoreMod(
          "large",
          ({ score, query, key }) =>
            score.add(own.at(key.mul(40_000).add(query.div(7)))),
        ),
      ];
    },
  },
  "no keys, no rows": {
    mods: (table) => [alibi(table.subarray(0, 4))],
    sizes: { keys: 0, queries: 3 },
  },
};

/** The buffer that a list of mods captures. */
function capturedBy(mods: readonly ScoreMod[]): Float32Array {
  const found = new Set<unknown>();
  const visit = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    if ((node as { kind?: string }).kind === "load") {
      found.add((node as { buffer: { data: unknown } }).buffer.data);
    }
    for (const child of Object.values(node)) {
      if (!ArrayBuffer.isView(child)) visit(child);
    }
  };
  for (const { expression } of mods) visit(expression);
  const [data] = [...found].filter((data) => data instanceof Float32Array);
  return data as Float32Array;
}

function setUp({ mods: make, sizes, causal, dropout }: Case, seed: number) {
  const own = { ...SIZES, ...sizes };
  const { batch, queries, keys, queryHeads, kvHeads } = own;
  const { headDim, valueHeadDim } = own;
  const prng = new Prng(seed);
  const of = (shape: number[]) => ({
    data: normals(prng, shape.reduce((n, size) => n * size, 1)),
    shape,
  });
  const query = of([batch, queries, queryHeads, headDim]);
  const key = of([batch, keys, kvHeads, headDim]);
  const value = of([batch, keys, kvHeads, valueHeadDim]);
  const outputGradient = of([batch, queries, queryHeads, valueHeadDim]);
  const lseGradient = of([batch, queries, queryHeads]);
  const mods = make(normals(prng, 24, 0.3));
  const problem: BackwardProblem = {
    query: query.data,
    key: key.data,
    value: value.data,
    batch,
    queryLength: queries,
    keyLength: keys,
    queryHeads,
    kvHeads,
    headDim,
    valueHeadDim,
    scale: Math.fround(1 / Math.sqrt(headDim)),
    score: scoreFunction(mods),
    scoreDerivative: scoreDerivative(mods),
    mask: causal ? (_b, _h, q, k) => k <= q : undefined,
    keep: dropout && dropoutKeep(dropout),
    outputGradient: outputGradient.data,
    lseGradient: lseGradient.data,
  };
  const options = {
    query,
    key,
    value,
    scoreMod: mods,
    ...(causal && { causal }),
    ...(dropout && { dropout }),
  };
  return { options, problem, mods, outputGradient, lseGradient };
}

async function run(
  gpu: Gpu,
  { options, outputGradient, lseGradient }: ReturnType<typeof setUp>,
  choices: BackwardRunOptions,
) {
  const { saved } = await attention(gpu, { ...options, forBackward: true });
  using state = saved!;
  const upstream = { outputGradient, lseGradient };
  return await attentionBackward(gpu, state, upstream, choices);
}

for (const [name, c] of Object.entries(CASES)) {
  gpuTest(`capture gradients are the oracle's: ${name}`, async (_, gpu) => {
    const made = setUp(c, 7);
    const { problem, mods } = made;
    const captured = capturedBy(mods);
    const { captures } = await run(gpu, made, {
      tiles: TILES,
      ...c.options,
      captureGradients: [captured],
    });
    const { gradient, visit } = captureGradient(mods, captured);
    oracleBackward({ ...problem, onScoreGradient: visit });
    const [actual] = captures!;
    assertEquals(actual.shape, [captured.length]);
    const bound = captureGradientBound(problem, {
      mods,
      captured,
      rows: 16,
      keys: 4,
      gate: GRADIENT_GATES.wgsl,
    });
    const comparison = compareWithBound({
      actual: actual.data,
      expected: gradient,
      bound,
    });
    assert(comparison.ok, JSON.stringify(comparison));
    if (problem.keyLength > 0) assert(gradient.some((x) => Math.abs(x) > 1e-3));
  });
}

gpuTest(
  "capture gradients repeat, whatever else is asked for",
  async (_, gpu) => {
    const c: Case = {
      mods: (table) => [
        alibi(table.subarray(0, 4)),
        relativeBias(table.subarray(4, 24), [4, 5]),
      ],
    };
    const made = setUp(c, 9);
    const captured = made.mods.map((mod) => capturedBy([mod]));
    const of = async (captureGradients: CapturedFloats[]) => {
      const gradients = await run(gpu, made, {
        tiles: TILES,
        captureGradients,
      });
      return [
        ...gradients.captures ?? [],
        gradients.query,
        gradients.key,
        gradients.value,
      ].map(({ data }) => data);
    };
    const both = await of(captured);
    assertEquals(await of(captured), both);
    const [slopes, ...rest] = await of([captured[0]]);
    assertEquals(slopes, both[0]);
    assertEquals(rest, both.slice(2));
    assertEquals(await of([]), both.slice(2));
    assertEquals((await of(captured.toReversed())).slice(0, 2), [
      both[1],
      both[0],
    ]);
  },
);

gpuTest("a captured tensor has its gradient on the device", async (_, gpu) => {
  const made = setUp({ mods: (table) => [alibi(table.subarray(0, 4))] }, 3);
  const host = capturedBy(made.mods);
  using slopes = gpu.tensor(host, [4]);
  const own = capture(slopes);
  const mods = [
    scoreMod(
      "slopes",
      ({ score, head, query, key }) =>
        score.sub(own.at(head).mul(query.sub(key).abs().toFloat())),
    ),
  ];
  const choices = { tiles: TILES };
  const expected = await run(gpu, made, {
    ...choices,
    captureGradients: [host],
  });
  for (const captured of [own, slopes]) {
    const options = { ...made.options, scoreMod: mods };
    const actual = await run(gpu, { ...made, options }, {
      ...choices,
      captureGradients: [captured],
    });
    assertEquals(actual.captures![0].data, expected.captures![0].data);
  }
});

gpuTest("capture gradients are the same for keys in blocks", async (_, gpu) => {
  const made = setUp({
    mods: (table) => [alibi(table.subarray(0, 8), [2, 4])],
    dropout: { rate: 0.2, seed: 4 },
  }, 5);
  const captureGradients = [capturedBy(made.mods)];
  const choices = { tiles: TILES, captureGradients };
  const whole = await run(gpu, made, choices);
  const { batch, keys, kvHeads } = SIZES;
  const blockSize = 4;
  const perSequence = Math.ceil(keys / blockSize);
  // Blocks in reverse, poisoned where no key is.
  const blockTable = Uint32Array.from(
    { length: batch * perSequence },
    (_, n) => batch * perSequence - 1 - n,
  );
  const blocked = (
    { data, shape }: { data: Float32Array; shape: number[] },
  ) => {
    const dim = shape[3];
    const out = new Float32Array(
      batch * perSequence * blockSize * kvHeads * dim,
    ).fill(NaN);
    for (let b = 0; b < batch; b++) {
      for (let j = 0; j < keys; j++) {
        const block = blockTable[b * perSequence + Math.floor(j / blockSize)];
        const width = kvHeads * dim;
        const from = (b * keys + j) * width;
        const row = data.subarray(from, from + width);
        out.set(row, (block * blockSize + j % blockSize) * width);
      }
    }
    const blocks = [batch * perSequence, blockSize, kvHeads, dim];
    return { data: out, shape: blocks };
  };
  const options = {
    ...made.options,
    key: blocked(made.options.key),
    value: blocked(made.options.value),
    blockTable,
    keyLengths: new Array(batch).fill(keys),
  };
  const paged = await run(gpu, { ...made, options }, choices);
  assertEquals(paged.captures![0].data, whole.captures![0].data);
});

gpuTest("capture gradients refuse what is not captured", async (_, gpu) => {
  const made = setUp({ mods: (table) => [alibi(table.subarray(0, 4))] }, 3);
  const slopes = capturedBy(made.mods);
  const ints = capture(Int32Array.of(1, 2));
  const counting = scoreMod(
    "ints",
    ({ score, key }) => score.add(ints.at(key).toFloat()),
  );
  // deno-lint-ignore no-explicit-any
  const cases: [any, string][] = [
    [slopes, "captureGradients must be a list"],
    [
      [Float32Array.of(1)],
      "captureGradients[0] must be captured by a score mod",
    ],
    [[slopes, slopes], "captureGradients[1] must not be named twice"],
    [["slopes"], "captureGradients[0] must be a Capture, a Float32Array"],
    [[slopes, ints], "captureGradients[1] must be floats"],
  ];
  for (const [captureGradients, message] of cases) {
    await assertRejects(
      () =>
        planAttentionBackward(gpu, {
          ...made.options,
          scoreMod: [...made.mods, counting],
        }, { captureGradients }),
      TypeError,
      message,
    );
  }
});
