/**
 * Attention to what a Seer gate selects: the blocks that it says, dense where it
 * keeps all, within its bound, and refused where it is for something else.
 */

import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
} from "@std/assert";
import {
  attention as oracle,
  compareWithBound,
  errorBound,
  GATES,
  type ReferenceProblem,
} from "../../../reference/mod.ts";
import type { HostTensor } from "../../../src/gpu/mod.ts";
import {
  attention,
  type AttentionOptions,
  attentionProblem,
  planAttention,
} from "../../../src/ops/mod.ts";
import { SOFTWARE_TILES } from "../../../src/ops/attention/variants/tiles.ts";
import {
  policyReport,
  SeerGate,
  type SeerGateOptions,
  type SeerSelectOptions,
  withFallback,
} from "../../../src/policies/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { given, record, seerData } from "./cases.ts";

const tiles = {
  forward: { ...SOFTWARE_TILES.forward, rowsPerLane: 1, keys: 4, modKeys: 4 },
};

/** Two sequences of as many queries as keys, and one that goes on. */
const CASE = { lengths: [[40, 40], [70, 70], [13, 50]], block: 8 } as const;

gpuTest(
  "attention sees the blocks that are kept, and no other",
  async (_, gpu) => {
    const data = seerData(CASE);
    const call = { ...given(data), value: data.value, causal: true, tiles };
    const dense = await attention(gpu, call);
    let kept = 1;
    for (const threshold of [0, 0.05, 0.2, 1]) {
      using gate = await SeerGate.create(gpu, { ...data.gate, threshold });
      using select = await gate.select(given(data));
      const { output } = await attention(gpu, { ...call, select });
      const { blocks, density, forcedRows, rows } = await select.read();
      const masked = await attention(gpu, { ...call, blockMask: blocks });
      assertEquals(output.data, masked.output.data, `threshold ${threshold}`);
      assertEquals(rows, 4 * (5 + 9 + 2));
      const report = policyReport(select, {
        ...given(data),
        value: data.value,
        causal: true,
      }, { selected: blocks });
      assertEquals(report.emptyRows, 0);
      if (threshold === 0) {
        assertEquals(report.pairs, report.densePairs);
        assertEquals(output.data, dense.output.data);
        assertEquals([density, forcedRows], [1, 0]);
      } else {
        assert(density < kept, `${density} of ${threshold}`);
        assert(report.density < 1 && report.keyBytes <= report.denseKeyBytes);
      }
      // A row has a share of 1 where it sees one block alone.
      if (threshold === 1) assertEquals(forcedRows, 4 * (4 + 8 + 2));
      kept = density;
    }
    for (const rule of [{ topK: 9 }, { threshold: 1, denseRows: 9 }]) {
      using gate = await SeerGate.create(gpu, { ...data.gate, ...rule });
      using select = await gate.select(given(data));
      const { output } = await attention(gpu, { ...call, select });
      assertEquals(output.data, dense.output.data, JSON.stringify(rule));
    }
  },
);

gpuTest(
  "a higher threshold keeps no block that a lower one does not",
  async (_, gpu) => {
    const data = seerData(CASE);
    const levels: Uint8Array[] = [];
    for (const threshold of [0.01, 0.1, 0.11, 0.3, 0.9]) {
      using gate = await SeerGate.create(gpu, { ...data.gate, threshold });
      using select = await gate.select(given(data));
      gpu.submit("select", (encoder) => record(encoder, select, data));
      const { blocks } = await select.read();
      levels.push(Uint8Array.from(blocks.levels));
    }
    for (let i = 1; i < levels.length; i++) {
      assert(levels[i].every((level, k) => level <= levels[i - 1][k]));
      assert(levels[i].some((level, k) => level < levels[i - 1][k]));
    }
  },
);

