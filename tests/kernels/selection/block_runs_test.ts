/** The run lists that the device writes, against brute force. */

import { assert, assertEquals } from "@std/assert";
import {
  KEY_RUN,
  RUN_LIST,
  SELECTED_TILE,
  SEQUENCE,
} from "../../../kernels/fragments/schedule.ts";
import { type MaskMod, maskMod } from "../../../src/mods/mod.ts";
import { Prng } from "../../../src/core/prng.ts";
import { type Gpu, type GpuTensor, Program } from "../../../src/gpu/mod.ts";
import {
  type AttentionOptions,
  type AttentionProblem,
  attentionProblem,
  DeviceBlockMask,
  type PlanChoices,
  type TensorShape,
} from "../../../src/ops/mod.ts";
import { backwardParts } from "../../../src/ops/attention_backward/parts.ts";
import { SOFTWARE_TILES } from "../../../src/ops/attention/variants/tiles.ts";
import {
  readRecord,
  type ReadRun,
} from "../../ops/attention/work/schedule_reader.ts";
import { partsFor } from "../../support/attention/parts.ts";
import { gpuTest } from "../../support/gpu.ts";
import { SEED } from "../../support/property.ts";

interface Case {
  readonly queries: number;
  readonly keys: number;
  readonly batch: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly queryBlock: number;
  readonly keyBlock: number;
  readonly maskBatch: number;
  readonly maskHeads: number;
  readonly density: number;
  readonly causal: boolean;
  readonly splits: number | "fixed" | "stream-k";
  readonly lanes: number;
  readonly byPosition: boolean;
  /** What runs are of: keys, or packed query rows as in backward. */
  readonly along: "key" | "row";
  /** Keys that nobody sees, from one on and before another. */
  readonly gap?: readonly [from: number, to: number];
}

function draw(random: Prng): Case {
  const pick = <T>(...items: T[]): T => items[random.below(items.length)];
  const [queryHeads, kvHeads] = pick([1, 1], [4, 2], [6, 2], [12, 6]);
  const batch = pick(1, 2);
  const keys = pick(1, 31, 64, 200, 700, 1500);
  return {
    queries: pick(1, 2, 5, 40, 130),
    keys,
    batch,
    queryHeads,
    kvHeads,
    queryBlock: pick(1, 3, 16, 64, 200),
    keyBlock: pick(1, 3, 8, 20, 24, 44, 64, 2000),
    maskBatch: pick(1, batch),
    maskHeads: pick(1, kvHeads, queryHeads, queryHeads === 12 ? 4 : 1),
    density: pick(0, 0.1, 0.5, 0.9, 1),
    causal: random.below(2) === 0,
    splits: pick<Case["splits"]>("fixed", 3, "stream-k"),
    lanes: pick(8, 16, 64),
    byPosition: random.below(3) === 0,
    along: pick("key", "row"),
  };
}

/** Small tiles, so that there are many and chunks of steps are several. */
function choicesOf({ lanes, splits }: Case): PlanChoices {
  const { forward, decode, partition } = SOFTWARE_TILES;
  return {
    splits,
    workers: 5,
    tiles: {
      forward: { ...forward, lanes, rowsPerLane: 1, keys: 8, modKeys: 8 },
      decode: { ...decode, lanes: 8, keysPerLane: 4 },
      partition: { ...partition, splitKeys: 320 },
    },
  };
}

/** All keys but those of a gap. */
function outside(from: number, to: number): MaskMod {
  return maskMod("outside", ({ key }) => key.lt(from).or(key.ge(to)));
}

