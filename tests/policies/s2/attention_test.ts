/** Attention under S2's mask, on the device. */

import { assert, assertEquals } from "@std/assert";
import { attention } from "../../../mod.ts";
import { s2, type S2Options } from "../../../src/policies/mod.ts";
import { maskMod } from "../../../src/mods/mod.ts";
import { EMPTY_LSE, mergeAttention } from "../../../src/ops/mod.ts";
import { type AttentionCase, PLAIN } from "../../support/attention/cases.ts";
import { checkCase } from "../../support/attention/check.ts";
import { runCases, TILES } from "../../support/attention/runner.ts";
import { checkBackward } from "../../support/backward/check.ts";
import { runBackward } from "../../support/backward/runner.ts";
import { forwardBackward, normals } from "../../support/gradients.ts";
import { gpuTest } from "../../support/gpu.ts";

const HEADS = { queryHeads: 4, kvHeads: 2 };

/** A case under S2's mask. */
function under(
  options: S2Options,
  more: Partial<AttentionCase> = {},
): AttentionCase {
  const heads = { ...HEADS, ...more };
  const masks = [{ kind: "s2", options, heads }] as const;
  return { ...PLAIN, ...heads, sequences: [[150, 150]], masks };
}

const CAUSAL: S2Options = { block: 16, localBlocks: 2, stride: 3 };
/** Others, of which the numbers need no kernel of their own. */
const SHIFTED: S2Options = { ...CAUSAL, phase: "vllm", headStep: 2, block: 5 };
const DENSE: S2Options = { ...CAUSAL, denseHeads: 1 };
const BOTH: S2Options = {
  ...CAUSAL,
  causal: false,
  localBlocks: { left: 2, right: 1 },
};

gpuTest("attention() under S2's mask keeps the error rule", async (_, gpu) => {
  const layouts: AttentionCase[] = [
    under(CAUSAL),
    under(SHIFTED),
    under(BOTH),
    // A stretch of a prompt, and two sequences of a batch.
    under(CAUSAL, { sequences: [[40, 150]] }),
    under(CAUSAL, {
      layout: "ragged",
      sequences: [[90, 90], [0, 20], [21, 130]],
    }),
    // Decode.
    under(DENSE, { layout: "paged", sequences: [[1, 150], [1, 70]] }),
  ];
  const results = await runCases(gpu, layouts);
  layouts.forEach((c, i) => checkCase(c, results[i]));
  // Kernels skip what no row of a tile keeps: fewer tiles than causal ones.
  const [{ explanation }] = results;
  const { visited, total } = explanation.tileCounts;
  assert(visited < 0.45 * total, `${visited} of ${total}`);
});

gpuTest("gradients under S2's mask keep the error rule", async (_, gpu) => {
  const cases = [
    under(CAUSAL, { sequences: [[70, 70]] }),
    under(SHIFTED, { sequences: [[21, 66]] }),
  ].map((c, i) => ({ ...c, lseGradient: i === 0 }));
  const results = await runBackward(gpu, cases);
  cases.forEach((c, i) => checkBackward(c, results[i]));
});

const SHAPE = [1, 96, 4, 16];
const KEYS = [1, 96, 2, 16];

gpuTest("select and S2's mask are one thing, bit by bit", async (_, gpu) => {
  const [query, key, value] = [
    normals(SHAPE, 1),
    normals(KEYS, 2),
    normals(KEYS, 3),
  ];
  const policy = s2(CAUSAL);
  const upstream = { outputGradient: normals(SHAPE, 4) };
  const given = { query, key, value };
  const selected = await forwardBackward(
    gpu,
    { ...given, select: policy },
    upstream,
  );
  const masked = await forwardBackward(
    gpu,
    { ...given, maskMod: policy.maskMods(HEADS) },
    upstream,
  );
  assertEquals(selected, masked);
  const dense = await attention(gpu, {
    ...given,
    causal: true,
    tiles: TILES.small!,
  });
  const all = await attention(gpu, {
    ...given,
    select: s2({ ...CAUSAL, stride: 1 }),
    tiles: TILES.small!,
  });
  assertEquals(all.output.data, dense.output.data);
});

