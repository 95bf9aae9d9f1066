/**
 * What reading through a block table costs a kernel: a paged cache against a
 * contiguous one, by block size. Times, so only reported.
 *
 * @module
 */

import { ContiguousCache } from "../../src/kv/mod.ts";
import { type Gpu, timingUnsupported } from "../../src/gpu/mod.ts";
import {
  type AttentionOptions,
  planAttention,
  type TensorShape,
} from "../../src/ops/mod.ts";
import { type Contestant, timeInTurns } from "../../bench/support/gpu_time.ts";
import { normals } from "../../bench/support/inputs.ts";
import { median } from "../../bench/support/statistics.ts";
import { shuffledCache } from "../../bench/support/shuffled_cache.ts";
import { colours, doublings, numbers, PANEL, panels } from "../axes.ts";
import type { Report, Timing } from "../experiment.ts";

const BLOCK_SIZES: readonly number[] = [1, 4, 8, 16, 32, 64, 128];
const HEADS = 8;
const KV_HEADS = 8;
const HEAD_DIM = 64;
const REPEATS = 7;

/** What is computed: one query over many keys, or a causal square. */
const SHAPES = {
  decode: { queries: 1, keys: 4096 },
  prefill: { queries: 256, keys: 256 },
} as const;

/** One row of times. */
interface PagingTime {
  readonly kind: keyof typeof SHAPES;
  readonly blockSize: number;
  readonly pagedMs: number;
  readonly contiguousMs: number;
  readonly ratio: number;
}

interface Loaded {
  readonly contestants: readonly Contestant[];
  destroy(): void;
}

async function load(
  gpu: Gpu,
  { queries, keys }: { queries: number; keys: number },
): Promise<Loaded> {
  const owned: { destroy(): void }[] = [];
  const own = <T extends { destroy(): void }>(made: T): T => {
    owned.push(made);
    return made;
  };
  const upload = (rows: number, heads: number, seed: number) => {
    const shape = [1, rows, heads, HEAD_DIM];
    const values = normals("f32", rows * heads * HEAD_DIM, seed);
    return own(gpu.tensor(values, shape, "repro"));
  };
  const query = upload(queries, HEADS, 1);
  const key = upload(keys, KV_HEADS, 2);
  const value = upload(keys, KV_HEADS, 3);
  const output = own(gpu.empty("f32", query.shape, "repro"));
  const shape = ({ shape }: { shape: readonly number[] }): TensorShape => ({
    dtype: "f32",
    shape,
  });
  const plan = async (options: Partial<AttentionOptions<TensorShape>>) =>
    own(
      await planAttention(gpu, {
        query: shape(query),
        causal: queries > 1,
        ...options,
      } as AttentionOptions<TensorShape>),
    );
  const sizes = (blockSize: number) => ({
    numBlocks: Math.ceil(keys / blockSize) + 1,
    blockSize,
    kvHeads: KV_HEADS,
    headDim: HEAD_DIM,
    dtype: "f32" as const,
  });
  const contiguous = own(await ContiguousCache.create(gpu, sizes(16)));
  const extent = contiguous.createSequence();
  contiguous.append([{ sequence: extent, count: keys }], { key, value });
  const contestants: Contestant[] = [{
    plan: await plan({ cache: contiguous, sequences: [extent] }),
    tensors: { query, arenas: contiguous.arenas(), output },
  }];
  for (const blockSize of BLOCK_SIZES) {
    const cache = own(await shuffledCache(gpu, sizes(blockSize)));
    const sequence = cache.createSequence();
    cache.append([{ sequence, count: keys }], { key, value });
    contestants.push({
      plan: await plan({ cache, sequences: [sequence] }),
      tensors: { query, arenas: cache.arenas(), output },
    });
  }
  return {
    contestants,
    destroy: () => owned.reverse().forEach((made) => made.destroy()),
  };
}

async function timeShape(
  gpu: Gpu,
  kind: keyof typeof SHAPES,
): Promise<PagingTime[]> {
  const loaded = await load(gpu, SHAPES[kind]);
  try {
    const times = await timeInTurns(gpu, loaded.contestants, REPEATS);
    const [contiguous, ...paged] = times;
    return paged.map((own, i) => ({
      kind,
      blockSize: BLOCK_SIZES[i],
      pagedMs: median(own),
      contiguousMs: median(contiguous),
      ratio: median(own.map((ms, round) => ms / contiguous[round])),
    }));
  } finally {
    loaded.destroy();
  }
}

/** Paged and contiguous attention in turns on a device. */
export const pagingTimes: Timing = { name: "paging", time: timePaging };

async function timePaging(gpu: Gpu): Promise<Report> {
  const rows = [
    ...await timeShape(gpu, "decode"),
    ...await timeShape(gpu, "prefill"),
  ];
  const { decode, prefill } = SHAPES;
  return {
    title: "Time of paged over contiguous attention, by block size",
    paper: "paged FlexAttention costs less than 1 % at blocks of 16 to 256; " +
      "paged prefill up to 37-42 % slower than contiguous (vAttention); " +
      "vLLM's kernel 20-26 % slower than a contiguous one",
    setting: [
      `On ${gpu.info.description}: decode of 1 query over ${decode.keys} keys, ` +
      `causal prefill of ${prefill.keys} tokens; ${HEADS} heads, head dim ` +
      `${HEAD_DIM}, float32; blocks in no order. Median of ${REPEATS} rounds ` +
      "in which all take turns; the ratio is of each round.",
      timingUnsupported(gpu) ?? "By the device's clock.",
      ...(gpu.software
        ? ["A software adapter: its times say nothing of GPUs."]
        : []),
    ],
    tables: [{
      title: "Milliseconds",
      columns: ["kind", "tokens a block", "paged", "contiguous", "ratio"],
      rows: rows.map(({ kind, blockSize, pagedMs, contiguousMs, ratio }) => [
        kind,
        blockSize,
        pagedMs.toFixed(3),
        contiguousMs.toFixed(3),
        ratio.toFixed(3),
      ]),
    }],
    checks: [],
    data: rows,
    chart: panels({
      title: "Time of paged over contiguous attention",
      subtitle: "1 is as fast",
      marks: {
        ...PANEL,
        data: { values: rows },
        mark: { type: "line", point: true },
        encoding: {
          x: doublings("blockSize", "tokens of a block", BLOCK_SIZES),
          y: numbers("ratio", null),
          color: colours("kind", Object.keys(SHAPES)),
        },
      },
    }),
  };
}
