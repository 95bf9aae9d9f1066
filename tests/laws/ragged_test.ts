import { assertEquals } from "@std/assert";
import { attention, type HostTensor } from "../../mod.ts";
import { alibiSlopes } from "../../src/mods/scores.ts";
import { Prng } from "../../src/core/prng.ts";
import {
  alibi,
  and,
  causal,
  documents,
  pickedRows,
  sharedPrefix,
} from "../../src/mods/mod.ts";
import { Packing } from "../../src/ops/mod.ts";
import { gpuTest } from "../support/gpu.ts";
import { runsOf, SEED } from "../support/property.ts";
import {
  assertNear,
  cumulative,
  expectedOf,
  HEADS,
  joined,
  packedOptions,
  type Sequence,
  sequencesOf,
  WIDTHS,
} from "./ragged_support.ts";

const SLOPES = alibiSlopes(HEADS.queryHeads);
const biased = (s: number, _: number, h: number, i: number, j: number) =>
  s - SLOPES[h] * Math.abs(i - j);

/** Lengths of which many are 0 and 1. */
function someLengths(random: Prng, count: number): number[] {
  return Array.from(
    { length: count },
    () => [0, 1, 1 + random.below(9), random.below(140)][random.below(4)],
  );
}

/** The rows of each sequence. */
function split(
  data: ArrayLike<number>,
  lengths: readonly number[],
): number[][] {
  const starts = cumulative(lengths).map((start) => start * WIDTHS.query);
  const all = Array.from(data);
  return lengths.map((_, i) => all.slice(starts[i], starts[i + 1]));
}

const queriesOf = ({ query }: Sequence) => query.length / WIDTHS.query;
const keysOf = ({ key }: Sequence) => key.length / WIDTHS.key;

gpuTest(
  "attention() over empty and one-token sequences is a call for each, bitwise",
  async (_, gpu) => {
    const random = new Prng(SEED);
    for (let run = 0; run < Math.ceil(runsOf(2) / 10); run++) {
      // Queries and keys apart, and every pair of none and one.
      const lengths = [[0, 0], [0, 1], [1, 0], [1, 1], [0, 7], [7, 0]]
        .concat(someLengths(random, 6).map((n) => [n, random.below(90)]))
        .map(([queries, keys]) => [queries, keys] as const);
      const order = lengths.map((_, i) => i)
        .sort((a, b) => (a * 7) % 12 - (b * 7) % 12);
      const sequences = sequencesOf(order.map((i) => lengths[i]), SEED);
      const options = { alibi: true, returnLse: true } as const;
      const packed = packedOptions(sequences);
      const together = await attention(gpu, { ...packed, ...options });
      const rows = split(together.output.data, sequences.map(queriesOf));
      let at = 0;
      for (const [i, sequence] of sequences.entries()) {
        const alone = await attention(gpu, {
          ...packedOptions([sequence]),
          ...options,
        });
        assertEquals(rows[i], [...alone.output.data], `sequence ${i}`);
        const end = at + alone.lse!.data.length;
        assertEquals(together.lse!.data.slice(at, end), alone.lse!.data);
        at = end;
        assertNear(
          rows[i],
          expectedOf(sequence, { score: biased }),
          `sequence ${i} of ${queriesOf(sequence)}, ${keysOf(sequence)}`,
        );
      }
    }
  },
);

gpuTest(
  "attention() packed is attention() padded, whatever the padding holds",
  async (_, gpu) => {
    const random = new Prng(SEED + 1);
    const lengths = [0, 1, ...someLengths(random, 4), 83];
    const length = Math.max(...lengths) + 3;
    const sequences = sequencesOf(lengths.map((n) => [n, n]), SEED);
    const packing = new Packing({ lengths, length });
    const packed = packedOptions(sequences);
    const expected = await attention(gpu, { ...packed, alibi: true });
    for (const poison of [0, NaN, 3e38]) {
      const pad = ({ data, shape }: HostTensor): HostTensor => {
        const padded = packing.unpack({ data: data as Float32Array, shape });
        const width = shape[1] * shape[2];
        packing.tokenOf(0xffffffff).forEach((token, row) => {
          if (token !== 0xffffffff) return;
          padded.data.fill(poison, row * width, (row + 1) * width);
        });
        return padded;
      };
      const { output } = await attention(gpu, {
        query: pad(packed.query),
        key: pad(packed.key),
        value: pad(packed.value),
        keyLengths: lengths,
        // Positions count from the first token, where ends are not aligned.
        queryOffset: 0,
        alibi: true,
      });
      const kept = packing.pack({
        data: output.data as Float32Array,
        shape: output.shape,
      });
      assertEquals(kept.data, expected.output.data, `padded with ${poison}`);
    }
  },
);

gpuTest(
  "attention() gives sequences the same bits wherever they are packed",
  async (_, gpu) => {
    const lengths = [33, 1, 0, 70, 5, 1];
    const sequences = sequencesOf(lengths.map((n) => [n, n]), SEED);
    const order = [3, 0, 5, 2, 4, 1];
    const outputs: number[][][] = [];
    for (const one of [order.map((_, i) => i), order]) {
      const { output } = await attention(gpu, {
        ...packedOptions(one.map((i) => sequences[i])),
        alibi: true,
      });
      outputs.push(split(output.data, one.map((i) => lengths[i])));
    }
    assertEquals(outputs[1], order.map((i) => outputs[0][i]));
  },
);