gpuTest(
  "parts of the keys under S2's mask merge, and so do their gradients",
  async (_, gpu) => {
    const policy = s2(CAUSAL);
    const mask = policy.maskMods(HEADS);
    const given = {
      query: normals(SHAPE, 1),
      key: normals(KEYS, 2),
      value: normals(KEYS, 3),
    };
    const outputGradient = normals(SHAPE, 4);
    const lseGradient = normals(SHAPE.slice(0, 3), 5);
    const upstream = { outputGradient, lseGradient };
    // Of the later keys the first rows see none, and are 0 with -Infinity.
    const [all, ...parts] = [[0, 96], [0, 48], [48, 96]].map((
      [from, end],
    ) => ({
      ...given,
      maskMod: [
        ...mask,
        maskMod("part", ({ key }) => key.ge(from).and(key.lt(end))),
      ],
    }));
    const whole = await forwardBackward(gpu, all, upstream);
    const halves = [];
    for (const part of parts) {
      halves.push(await forwardBackward(gpu, part, upstream));
    }
    const upload = ({ data, shape }: typeof given.query) =>
      gpu.tensor(data, shape);
    const onDevice = halves.map(({ output, lse }) => ({
      output: upload(output),
      lse: upload({
        ...lse,
        data: lse.data.map((x) => x === -Infinity ? EMPTY_LSE : x),
      }),
    }));
    const merged = await mergeAttention(gpu, onDevice);
    const output = await gpu.readOne(merged.output) as Float32Array;
    const lse = await gpu.readOne(merged.lse) as Float32Array;
    for (const { output, lse } of [...onDevice, merged]) {
      output.destroy();
      lse.destroy();
    }
    assertNear(output, whole.output.data, "output");
    assertNear(lse, whole.lse.data, "lse");
    // What each part is sent back: its weight's share of the output's gradient,
    // and through its log-sum-exp what its weight does to output and lse.
    const names = ["query", "key", "value"] as const;
    const found = [];
    for (const [i, part] of halves.entries()) {
      const back = upstreamOfPart(part, { output, lse }, upstream);
      found.push(await forwardBackward(gpu, parts[i], back));
    }
    for (const name of names) {
      const [a, b] = found.map((gradients) =>
        gradients[name].data as Float32Array
      );
      assertNear(a.map((x, i) => x + b[i]), whole[name].data, name);
    }
  },
);

type Data = ArrayLike<number>;

/** The gradients of one part's output and log-sum-exp through the merge. */
function upstreamOfPart(
  part: { readonly output: { data: Data }; readonly lse: { data: Data } },
  merged: { readonly output: Data; readonly lse: Data },
  upstream: {
    readonly outputGradient: { readonly data: Data };
    readonly lseGradient: { readonly data: Data };
  },
) {
  const width = SHAPE[3];
  const rows = merged.lse.length;
  const outputGradient = new Float32Array(rows * width);
  const lseGradient = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const lse = part.lse.data[row];
    const weight = lse === -Infinity ? 0 : Math.exp(lse - merged.lse[row]);
    let moved = upstream.lseGradient.data[row];
    for (let t = 0; t < width; t++) {
      const at = row * width + t;
      const back = upstream.outputGradient.data[at];
      outputGradient[at] = weight * back;
      moved += back * (part.output.data[at] - merged.output[at]);
    }
    lseGradient[row] = weight * moved;
  }
  return {
    outputGradient: { data: outputGradient, shape: SHAPE },
    lseGradient: { data: lseGradient, shape: SHAPE.slice(0, 3) },
  };
}

/** Within some roundings of the largest element. */
function assertNear(actual: Data, expected: Data, what: string): void {
  assertEquals(actual.length, expected.length);
  let [largest, error] = [0, 0];
  for (let i = 0; i < actual.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]));
    error = Math.max(error, Math.abs(actual[i] - expected[i]));
  }
  assert(error <= 64 * 2 ** -24 * largest, `${what}: ${error} of ${largest}`);
}