gpuTest("what a row keeps does not depend on its batch", async (_, gpu) => {
  const data = seerData(CASE);
  using gate = await SeerGate.create(gpu, {
    ...data.gate,
    topK: 2,
    denseRows: 1,
  });
  using select = await gate.select(given(data));
  gpu.submit("select", (encoder) => record(encoder, select, data));
  const all = await gpu.readOne(select.scores) as Float32Array;
  const { blocks } = await select.read();
  const { heads, queryBlocks, keyBlocks } = select.mask.grid;
  for (const [i, [queries, keys]] of CASE.lengths.entries()) {
    const cut = (tensor: typeof data.query, starts: readonly number[]) => {
      const [, rows, dim] = tensor.shape;
      const part = tensor.data.slice(
        starts[i] * rows * dim,
        starts[i + 1] * rows * dim,
      );
      // Heads before tokens, as the other layout has them.
      const tokens = starts[i + 1] - starts[i];
      const moved = Float32Array.from(part, (_, at) => {
        const [head, token] = [
          Math.floor(at / dim / tokens),
          Math.floor(at / dim) % tokens,
        ];
        return part[(token * rows + head) * dim + at % dim];
      });
      return { data: moved, shape: [1, rows, tokens, dim] };
    };
    using alone = await gate.select({
      query: cut(data.query, data.cuSeqlens),
      key: cut(data.key, data.cuSeqlensKey),
      layout: "bhsd",
    });
    const own = {
      ...data,
      problems: [data.problems[i]],
    };
    gpu.submit("select", (encoder) => record(encoder, alone, own));
    const scores = await gpu.readOne(alone.scores) as Float32Array;
    const report = await alone.read();
    const [rows, columns] = [Math.ceil(queries / 8), Math.ceil(keys / 8)];
    scores.forEach((score, at) => {
      const [row, column] = [Math.floor(at / columns), at % columns];
      const head = Math.floor(row / rows);
      const there = ((i * heads + head) * queryBlocks + row % rows) *
          keyBlocks + column;
      assertEquals(all[there], score, `sequence ${i}, ${at}`);
      assertEquals(blocks.levels[there], report.blocks.levels[at]);
    });
  }
});

gpuTest(
  "heads before tokens, with room behind the keys, select the same",
  async (_, gpu) => {
    const data = seerData({ lengths: [[13, 50], [13, 33]], block: 8 });
    using gate = await SeerGate.create(gpu, { ...data.gate, topK: 2 });
    using ragged = await gate.select(given(data));
    // What is not written is no number.
    const moved = (
      { data: rows, shape: [, heads, dim] }: HostTensor,
      starts: readonly number[],
      room: number,
    ) => {
      const out = new Float32Array(2 * heads * room * dim).fill(NaN);
      for (let token = 0; token < starts[2]; token++) {
        const b = token < starts[1] ? 0 : 1;
        for (let at = 0; at < heads * dim; at++) {
          const [head, e] = [Math.floor(at / dim), at % dim];
          out[((b * heads + head) * room + token - starts[b]) * dim + e] =
            rows[token * heads * dim + at];
        }
      }
      return { data: out, shape: [2, heads, room, dim] };
    };
    using dense = await gate.select({
      query: moved(data.query, data.cuSeqlens, 13),
      key: moved(data.key, data.cuSeqlensKey, 56),
      layout: "bhsd",
      keyLengths: [50, 33],
    });
    gpu.submit("select", (encoder) => {
      record(encoder, ragged, data);
      record(encoder, dense, data);
    });
    const [one, other, bits, same] = await gpu.read([
      ragged.scores,
      dense.scores,
      ragged.mask.bits,
      dense.mask.bits,
    ]);
    assertEquals(other, one);
    assertEquals(same, bits);
  },
);

gpuTest(
  "short sequences keep all where withFallback() says so",
  async (_, gpu) => {
    const data = seerData(CASE);
    using gate = await SeerGate.create(gpu, { ...data.gate, topK: 1 });
    using select = await gate.select(given(data));
    const policy = withFallback(select, { below: 50 });
    const call = { ...given(data), value: data.value, causal: true, tiles };
    const { output } = await attention(gpu, { ...call, select: policy });
    const dense = await attention(gpu, call);
    // Those of the first sequence, of 40 keys.
    const short = 40 * 4 * 8;
    assertEquals(
      output.data.slice(0, short),
      dense.output.data.slice(0, short),
    );
    assertNotEquals(output.data.slice(short), dense.output.data.slice(short));
    const { density } = await select.read();
    assert(density < 1);
  },
);

