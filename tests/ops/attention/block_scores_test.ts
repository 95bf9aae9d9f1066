/** `attention({ blockScores })`: shapes, plans, what it costs, what it refuses. */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  attention,
  type AttentionOptions,
  attentionProblem,
  type HostTensor,
  maskMod,
  planAttention,
  type PlanChoices,
  type TensorShape,
} from "../../../mod.ts";
import { backwardParts } from "../../../src/ops/attention_backward/parts.ts";
import { SOFTWARE_TILES } from "../../../src/ops/attention/variants/tiles.ts";
import { partsFor } from "../../support/attention/parts.ts";
import { gpuTest } from "../../support/gpu.ts";
import { planDevice } from "../../support/plan_device.ts";
import { inputs, live, upload } from "./tensors.ts";

const SIZES = { batch: 2, queries: 20, keys: 26 };
/** Compiled fast. */
const tiles = {
  forward: { ...SOFTWARE_TILES.forward, rowsPerLane: 1, keys: 4, modKeys: 4 },
};
const asked = { blockScores: { block: 8 }, causal: true, tiles } as const;

gpuTest("scores of blocks come back where the query was", async (_, gpu) => {
  const host = inputs(SIZES);
  const { blockScores, lse } = await attention(gpu, { ...host, ...asked });
  assertEquals(blockScores!.shape, [2, 4, 3, 4]);
  assertEquals(lse, undefined);
  const before = live(gpu);
  using device = upload(gpu, host);
  const { query, key, value } = device;
  const held = live(gpu);
  const result = await attention(gpu, { query, key, value, ...asked });
  // The log-sum-exp was not asked for, and is not kept.
  assertEquals(live(gpu).buffers - held.buffers, 2);
  assertEquals(await gpu.readOne(result.blockScores!), blockScores!.data);
  result.output.destroy();
  result.blockScores!.destroy();
  assertEquals(live(gpu).buffers - before.buffers, 5);
});

gpuTest(
  "scores of blocks of heads before tokens, and of a part of a tensor, are the same bits",
  async (_, gpu) => {
    const host = inputs(SIZES);
    const { blockScores } = await attention(gpu, { ...host, ...asked });
    const swap = ({ data, shape: [b, s, h, d] }: HostTensor): HostTensor => {
      const at = (i: number) => {
        const c = i % d;
        const token = Math.floor(i / d) % s;
        const head = Math.floor(i / d / s) % h;
        const batch = Math.floor(i / d / s / h);
        return ((batch * s + token) * h + head) * d + c;
      };
      return {
        data: Float32Array.from(data, (_, i) => data[at(i)]),
        shape: [b, h, s, d],
      };
    };
    const { query: q, key: k, value: v } = host;
    const swapped = { query: swap(q), key: swap(k), value: swap(v) };
    const other = await attention(gpu, {
      ...swapped,
      ...asked,
      layout: "bhsd",
    });
    assertEquals(other.blockScores, blockScores);
    using padded = gpu.tensor(
      Float32Array.from({ length: 2 * 20 * 40 }, (_, i) => {
        const [c, row] = [i % 40, Math.floor(i / 40)];
        return c < 32 ? host.query.data[row * 32 + c] : NaN;
      }),
      [2, 20, 40],
    );
    const query = {
      tensor: padded,
      shape: host.query.shape,
      strides: [800, 40, 8, 1],
    };
    const part = await attention(gpu, { ...host, query, ...asked });
    assertEquals(await gpu.readOne(part.blockScores!), blockScores!.data);
    part.output.destroy();
    part.blockScores!.destroy();
  },
);

gpuTest(
  "what is saved for backward keeps nothing of scores of blocks",
  async (_, gpu) => {
    const host = inputs(SIZES);
    using device = upload(gpu, host);
    const { query, key, value } = device;
    const before = live(gpu).buffers;
    const { saved, output, blockScores } = await attention(gpu, {
      ...{ query, key, value },
      ...asked,
      forBackward: true,
    });
    assert(saved!.problem.lse);
    output.destroy();
    blockScores!.destroy();
    assertEquals(live(gpu).buffers - before, 1);
    saved!.destroy();
    assertEquals(live(gpu).buffers - before, 0);
    // Nor of a call with arrays: inputs, output and log-sum-exp are what it has.
    const onHost = await attention(gpu, {
      ...host,
      ...asked,
      forBackward: true,
    });
    assertEquals(live(gpu).buffers - before, 5);
    onHost.saved!.destroy();
    assertEquals(live(gpu).buffers - before, 0);
  },
);