async function prepare(gpu: Gpu, c: Case, seed: number) {
  const { queries, keys, queryBlock, keyBlock, batch } = c;
  const mask = await DeviceBlockMask.create(gpu, {
    queries,
    keys,
    queryBlock,
    keyBlock,
    batch: c.maskBatch,
    heads: c.maskHeads,
    ...(c.byPosition && { queryOffset: keys - queries }),
  });
  const random = new Prng(seed);
  const { queryBlocks, keyBlocks } = mask.grid;
  const blocks = Uint32Array.from(
    { length: c.maskBatch * c.maskHeads * queryBlocks * keyBlocks },
    () => random.uniform() < c.density ? 1 + random.below(2 ** 31) : 0,
  );
  const shape = (length: number, heads: number) =>
    ({ dtype: "f32", shape: [batch, length, heads, 8] }) as const;
  const options: AttentionOptions<TensorShape> = {
    query: shape(queries, c.queryHeads),
    key: shape(keys, c.kvHeads),
    value: shape(keys, c.kvHeads),
    causal: c.causal,
    ...(c.gap && { maskMod: outside(...c.gap) }),
    blockMask: mask,
  };
  const { dispatches, words, copies, scheduleName } = partsOf(
    gpu,
    c,
    attentionProblem(options),
  );
  const selecting = dispatches.filter(({ source }) =>
    source.label === `selection.block_runs/u32.${c.along}`
  );
  assertEquals(selecting.length, 1);
  const program = await Program.create(gpu, "test", {
    dispatches: selecting.map(({ aliases: _, ...rest }) => rest),
    words: { schedule: words![scheduleName] },
  });
  // The bits follow the lists.
  const [{ from, at: end }] = copies!;
  assertEquals(from, "blocks");
  const selection = gpu.tensor(
    new Uint32Array(end / 4).fill(0xffffffff),
    [end / 4],
  );
  const scores = gpu.tensor(blocks, [blocks.length]);
  const destroy = () => {
    for (const it of [mask, program, selection, scores]) it.destroy();
  };
  const encode = (encoder: GPUCommandEncoder) => {
    mask.encode(encoder, scores);
    program.encode(encoder, { blocks: mask.bits, selection });
  };
  const [{ uniforms, grid }] = selecting;
  const schedule = words![scheduleName];
  return { mask, blocks, selection, uniforms, grid, schedule, encode, destroy };
}

/** What selects: for forward, or for backward's pass along keys. */
function partsOf(gpu: Gpu, c: Case, problem: AttentionProblem) {
  if (c.along === "key") {
    const { parts } = partsFor(problem, gpu, choicesOf(c));
    return { ...parts, scheduleName: "schedule" };
  }
  const tiles = {
    lanes: c.lanes,
    rowsPerLane: 1,
    keysPerLane: 1,
    keys: 8,
    rows: 8,
    modStep: 8,
  };
  const splits = typeof c.splits === "number" ? c.splits : 1;
  const { parts } = backwardParts(
    { problem: { ...problem, lse: true }, lseGradient: false },
    gpu,
    { tiles, splits },
  );
  const copies = parts.copies!.filter(({ to }) => to === "key_selection");
  return { ...parts, copies, scheduleName: "key_schedule" };
}

type Prepared = Awaited<ReturnType<typeof prepare>>;

/** 0 not visited, 1 masked, 2 full: of every step of runs. */
function kindsOf(runs: readonly ReadRun[], step: number): Map<number, number> {
  const kinds = new Map<number, number>();
  for (const [first, end, full] of runs) {
    for (let key = first; key < end; key += step) kinds.set(key, 1 + full);
  }
  return kinds;
}

