/**
 * A padded batch of texts through a small encoder (`deno task example:encode`).
 * It is packed once, before the embeddings, and unpacked once, at the end; no
 * layer computes anything for padding.
 *
 * @module
 */

import { attention, type Gpu, type HostTensor } from "../mod.ts";
import { alibi, alibiSlopes, pickedRows } from "../src/mods/mod.ts";
import { Packing } from "../src/ops/mod.ts";
import type { EncoderAttend, TinyEncoder } from "./tiny_encoder.ts";

/** Attention on the device over packed sequences. */
export function attendPacked(
  gpu: Gpu,
  { sizes: { heads, headDim } }: TinyEncoder,
  cuSeqlens: Uint32Array,
): EncoderAttend {
  const tensor = (data: Float32Array): HostTensor => ({
    data,
    shape: [data.length / heads / headDim, heads, headDim],
  });
  return async ({ query, key, value }, picked) => {
    const tensors = {
      query: tensor(query),
      key: tensor(key),
      value: tensor(value),
    };
    const { output } = picked === undefined
      ? await attention(gpu, { ...tensors, cuSeqlens, alibi: true })
      : await attention(gpu, {
        ...tensors,
        ...pickedQueries(picked, cuSeqlens, heads),
      });
    return output.data as Float32Array;
  };
}

/** Queries that are only some tokens: each biased by where it stands. */
function pickedQueries(
  picked: readonly number[],
  cuSeqlensKey: Uint32Array,
  heads: number,
) {
  const cuSeqlens = Uint32Array.from(
    cuSeqlensKey,
    (start) => picked.filter((token) => token < start).length,
  );
  const positions = picked.map((token) =>
    token - cuSeqlensKey.findLast((start) => start <= token)!
  );
  return {
    cuSeqlens,
    cuSeqlensKey,
    scoreMod: pickedRows(alibi(alibiSlopes(heads)), { positions, cuSeqlens }),
  };
}

/** A padded batch of tokens. */
export interface EncoderBatch {
  /** `[batch, length]`; what stands in the padding does not matter. */
  readonly tokens: Uint32Array;
  /** Nonzero where there is a token, `[batch, length]`. */
  readonly mask: Uint8Array;
  /** `[batch, length]`. */
  readonly shape: readonly [batch: number, length: number];
}

/** Encodes a padded batch: `[batch, length, width]`, zeros in the padding. */
export async function encodePadded(
  gpu: Gpu,
  encoder: TinyEncoder,
  { tokens, mask, shape }: EncoderBatch,
): Promise<Float32Array> {
  const packing = new Packing({ mask, shape });
  const packed = packing.pack({ data: tokens, shape });
  const attend = attendPacked(gpu, encoder, packing.cuSeqlens);
  const data = await encoder.encode(packed.data, attend);
  return packing.unpack({ data, shape: [packing.tokens, encoder.width] }).data;
}
