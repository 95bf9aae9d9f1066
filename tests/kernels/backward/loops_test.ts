// deno-lint-ignore-file camelcase -- bindings have the names of WGSL
/**
 * Backward's kernels take no more iterations of loops than their work is cut to,
 * on devices that end loops silently.
 *
 * @module
 */

import { assert, assertGreater } from "@std/assert";
import {
  alibi,
  type AttentionOptions,
  attentionProblem,
  type GpuTensor,
  maskMod,
} from "../../../mod.ts";
import type { Gpu } from "../../../src/gpu/mod.ts";
import type { AnyTensor } from "../../../src/ops/mod.ts";
import { backwardParts } from "../../../src/ops/attention_backward/parts.ts";
import { gpuTest } from "../../support/gpu.ts";
import { countsOfParts } from "../../support/loop_counts.ts";

/** What may lengthen a kernel's steps. */
interface Counted {
  readonly dims: readonly [headDim: number, valueHeadDim: number];
  readonly queries: number;
  readonly keys: number;
  /** Keys that are hidden, some with NaN. */
  readonly hidden?: true;
  readonly dropout?: true;
  /** Score mods, and the gradient of what they capture. */
  readonly slopes?: true;
}

const COUNTED: readonly Counted[] = [
  { dims: [4, 4], queries: 70, keys: 90 },
  { dims: [4, 4], queries: 70, keys: 90, hidden: true, dropout: true },
  { dims: [4, 8], queries: 70, keys: 90, dropout: true, slopes: true },
  { dims: [64, 4], queries: 40, keys: 50, hidden: true, slopes: true },
];

const TILES = {
  lanes: 8,
  rowsPerLane: 1,
  keysPerLane: 1,
  keys: 4,
  rows: 4,
  modStep: 4,
};

const SLOPES = Float32Array.of(0.25);

function optionsOf<T extends AnyTensor>(
  { dims: [headDim, valueHeadDim], queries, keys, ...counted }: Counted,
  tensor: (shape: number[], hidden?: boolean) => T,
): AttentionOptions<T> {
  return {
    query: tensor([1, queries, 1, headDim], counted.hidden),
    key: tensor([1, keys, 1, headDim], counted.hidden),
    value: tensor([1, keys, 1, valueHeadDim], counted.hidden),
    ...(counted.hidden && {
      maskMod: maskMod("odd", ({ query, key }) => query.add(key).rem(2).eq(1)),
    }),
    ...(counted.dropout && { dropout: { rate: 0.5, seed: 1 } }),
    ...(counted.slopes && { scoreMod: alibi(SLOPES) }),
  };
}

function partsOf(
  { limits, features, software }: Gpu,
  options: AttentionOptions<AnyTensor>,
  maxLoopIterations: number,
  scoreGradients: "stored" | "recomputed" = "recomputed",
) {
  const device = { software, features, limits, maxLoopIterations };
  const captureGradients = options.scoreMod ? [SLOPES] : [];
  const problem = attentionProblem(options);
  const backward = { problem, lseGradient: false, captureGradients };
  return backwardParts(backward, device, { tiles: TILES, scoreGradients })
    .parts;
}

/** The least limit with which gradients of scores are still stored. */
function leastStored(gpu: Gpu, options: AttentionOptions<AnyTensor>): number {
  const stored = (most: number) => {
    try {
      return partsOf(gpu, options, most, "stored") !== undefined;
    } catch (error) {
      if (error instanceof RangeError) return false;
      throw error;
    }
  };
  let [no, yes] = [0, 2 ** 20];
  while (yes - no > 1) {
    const middle = (no + yes) >> 1;
    if (stored(middle)) yes = middle;
    else no = middle;
  }
  assert(stored(yes));
  return yes;
}

/** Fails if a kernel that stores or reads them takes more iterations. */
async function assertWithin(
  gpu: Gpu,
  most: number,
  { options, tensors }: {
    readonly options: AttentionOptions<AnyTensor>;
    readonly tensors: Readonly<Record<string, GpuTensor>>;
  },
): Promise<void> {
  const parts = partsOf(gpu, options, most, "stored");
  const counts = await countsOfParts(gpu, parts, tensors);
  const own = counts.filter(({ kernel }) => STORED.test(kernel));
  assertGreater(own.length, 2);
  for (const count of own) {
    const message = JSON.stringify({ most, count });
    assertGreater(count.iterations, 0, message);
    assert(count.iterations <= most, message);
  }
}

const STORED = /^attention\.backward\.(value|product\.(key|query))\//;

/** The kernels whose work is cut. */
const CUT = /^attention\.backward\.(query|key_value|capture_\d)\//;

gpuTest(
  "backward's kernels take no more iterations than work is cut to",
  async (_, gpu) => {
    for (const counted of COUNTED) {
      const made: GpuTensor[] = [];
      const tensor = (shape: number[], hidden = false) => {
        const width = shape[3];
        const data = Float32Array.from(
          { length: shape[1] * width },
          (_, n) => hidden && n % (5 * width) === 0 ? NaN : n % 5 / 8,
        );
        made.push(gpu.tensor(data, shape));
        return made.at(-1)!;
      };
      try {
        const options = optionsOf(counted, tensor);
        const { query, key, value } = options as Record<string, GpuTensor>;
        const rows = (width: number) => tensor([1, counted.queries, 1, width]);
        const tensors = {
          query,
          key,
          value,
          output: rows(counted.dims[1]),
          output_gradient: rows(counted.dims[1]),
          lse: rows(1),
          query_gradient: rows(counted.dims[0]),
          key_gradient: tensor([1, counted.keys, 1, counted.dims[0]]),
          value_gradient: tensor([1, counted.keys, 1, counted.dims[1]]),
          capture_gradient_0: tensor([1, 1, 1, 1]),
        };
        await assertWithin(gpu, leastStored(gpu, options), {
          options,
          tensors,
        });
        const whole = partsOf(gpu, options, Infinity);
        // The most that cuts every kernel's tiles into parts.
        let most = 2 ** 20;
        const isCut = () => {
          const cut = partsOf(gpu, options, most);
          const groups = (parts: typeof cut) =>
            parts.dispatches.filter(({ source }) => CUT.test(source.label))
              .map(({ grid: [x, y, z] }) => x * y * z);
          return groups(cut).every((n, i) => n > groups(whole)[i]);
        };
        while (!isCut()) most /= 2;
        const counts = await countsOfParts(
          gpu,
          partsOf(gpu, options, most),
          tensors,
        );
        const own = counts.filter(({ kernel }) => CUT.test(kernel));
        assertGreater(own.length, 1);
        for (const count of own) {
          const message = JSON.stringify({ counted, most, count });
          assertGreater(count.iterations, 0, message);
          assert(count.iterations <= most, message);
        }
      } finally {
        for (const one of made) one.destroy();
      }
    }
  },
);