gpuTest(
  "chunks that begin where blocks do select as the whole prompt",
  async (_, gpu) => {
    const data = seerData({ lengths: [[48, 48]], block: 8 });
    using gate = await SeerGate.create(gpu, {
      ...data.gate,
      topK: 2,
      denseRows: 0,
    });
    using whole = await gate.select(given(data));
    gpu.submit("select", (encoder) => record(encoder, whole, data));
    const scores = await gpu.readOne(whole.scores) as Float32Array;
    const { query } = data;
    const rows = 4 * 8;
    using chunk = await gate.select({
      query: { data: query.data.slice(24 * rows), shape: [24, 4, 8] },
      key: data.key,
      cuSeqlens: [0, 24],
      cuSeqlensKey: [0, 48],
    });
    const problems = [{ ...data.problems[0], queries: 24, queryOffset: 24 }];
    gpu.submit(
      "select",
      (encoder) => record(encoder, chunk, { ...data, problems }),
    );
    const own = await gpu.readOne(chunk.scores) as Float32Array;
    for (let head = 0; head < 4; head++) {
      assertEquals(
        own.subarray(head * 18, (head + 1) * 18),
        scores.subarray(head * 36 + 18, (head + 1) * 36),
      );
    }
  },
);

gpuTest(
  "tensors on the device are read each time that attention runs",
  async (_, gpu) => {
    const data = seerData({ lengths: [[40, 40]], block: 8 });
    const other = seerData({ lengths: [[40, 40]], block: 8, seed: 2 });
    const make = ({ data, shape }: HostTensor) =>
      gpu.tensor(data as Float32Array, [1, ...shape]);
    using gate = await SeerGate.create(gpu, { ...data.gate, topK: 1 });
    using query = make(data.query);
    using key = make(data.key);
    using value = make(data.value);
    using output = gpu.empty("f32", query.shape);
    using select = await gate.select({ query, key });
    const call = { query, key, value, causal: true, tiles };
    using plan = await planAttention(gpu, { ...call, select });
    const found: unknown[] = [];
    for (const own of [data, other, data]) {
      for (const [to, from] of [[query, own.query], [key, own.key]] as const) {
        gpu.device.queue.writeBuffer(
          to.buffer,
          to.offset,
          from.data as BufferSource,
        );
      }
      gpu.submit("step", (encoder) => {
        plan.encode(encoder, { query, key, value, output });
      });
      const { blocks } = await select.read();
      found.push(await gpu.readOne(output));
      const expected = await attention(gpu, {
        ...call,
        query: { data: own.query.data, shape: query.shape },
        key: { data: own.key.data, shape: key.shape },
        value: { data: data.value.data, shape: value.shape },
        blockMask: blocks,
      });
      assertEquals(found.at(-1), expected.output.data);
    }
    assertEquals(found[0], found[2]);
    assertNotEquals(found[0], found[1]);
  },
);

gpuTest(
  "the error is within twice the mass that is left out",
  async (_, gpu) => {
    const data = seerData({ lengths: [[48, 48]], block: 8 });
    const [{ query, key }] = data.problems;
    const value = data.value.data;
    const causal = (q: number, k: number) => k <= q;
    const common = {
      query,
      key,
      value,
      batch: 1,
      queryLength: 48,
      keyLength: 48,
      queryHeads: 4,
      kvHeads: 2,
      headDim: 8,
    };
    const dense = oracle({ ...common, mask: (_b, _h, q, k) => causal(q, k) });
    const call = { ...given(data), value: data.value, causal: true, tiles };
    for (const topK of [1, 2, 4]) {
      using gate = await SeerGate.create(gpu, {
        ...data.gate,
        topK,
        denseRows: 0,
      });
      using select = await gate.select(given(data));
      const { output } = await attention(gpu, { ...call, select });
      const { blocks } = await select.read();
      const selected: ReferenceProblem = {
        ...common,
        mask: (_b, head, q, k) =>
          causal(q, k) &&
          blocks.levels[(head * 6 + (q >> 3)) * 6 + (k >> 3)] !== 0,
      };
      const sparse = oracle(selected);
      // The device has what its mask gives, by the error rule.
      const bound = errorBound(selected, { keys: 4, gate: GATES.wgsl }).output;
      const actual = output.data;
      const closeness = compareWithBound({
        actual,
        expected: sparse.output,
        bound,
      });
      assert(closeness.ok, JSON.stringify(closeness));
      // That is no further from dense than the mass allows that is left out.
      let least = 1;
      for (let row = 0; row < 48 * 4; row++) {
        const mass = Math.exp(sparse.lse[row] - dense.lse[row]);
        least = Math.min(least, mass);
        const [q, kvHead] = [Math.floor(row / 4), Math.floor((row % 4) / 2)];
        const seen = Array.from(
          { length: 8 * (q + 1) },
          (_, at) =>
            Math.abs(value[(Math.floor(at / 8) * 2 + kvHead) * 8 + at % 8]),
        );
        for (let e = 0; e < 8; e++) {
          const at = row * 8 + e;
          const error = Math.abs(sparse.output[at] - dense.output[at]);
          assert(error <= 2 * (1 - mass) * Math.max(...seen) + 1e-12);
        }
      }
      assert(least < 0.9, `${topK} keep ${least}`);
    }
  },
);

