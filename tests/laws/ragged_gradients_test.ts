import { assert, assertEquals } from "@std/assert";
import {
  attention,
  attentionBackward,
  type Gpu,
  type GpuTensor,
  type HostTensor,
} from "../../mod.ts";
import { alibi, alibiSlopes, pickedRows } from "../../src/mods/mod.ts";
import { pack, Packing, unpack } from "../../src/ops/mod.ts";
import {
  attentionBackward as oracle,
  GRADIENT_GATES,
  gradientBound,
} from "../../reference/mod.ts";
import { gpuTest } from "../support/gpu.ts";
import {
  HEADS,
  joined,
  packedOptions,
  type Sequence,
  sequencesOf,
  WIDTHS,
} from "./ragged_support.ts";

const LENGTHS = [0, 1, 37, 1, 0, 70, 5] as const;
const SEED = 11;
const SLOPES = alibiSlopes(HEADS.queryHeads);
const GRADIENTS = ["query", "key", "value"] as const;
const WIDTH_OF = { query: WIDTHS.query, key: WIDTHS.key, value: WIDTHS.key };

/** Sequences, and what the loss sends back to each. */
function inputs(lengths: readonly (readonly [number, number])[]) {
  const sequences = sequencesOf(lengths, SEED);
  const upstream = sequencesOf(lengths, SEED + 1).map(({ query }) => query);
  return { sequences, upstream };
}

/** Gradients of packed sequences, each tensor's. */
async function packedGradients(
  gpu: Gpu,
  sequences: readonly Sequence[],
  upstream: readonly Float32Array[],
) {
  const options = packedOptions(sequences);
  const { saved, output } = await attention(gpu, {
    ...options,
    alibi: true,
    forBackward: true,
  });
  using state = saved!;
  return await attentionBackward(gpu, state, {
    outputGradient: { data: joined(upstream), shape: output.shape },
  });
}

/** One sequence's gradients in float64, and how far off kernels may be. */
function exactGradients(
  sequence: Sequence,
  outputGradient: ArrayLike<number>,
) {
  const problem = {
    ...sequence,
    batch: 1,
    queryLength: sequence.query.length / WIDTHS.query,
    keyLength: sequence.key.length / WIDTHS.key,
    ...HEADS,
    score: (s: number, _: number, h: number, q: number, k: number) =>
      s - SLOPES[h] * Math.abs(q - k),
    scoreDerivative: () => 1,
    outputGradient,
  };
  const bound = gradientBound(problem, {
    rows: 8,
    keys: 8,
    gate: GRADIENT_GATES.wgsl,
  });
  return { exact: oracle(problem), bound };
}

gpuTest(
  "gradients of packed sequences are those of each alone, bitwise",
  async (_, gpu) => {
    // Queries and keys apart, none and one of either among them.
    const lengths = [[0, 0], [0, 4], [4, 0], [1, 1], [1, 9], [9, 1], [40, 67]]
      .map(([queries, keys]) => [queries, keys] as const);
    const { sequences, upstream } = inputs(lengths);
    const together = await packedGradients(gpu, sequences, upstream);
    const at = { query: 0, key: 0, value: 0 };
    for (const [i, sequence] of sequences.entries()) {
      const alone = await packedGradients(gpu, [sequence], [upstream[i]]);
      const { exact, bound } = exactGradients(sequence, upstream[i]);
      for (const name of GRADIENTS) {
        const end = at[name] + alone[name].data.length;
        assertEquals(
          together[name].data.slice(at[name], end),
          alone[name].data,
          `${name} of sequence ${i}`,
        );
        at[name] = end;
        exact[`${name}Gradient`].forEach((expected, j) =>
          assert(
            Math.abs(alone[name].data[j] - expected) <=
              bound[`${name}Gradient`],
            `${name} of sequence ${i} at ${j}`,
          )
        );
      }
    }
  },
);

gpuTest(
  "gradients of a padded batch are the packed ones, unpacked, bitwise",
  async (_, gpu) => {
    const { sequences, upstream } = inputs(LENGTHS.map((n) => [n, n] as const));
    const packed = packedOptions(sequences);
    const expected = await packedGradients(gpu, sequences, upstream);
    const packing = new Packing({ lengths: LENGTHS, length: 73 });
    const poisoned = ({ data, shape }: HostTensor, poison: number) => {
      const padded = packing.unpack({ data: data as Float32Array, shape });
      const width = shape[1] * shape[2];
      packing.tokenOf(0xffffffff).forEach((token, row) => {
        if (token === 0xffffffff) {
          padded.data.fill(poison, row * width, (row + 1) * width);
        }
      });
      return padded;
    };
    for (const poison of [0, 1000]) {
      const { saved } = await attention(gpu, {
        query: poisoned(packed.query, poison),
        key: poisoned(packed.key, poison),
        value: poisoned(packed.value, poison),
        keyLengths: LENGTHS,
        queryOffset: 0,
        alibi: true,
        forBackward: true,
      });
      using state = saved!;
      const gradients = await attentionBackward(gpu, state, {
        // A loss of packed tokens sends nothing back to the padding.
        outputGradient: packing.unpack({
          data: joined(upstream),
          shape: packed.query.shape,
        }),
      });
      for (const name of GRADIENTS) {
        const { data, shape } = expected[name];
        assertEquals(
          gradients[name],
          packing.unpack({ data: data as Float32Array, shape }),
          `${name}, padded with ${poison}`,
        );
      }
    }
  },
);