gpuTest(
  "attention() with ALiBi does not know forwards from backwards",
  async (_, gpu) => {
    const backwards = (data: Float32Array, width: number) =>
      joined(
        Array.from({ length: data.length / width }, (_, i) =>
          data.slice(data.length - (i + 1) * width, data.length - i * width)),
      );
    const sequences = sequencesOf([[41, 41], [1, 1], [97, 97]], SEED);
    const reversed = sequences.map(({ query, key, value }) => ({
      query: backwards(query, WIDTHS.query),
      key: backwards(key, WIDTHS.key),
      value: backwards(value, WIDTHS.key),
    }));
    const { output } = await attention(gpu, {
      ...packedOptions(reversed),
      alibi: true,
    });
    const rows = split(output.data, sequences.map(queriesOf));
    for (const [i, sequence] of sequences.entries()) {
      assertNear(
        backwards(Float32Array.from(rows[i]), WIDTHS.query),
        expectedOf(sequence, { score: biased }),
        `sequence ${i}`,
      );
    }
  },
);

gpuTest(
  "attention() of picked rows is theirs among all rows",
  async (_, gpu) => {
    const random = new Prng(SEED + 2);
    const lengths = [37, 1, 0, 64, 150];
    const sequences = sequencesOf(lengths.map((n) => [n, n]), SEED);
    const picks = lengths.map((n) =>
      Array.from({ length: n }, (_, i) => i)
        .filter((i) => n < 3 || random.below(4) === 0 || i === n - 1)
    );
    const all = packedOptions(sequences);
    const cuSeqlens = cumulative(picks.map(({ length }) => length));
    const rows = joined(
      picks.flatMap((pick, i) =>
        pick.map((at) =>
          sequences[i].query.slice(at * WIDTHS.query, (at + 1) * WIDTHS.query)
        )
      ),
    );
    const picked = { positions: picks.flat(), cuSeqlens };
    const mods = {
      bidirectional: { score: biased, options: {} },
      causal: {
        score: biased,
        mask: (_b: number, _h: number, i: number, j: number) => j <= i,
        options: { maskMod: pickedRows(causal(), picked) },
      },
    };
    for (const [name, { options, ...meaning }] of Object.entries(mods)) {
      const { output } = await attention(gpu, {
        ...all,
        query: {
          data: rows,
          shape: [cuSeqlens.at(-1)!, HEADS.queryHeads, HEADS.headDim],
        },
        cuSeqlens,
        scoreMod: pickedRows(alibi(SLOPES), picked),
        ...options,
      });
      const found = split(output.data, picks.map(({ length }) => length));
      for (const [i, sequence] of sequences.entries()) {
        const whole = expectedOf(sequence, meaning);
        const expected = picks[i].flatMap((at) => [
          ...whole.output.subarray(at * WIDTHS.query, (at + 1) * WIDTHS.query),
        ]);
        assertNear(
          found[i],
          { ...whole, output: Float64Array.from(expected) },
          `${name}, sequence ${i}`,
        );
      }
    }
  },
);

/** One row of tokens, as a batch of one. */
function oneRow(sequences: readonly Sequence[]) {
  const { query, key, value } = packedOptions(sequences);
  const batched = ({ data, shape }: HostTensor): HostTensor => ({
    data,
    shape: [1, ...shape],
  });
  return { query: batched(query), key: batched(key), value: batched(value) };
}

gpuTest(
  "attention() of one packed row by documents() is that by cuSeqlens",
  async (_, gpu) => {
    const lengths = [19, 0, 1, 66, 40];
    const sequences = sequencesOf(lengths.map((n) => [n, n]), SEED);
    const bounds = cumulative(lengths);
    const { output } = await attention(gpu, {
      ...oneRow(sequences),
      maskMod: and(documents(bounds), causal()),
    });
    const rows = split(output.data, lengths);
    for (const [i, sequence] of sequences.entries()) {
      const mask = (_b: number, _h: number, q: number, k: number) => k <= q;
      assertNear(rows[i], expectedOf(sequence, { mask }), `document ${i}`);
    }
  },
);

gpuTest(
  "attention() of a prompt packed once is that of each continuation",
  async (_, gpu) => {
    // Two prompts, the one continued twice, the other once.
    const lengths = [45, 18, 1, 30, 77];
    const prefixOf = [0, 0, 0, 3, 3];
    const sequences = sequencesOf(lengths.map((n) => [n, n]), SEED);
    const { output } = await attention(gpu, {
      ...oneRow(sequences),
      maskMod: sharedPrefix({ cuSeqlens: cumulative(lengths), prefixOf }),
    });
    const rows = split(output.data, lengths);
    const mask = (_b: number, _h: number, q: number, k: number) => k <= q;
    for (const [i, sequence] of sequences.entries()) {
      const prompt = sequences[prefixOf[i]];
      const whole = prefixOf[i] === i ? sequence : {
        query: sequence.query,
        key: joined([prompt.key, sequence.key]),
        value: joined([prompt.value, sequence.value]),
      };
      assertNear(rows[i], expectedOf(whole, { mask }), `continuation ${i}`);
    }
  },
);