gpuTest("what a gate is not for is refused", async (_, gpu) => {
  const data = seerData({ lengths: [[40, 40]], block: 8 });
  const wide = seerData({ lengths: [[40, 40]], block: 8, headDim: 4 });
  const many = seerData({ lengths: [[40, 40]], block: 8, queryHeads: 8 });
  const uneven = seerData({ lengths: [[40, 40], [9, 9]], block: 8 });
  const create = (more: object) =>
    SeerGate.create(gpu, { ...data.gate, ...more } as SeerGateOptions);
  const rejected = async (
    promise: Promise<unknown>,
    error: typeof TypeError | typeof RangeError,
    message: string,
  ) => {
    await assertRejects(() => promise, error, message);
  };
  for (
    const [more, error, message] of [
      [{}, TypeError, "threshold must be given, or density, or topK"],
      [
        { topK: 1, density: 1 },
        TypeError,
        "topK must not be given beside density",
      ],
      [{ threshold: 1.1 }, RangeError, "threshold must be in [0, 1]"],
      [{ threshold: -0.1 }, RangeError, "threshold must be in [0, 1]"],
      [{ density: 0 }, RangeError, "density must be in (0, 1]"],
      [{ topK: 0 }, RangeError, "topK must be an integer in 1.."],
      [{ topK: 1, block: 0 }, RangeError, "block must be an integer in 1.."],
      [{ topK: 1, denseRows: -1 }, RangeError, "denseRows must be"],
      [{ topK: 1, below: 4 }, TypeError, "in withFallback()"],
      [{ topK: 1, kvHeads: 3 }, RangeError, "queryHeads must be a multiple"],
      [{ topK: 1, queryHeads: 8 }, TypeError, "weights.key heads must be"],
      [{ topK: 1, nzRatio: 1 }, TypeError, "write density"],
      [{ topK: 1, rotary: { theta: 1 } }, TypeError, "write base"],
      [{ topK: 1, rotary: { base: 0 } }, RangeError, "rotary.base must be > 0"],
    ] as const
  ) {
    await rejected(create(more), error, message);
  }
  using gate = await create({ topK: 1, layer: 3 });
  const refused = (
    options: SeerSelectOptions,
    error: typeof TypeError | typeof RangeError,
    message: string,
  ) => rejected(gate.select(options), error, message);
  const own = { ...given(data), layer: 3 };
  await refused(
    given(data),
    TypeError,
    "layer must be that of the Seer gate (3)",
  );
  await refused({ ...own, layer: 4 }, TypeError, "current value is 4");
  await refused(
    { ...given(wide), layer: 3 },
    TypeError,
    "headDim must be the Seer gate's (8): current value is 4",
  );
  await refused(
    { ...given(many), layer: 3 },
    TypeError,
    "queryHeads must be the Seer gate's (4): current value is 8",
  );
  await refused(
    { ...own, queryOffset: 1 },
    RangeError,
    "queryOffset of sequence 0 must place no query past its blocks of keys (40)",
  );
  await refused(
    { ...own, threshold: 1 } as never,
    TypeError,
    "give it to SeerGate.create()",
  );
  using density = await create({ density: 0.5 });
  await rejected(
    density.select(given(uneven)),
    RangeError,
    "density must not be given for sequences of 5 and 2 blocks",
  );
  using select = await gate.select(own);
  const attend = (
    options: Partial<AttentionOptions<HostTensor>>,
    message: string,
  ) =>
    rejected(
      attention(gpu, {
        ...given(data),
        value: data.value,
        causal: true,
        select,
        ...options,
      }),
      TypeError,
      message,
    );
  await attend(
    { ...given(uneven), value: uneven.value },
    "select (seer) sequences must be as many as the selection is for (1)",
  );
  await attend(
    { causal: false },
    "select (seer) causal must be true, as it is the Seer gate's",
  );
  // A window that ends at the query is causal too.
  attentionProblem({
    ...given(data),
    value: data.value,
    window: { right: 0 },
    select,
  });
  await attend(
    { queryOffset: -1 },
    "select (seer) queryOffset of sequence 0 must be that of what the gate looks at (0): current value is -1",
  );
  await attend(
    { ...given(wide), value: wide.value },
    "select (seer) headDim must be the Seer gate's (8): current value is 4",
  );
  gate.destroy();
  await refused(own, TypeError, "destroyed");
  select.destroy();
  await attend({}, "destroyed");
});