gpuTest(
  "gradients through pack(), attention() and unpack() go back by the other two",
  async (_, gpu) => {
    const { sequences, upstream } = inputs(LENGTHS.map((n) => [n, n] as const));
    const host = packedOptions(sequences);
    const expected = await packedGradients(gpu, sequences, upstream);
    const packing = new Packing({ lengths: LENGTHS, length: 73 });
    const owned: GpuTensor[] = [];
    const own = (tensor: GpuTensor) => (owned.push(tensor), tensor);
    const padded = (tensor: HostTensor) => {
      const { data, shape } = packing.unpack({
        data: tensor.data as Float32Array,
        shape: tensor.shape,
      });
      return own(gpu.tensor(data, shape));
    };
    // Forwards: pad -> pack -> attention -> unpack.
    const [query, key, value] = [
      own(await pack(gpu, padded(host.query), packing)),
      own(await pack(gpu, padded(host.key), packing)),
      own(await pack(gpu, padded(host.value), packing)),
    ];
    const { output, saved } = await attention(gpu, {
      query,
      key,
      value,
      cuSeqlens: packing.cuSeqlens,
      alibi: true,
      forBackward: true,
    });
    own(output);
    using state = saved!;
    // Backwards: unpack's gradient is pack, and pack's is unpack.
    const sent = padded({
      data: joined(upstream),
      shape: host.query.shape,
    });
    const outputGradient = own(await pack(gpu, sent, packing));
    const gradients = await attentionBackward(gpu, state, { outputGradient });
    for (const name of GRADIENTS) {
      own(gradients[name]);
      const back = own(await unpack(gpu, gradients[name], packing));
      assertEquals(back.shape, padded(host[name]).shape);
      const { data, shape } = expected[name];
      assertEquals(
        await gpu.readOne(back),
        packing.unpack({ data: data as Float32Array, shape }).data,
        name,
      );
      assertEquals(data.length, packing.tokens * WIDTH_OF[name]);
    }
    for (const tensor of owned) tensor.destroy();
  },
);

gpuTest(
  "gradients of picked rows are those of a loss of these rows",
  async (_, gpu) => {
    const lengths = [37, 1, 64];
    const picks = [[0, 5, 36], [0], [7, 8, 30, 63]];
    const { sequences, upstream } = inputs(lengths.map((n) => [n, n] as const));
    const { key, value, cuSeqlensKey } = packedOptions(sequences);
    const rowOf = (rows: Float32Array, at: number) =>
      rows.slice(at * WIDTHS.query, (at + 1) * WIDTHS.query);
    const pickedOf = (all: readonly Float32Array[]) =>
      joined(picks.flatMap((pick, i) => pick.map((at) => rowOf(all[i], at))));
    const cuSeqlens = [0, 3, 4, 8];
    const shape = [8, HEADS.queryHeads, HEADS.headDim];
    const { saved } = await attention(gpu, {
      query: { data: pickedOf(sequences.map(({ query }) => query)), shape },
      key,
      value,
      cuSeqlens,
      cuSeqlensKey,
      scoreMod: pickedRows(alibi(SLOPES), {
        positions: picks.flat(),
        cuSeqlens,
      }),
      forBackward: true,
    });
    using state = saved!;
    const gradients = await attentionBackward(gpu, state, {
      outputGradient: { data: pickedOf(upstream), shape },
    });
    let at = 0;
    for (const [i, sequence] of sequences.entries()) {
      const sent = new Float32Array(sequence.query.length);
      for (const row of picks[i]) {
        sent.set(rowOf(upstream[i], row), row * WIDTHS.query);
      }
      const { exact, bound } = exactGradients(sequence, sent);
      const near = (
        name: typeof GRADIENTS[number],
        start: number,
        expected: Float64Array,
      ) =>
        expected.forEach((value, j) =>
          assert(
            Math.abs(gradients[name].data[start + j] - value) <=
              bound[`${name}Gradient`],
            `${name} of sequence ${i} at ${j}`,
          )
        );
      picks[i].forEach((row, j) =>
        near(
          "query",
          (cuSeqlens[i] + j) * WIDTHS.query,
          exact.queryGradient.slice(
            row * WIDTHS.query,
            (row + 1) * WIDTHS.query,
          ),
        )
      );
      near("key", at, exact.keyGradient);
      near("value", at, exact.valueGradient);
      at += sequence.key.length;
    }
  },
);