Deno.test("backward runs the same for a call with scores of blocks", () => {
  const [plain, scored] = [{}, { blockScores: { block: 8 } }].map((more) =>
    backwardParts(
      {
        problem: problemOf(20, 26, { causal: true, ...more }),
        lseGradient: false,
      },
      planDevice(),
    ).parts
  );
  assertEquals(scored, plain);
});

gpuTest("a plan forgets the maxima of what it ran before", async (_, gpu) => {
  const [one, other] = [1, 5].map((seed) => inputs(SIZES, seed));
  using plan = await planAttention(gpu, { ...one, ...asked, returnLse: true });
  const scoresOf = async (host: typeof one) => {
    using tensors = upload(gpu, host);
    using blockScores = gpu.empty("f32", [2, 4, 3, 4]);
    gpu.submit(
      "scores",
      (encoder) => plan.encode(encoder, { ...tensors, blockScores }),
    );
    return await gpu.readOne(blockScores);
  };
  const first = await scoresOf(one);
  // Not by poison, as the tests' scratch has.
  gpu.scratch.poison = false;
  try {
    await scoresOf({
      ...other,
      query: { ...other.query, data: other.query.data.map((x) => 9 * x) },
    });
    assertEquals(await scoresOf(one), first);
  } finally {
    gpu.scratch.poison = true;
  }
  // Another problem: fewer keys, blocks of other sizes.
  const small = inputs({ ...SIZES, keys: 9 });
  const options = { ...small, ...asked, returnLse: true };
  await plan.update(
    attentionProblem({ ...small, blockScores: { block: 12 }, returnLse: true }),
  );
  using tensors = upload(gpu, small);
  using blockScores = gpu.empty("f32", [2, 4, 2, 1]);
  gpu.submit(
    "scores",
    (encoder) => plan.encode(encoder, { ...tensors, blockScores }),
  );
  assertEquals([...await gpu.readOne(blockScores)], Array(16).fill(1));
  assertEquals(options.blockScores.block, 8);
});

const row = (tokens: number): TensorShape => ({
  dtype: "f32",
  shape: [1, tokens, 2, 16],
});
const problemOf = (
  queries: number,
  keys: number,
  more: Partial<AttentionOptions<TensorShape>> = {},
) =>
  attentionProblem({
    query: row(queries),
    key: row(keys),
    value: row(keys),
    returnLse: true,
    ...more,
  });
const partsOf = (
  problem: ReturnType<typeof problemOf>,
  device = planDevice(),
  choices: PlanChoices = {},
) => partsFor(problem, device, choices);

Deno.test("plans say what scores of blocks take", () => {
  const { explanation, parts } = partsOf(
    problemOf(1, 300, { blockScores: { block: 64 } }),
  );
  const { kernels, dispatches } = explanation;
  assertEquals(dispatches.map(({ kernel }) => kernel), [
    "attention.block_maxima.clear/u32",
    "attention.forward/contiguous.f32.8x16.block_maxima",
    "attention.block_scores/f32",
  ]);
  assertEquals(parts.scratch!.block_maxima, 4 * 2 * 5);
  const [passed] = kernels.forward.passedOver;
  assertEquals(passed.variant, "decode");
  assertStringIncludes(passed.why, "scores of blocks");
  const { explanation: plain } = partsOf(problemOf(1, 300));
  assertEquals(Object.keys(plain.kernels), ["decode"]);
});