gpuTest(
  "a row before all keys, or behind them, keeps the block next to it",
  async (_, gpu) => {
    // More queries than keys, which a gate that sees both ways lets through.
    const data = seerData({ lengths: [[40, 17], [9, 30]], causal: false });
    using gate = await SeerGate.create(gpu, {
      ...data.gate,
      threshold: 1,
      denseRows: 0,
    });
    using select = await gate.select(given(data));
    const { lse } = await attention(gpu, {
      ...given(data),
      value: data.value,
      select,
      returnLse: true,
      tiles,
    });
    assert(lse!.data.every(Number.isFinite));
    const { blocks, forcedRows, rows } = await select.read();
    assertEquals([forcedRows, rows], [4 * 7, 4 * 7]);
    const { keyBlocks, queryBlocks } = select.mask.grid;
    const kept = (sequence: number, row: number) => {
      const at = (4 * sequence * queryBlocks + row) * keyBlocks;
      return [...blocks.levels.subarray(at, at + keyBlocks)].map(Boolean);
    };
    // Queries -23 to -16, -7 to 0 and 9 to 16; then 21 to 28 of 30 keys.
    assertEquals(kept(0, 0), [true, false, false, false]);
    assertEquals(kept(0, 2), [true, false, false, false]);
    assertEquals(kept(0, 4), [false, true, true, false]);
    assertEquals(kept(1, 0), [false, false, true, true]);
    // While decoding, a caller may say where a query stands.
    const other = seerData({ lengths: [[1, 20]] });
    const size = { sequences: 1, capacity: 64 };
    using query = gpu.tensor(other.query.data as Float32Array, [1, 1, 4, 8]);
    using key = gpu.tensor(other.key.data as Float32Array, [1, 20, 2, 8]);
    for (
      const [causal, queryOffset, block] of [
        [true, 40, 2],
        [false, 40, 2],
        [false, -1, 0],
      ] as const
    ) {
      using step = await SeerGate.create(gpu, {
        ...other.gate,
        causal,
        threshold: 1,
      });
      using keys = await step.keys(size);
      using select = await keys.select({ query });
      gpu.submit("select", (encoder) => {
        keys.append(encoder, key);
        record(encoder, select, {
          ...other,
          gate: { ...other.gate, causal },
          problems: [{ ...other.problems[0], queryOffset }],
        });
      });
      const { blocks, forcedRows } = await select.read();
      assertEquals(forcedRows, 4);
      assertEquals(
        Array.from(blocks.levels, Boolean),
        Array.from({ length: 4 * 8 }, (_, at) => at % 8 === block),
      );
    }
  },
);

gpuTest("what is empty selects nothing, and breaks nothing", async (_, gpu) => {
  for (const lengths of [[[0, 0]], [[0, 9]], [[5, 0]]] as const) {
    const data = seerData({ lengths });
    using gate = await SeerGate.create(gpu, { ...data.gate, threshold: 0.5 });
    using select = await gate.select(given(data));
    const problem = attentionProblem({
      ...given(data),
      value: data.value,
      causal: true,
      select,
    });
    assertEquals(problem.policy?.name, "seer");
    const { output } = await attention(gpu, {
      ...given(data),
      value: data.value,
      causal: true,
      select,
      tiles,
    });
    assert(output.data.every((x) => x === 0));
    assertEquals((await select.read()).rows, 0);
  }
});
