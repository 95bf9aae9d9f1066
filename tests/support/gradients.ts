/**
 * Gradients through the public calls, on tiles that compile fast.
 *
 * @module
 */

import {
  attention,
  attentionBackward,
  type AttentionGradients,
  type AttentionOptions,
  type Gpu,
  type HostTensor,
} from "../../mod.ts";
import { Prng } from "../../src/core/prng.ts";
import type { ScoreGradients } from "../../src/ops/mod.ts";
import { SMALL_BACKWARD_TILES } from "./backward/runner.ts";
import { TILES } from "./attention/runner.ts";

/** A host tensor of normal numbers. */
export function normals(shape: readonly number[], seed: number): HostTensor {
  const random = new Prng(seed);
  const size = shape.reduce((product, length) => product * length, 1);
  return {
    data: Float32Array.from({ length: size }, () => random.normal()),
    shape,
  };
}

/** What a loss sends back, on the host. */
export interface HostUpstream {
  readonly outputGradient: HostTensor;
  readonly lseGradient?: HostTensor;
}

/** A call forward and backward. */
export interface ForwardBackward extends AttentionGradients<HostTensor> {
  readonly output: HostTensor;
  readonly lse: HostTensor;
}

/** Forward and backward of a host query. */
export async function forwardBackward(
  gpu: Gpu,
  options:
    & AttentionOptions
    & ({ readonly query: HostTensor } | { readonly qkv: HostTensor }),
  upstream: HostUpstream,
  { splits = 1, scoreGradients = "auto" }: {
    readonly splits?: number;
    readonly scoreGradients?: ScoreGradients;
  } = {},
): Promise<ForwardBackward> {
  const { output, lse, saved } = await attention(gpu, {
    ...options,
    returnLse: true,
    tiles: TILES.small!,
    forBackward: true,
  });
  using state = saved!;
  const gradients = await attentionBackward(gpu, state, upstream, {
    splits,
    scoreGradients,
    tiles: SMALL_BACKWARD_TILES,
  });
  return { ...gradients, output, lse } as ForwardBackward;
}

/** Rows `from` to `end - 1` of the first dimension, or of the second. */
export function rowsOf(
  { data, shape }: HostTensor,
  [from, end]: readonly [number, number],
  axis: 0 | 1 = 0,
): HostTensor {
  const width = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const outer = axis === 0 ? 1 : shape[0];
  const cut = shape.map((length, i) => i === axis ? end - from : length);
  const out = new Float32Array(outer * (end - from) * width);
  for (let o = 0; o < outer; o++) {
    const start = (o * shape[axis] + from) * width;
    out.set(
      data.subarray(start, start + (end - from) * width),
      o * (end - from) * width,
    );
  }
  return { data: out, shape: cut };
}