Deno.test("explain().traffic has the maxima and the scores, and nothing without", () => {
  const of = (options: object) => {
    const keys = 300;
    const traffic = (more: object) =>
      partsOf(problemOf(64, keys, { ...options, ...more })).explanation.traffic;
    const [plain, scored] = [
      traffic({}),
      traffic({ blockScores: { block: 64 } }),
    ];
    const { blockMaxima, blockScores, lse, ...rest } = scored.tensors;
    assertEquals(plain.tensors.blockMaxima, undefined);
    assertEquals(plain.tensors.blockScores, undefined);
    assertEquals(rest, (({ lse: _, ...same }) => same)(plain.tensors));
    // 128 rows of 5 blocks are cleared, and read with a log-sum-exp each.
    const maxima = 4 * 128 * 5;
    assertEquals(blockScores, { reads: 4 * 10, writes: 4 * 2 * 10 });
    assertEquals(lse, { reads: maxima, writes: 4 * 128 });
    assertEquals(scored.bound.floorBytes - plain.bound.floorBytes, 4 * 10);
    assertEquals(blockMaxima!.reads, blockMaxima!.writes);
    return (blockMaxima!.reads - maxima) / 4 / 128;
  };
  // The last step is masked, as keys end in it: a run of its own.
  assertEquals(of({}), 6);
  // Runs of whole steps, that begin and end within blocks 1 and 2.
  const keys = (from: number, to: number) =>
    maskMod("keys", ({ key }) => key.ge(from).and(key.lt(to)));
  assertEquals(of({ maskMod: keys(80, 144) }), 2);
  assertEquals(of({ maskMod: keys(70, 144) }), 3);
});

Deno.test("scores of no blocks take no dispatch of their own", () => {
  for (const [queries, keys] of [[0, 7], [7, 0]]) {
    const { dispatches } = partsOf(
      problemOf(queries, keys, { blockScores: { block: 4 } }),
    ).explanation;
    assertEquals(
      dispatches.filter(({ kernel }) => /maxima.clear|scores/.test(kernel)),
      [],
    );
  }
});

Deno.test("blocks whose loops the adapter would end are refused", () => {
  const of = (queries: number, limit: number) =>
    partsOf(
      problemOf(queries, 64, { blockScores: { block: 70_000 } }),
      planDevice({ maxLoopIterations: limit }),
    );
  of(60_000, 65_535);
  of(80_000, Infinity);
  assertThrows(() => of(66_000, 65_535), Error, "score blocks of 70000 tokens");
});

Deno.test("blockScores is { block }", () => {
  const of = (blockScores: unknown, more: object = {}) => () =>
    problemOf(8, 8, { blockScores, ...more } as object);
  assertThrows(of(true), TypeError, "blockScores must be { block }");
  assertThrows(of(null), TypeError, "blockScores must be { block }");
  assertThrows(of({}), TypeError, "blockScores.block");
  assertThrows(of({ block: 0 }), RangeError, "blockScores.block");
  assertThrows(of({ block: 2.5 }), RangeError, "blockScores.block");
  assertThrows(of({ blockSize: 64 }), TypeError, "write block");
  assertThrows(of({ block: 8, keyBlock: 4 }), TypeError, "write block");
  assertEquals(of({ block: 3 })().blockScores, {
    block: 3,
    queryBlocks: 3,
    keyBlocks: 3,
  });
});

gpuTest(
  "plans refuse scores of blocks that nothing would write",
  async (_, gpu) => {
    const { query, key, value } = inputs(SIZES);
    const plan = (more: AttentionOptions & PlanChoices) =>
      planAttention(gpu, {
        query,
        key,
        value,
        blockScores: { block: 8 },
        ...more,
      });
    await assertRejects(() => plan({}), TypeError, "returnLse must be true");
    for (const algorithm of ["standard", "fa1"] as const) {
      await assertRejects(
        () => plan({ algorithm, returnLse: true }),
        TypeError,
        'algorithm must be "fused" with blockScores',
      );
    }
    await assertRejects(
      () =>
        planAttention(gpu, {
          query: row(20_000),
          key: row(20_000),
          value: row(20_000),
          returnLse: true,
          blockScores: { block: 16 },
        }),
      RangeError,
      "blockScores must fit one binding",
    );
    using made = await plan({ returnLse: true, tiles });
    using tensors = upload(gpu, inputs(SIZES));
    using wrong = gpu.empty("f32", [2, 4, 3, 3]);
    const encode = (more: object) => () =>
      gpu.submit(
        "wrong",
        (encoder) => made.encode(encoder, { ...tensors, ...more }),
      );
    assertThrows(encode({}), TypeError, "blockScores must be given");
    assertThrows(
      encode({ blockScores: wrong }),
      TypeError,
      "blockScores must have 96 elements",
    );
  },
);