function check(c: Case, given: Prepared, selection: Uint32Array): void {
  const { uniforms, schedule, mask } = given;
  const { step, tile_rows: tileRows, sequences_at: sequencesAt } = uniforms;
  const group = c.queryHeads / c.kvHeads;
  const { queryBlocks, keyBlocks } = mask.grid;
  const selected = (b: number, h: number, query: number, key: number) => {
    const head = Math.floor(h * c.maskHeads / c.queryHeads);
    const plane = (c.maskBatch === 1 ? 0 : b) * c.maskHeads + head;
    const row = plane * queryBlocks + Math.floor(query / c.queryBlock);
    return given.blocks[row * keyBlocks + Math.floor(key / c.keyBlock)] !== 0;
  };
  const runsAt = (words: Uint32Array, at: number): ReadRun[] => {
    const list = readRecord(RUN_LIST, words, at);
    return Array.from({ length: list.count }, (_, r) => {
      const where = list.runs_at + r * KEY_RUN.words;
      const run = readRecord(KEY_RUN, words, where);
      return [run.first_key, run.end_key, run.full];
    });
  };
  let free = 0;
  for (let i = 0; i < uniforms.group_count; i++) {
    const at = uniforms.tiles_at + i * SELECTED_TILE.words;
    const tile = readRecord(SELECTED_TILE, schedule, at);
    const sequence = readRecord(
      SEQUENCE,
      schedule,
      sequencesAt + tile.sequence * SEQUENCE.words,
    );
    assertEquals(tile.selected_at, free, "room is given out in order");
    free += given.grid[1] * tile.selected_stride;
    for (let y = 0; y < given.grid[1]; y++) {
      const kvHead = tile.kv_head + y;
      const before = runsAt(
        schedule,
        tile.runs_at + RUN_LIST.words * kvHead * uniforms.runs_per_head,
      );
      const listAt = tile.selected_at +
        tile.selected_stride * kvHead * uniforms.selected_per_head;
      const list = readRecord(RUN_LIST, selection, listAt);
      assert(
        list.runs_at + KEY_RUN.words * list.count <=
          listAt + tile.selected_stride,
        "a list is longer than its room",
      );
      const after = runsAt(selection, listAt);
      let end = 0;
      for (const [first, last] of after) {
        assert(first >= end && last > first, "runs ascend");
        end = last;
      }
      const along = c.along === "key";
      const packed = sequence.query_count * group;
      const from = (first: number, count: number, most: number) =>
        Array.from({ length: count }, (_, i) => first + i)
          .filter((i) => i < most);
      const own = from(tile.first_row, tileRows, along ? packed : c.keys);
      const expected = new Map<number, number>();
      for (const [first, kind] of kindsOf(before, step)) {
        let [any, every] = [false, true];
        const of = from(first, step, along ? c.keys : packed);
        for (const k of along ? of : own) {
          for (const row of along ? own : of) {
            const query = Math.floor(row / group);
            // The heads of the group, whichever of them the tile has.
            for (let g = 0; g < group; g++) {
              const head = kvHead * group + g;
              const seen = selected(sequence.batch, head, query, k);
              any ||= seen;
              every &&= seen;
            }
          }
        }
        if (any) expected.set(first, every ? kind : 1);
      }
      assertEquals(kindsOf(after, step), expected, JSON.stringify(c));
    }
  }
  assertEquals(free, selection.length);
}

gpuTest(
  "the device's run lists are the CPU's, narrowed to selected blocks",
  async (_, gpu) => {
    const random = new Prng(SEED);
    const cases = Array.from({ length: 60 }, () => draw(random));
    const prepared: Prepared[] = [];
    try {
      for (const [i, c] of cases.entries()) {
        prepared.push(await prepare(gpu, c, SEED + i));
      }
      gpu.submit("lists", (encoder) => {
        for (const { encode } of prepared) encode(encoder);
      });
      const tensors: GpuTensor[] = prepared.flatMap(({ selection, mask }) => [
        selection,
        mask.bits,
      ]);
      const arrays = await gpu.read(tensors);
      cases.forEach((c, i) =>
        check(c, prepared[i], arrays[2 * i] as Uint32Array)
      );
    } finally {
      for (const { destroy } of prepared) destroy();
    }
  },
);

gpuTest(
  "a run does not go on past a gap, wherever chunks end",
  async (_, gpu) => {
    // Up to the gap they are 64 steps of 8 keys, or some less: a chunk.
    const base: Case = {
      queries: 40,
      keys: 2048,
      batch: 1,
      queryHeads: 1,
      kvHeads: 1,
      queryBlock: 64,
      keyBlock: 64,
      maskBatch: 1,
      maskHeads: 1,
      density: 1,
      causal: false,
      splits: 1,
      lanes: 64,
      byPosition: false,
      along: "key",
    };
    for (const from of [512, 504, 1024]) {
      const c: Case = { ...base, gap: [from, 1536] };
      const given = await prepare(gpu, c, 1);
      try {
        gpu.submit("lists", given.encode);
        check(c, given, await gpu.readOne(given.selection) as Uint32Array);
      } finally {
        given.destroy();
      }
    }
  },
);

gpuTest("lists of many chunks of steps are whole", async (_, gpu) => {
  // 40 chunks of 64 steps of 8 keys, in all of them runs that cross chunks.
  const c: Case = {
    queries: 40,
    keys: 20480,
    batch: 1,
    queryHeads: 1,
    kvHeads: 1,
    queryBlock: 64,
    keyBlock: 24,
    maskBatch: 1,
    maskHeads: 1,
    density: 0.8,
    causal: true,
    splits: 1,
    lanes: 64,
    byPosition: false,
    along: "key",
  };
  const given = await prepare(gpu, c, 1);
  try {
    gpu.submit("lists", given.encode);
    const first = await gpu.readOne(given.selection);
    check(c, given, first as Uint32Array);
    gpu.submit("lists", given.encode);
    assertEquals(await gpu.readOne(given.selection), first);
  } finally {
    given.destroy();
  }
});
