/**
 * What a Node project does with the library: prints one JSON line a check.
 * Started with --expose-gc, as what is not kept reachable is to be collected.
 */
import { create } from "webgpu";
import { attention, KvCache, openGpu } from "@quire/attention";
import { attention as reference } from "@quire/attention/reference";

const BATCH = 2, TOKENS = 70, HEADS = 4, KV_HEADS = 2, DIM = 40;

async function check(name, run) {
  const start = performance.now();
  let outcome = "passed", detail;
  try {
    detail = await run();
    if (detail?.skipped) {
      outcome = "skipped";
      detail = detail.skipped;
    }
  } catch (error) {
    outcome = "failed";
    detail = error.stack;
  }
  const milliseconds = performance.now() - start;
  console.log(JSON.stringify({ name, outcome, detail, milliseconds }));
}

function noise(length, seed) {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

const shape = (heads) => [BATCH, TOKENS, heads, DIM];
const filled = (heads, seed) => noise(BATCH * TOKENS * heads * DIM, seed);
const query = filled(HEADS, 1);
const key = filled(KV_HEADS, 2);
const value = filled(KV_HEADS, 3);

const exact = (round = (array) => array) =>
  reference({
    query: round(query),
    key: round(key),
    value: round(value),
    batch: BATCH,
    queryLength: TOKENS,
    keyLength: TOKENS,
    queryHeads: HEADS,
    kvHeads: KV_HEADS,
    headDim: DIM,
    mask: (_batch, _head, query, key) => key <= query,
  }).output;

function checkClose(actual, expected, most) {
  if (actual.length !== expected.length) {
    throw new Error(`${actual.length} elements, not ${expected.length}`);
  }
  let worst = 0;
  expected.forEach((x, i) => {
    // Also where one of them is NaN.
    worst = Math.abs(actual[i] - x) <= worst ? worst : Math.abs(actual[i] - x);
  });
  if (!(worst <= most)) throw new Error(`off by ${worst}, more than ${most}`);
}

/** Collects what can be collected, and lets finalizers run. */
async function collect() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

let gpu;

await check("openGpu({ gpu: create([]) }) opens Dawn", async () => {
  gpu = await openGpu({ gpu: create([]) });
  return gpu.info.description;
});

await check(
  "attention() agrees with float64, while all else is collected",
  async () => {
    const expected = exact();
    for (let i = 0; i < 4; i++) {
      await collect();
      const { output } = await attention(gpu, {
        query: { data: query, shape: shape(HEADS) },
        key: { data: key, shape: shape(KV_HEADS) },
        value: { data: value, shape: shape(KV_HEADS) },
        causal: true,
      });
      checkClose(output.data, expected, 2e-6);
    }
  },
);

await check("a KvCache serves it", async () => {
  const cache = await KvCache.create(gpu, {
    numBlocks: 16,
    kvHeads: KV_HEADS,
    headDim: DIM,
  });
  const sequences = Array.from({ length: BATCH }, () => cache.createSequence());
  cache.append(
    sequences.map((sequence) => ({ sequence, count: TOKENS })),
    {
      key: { data: key, shape: [BATCH * TOKENS, KV_HEADS, DIM] },
      value: { data: value, shape: [BATCH * TOKENS, KV_HEADS, DIM] },
    },
  );
  const rows = await cache.read(sequences[1]);
  checkClose(rows.key.data, key.slice(key.length / 2), 0);
  await collect();
  const { output } = await attention(gpu, {
    query: { data: query, shape: shape(HEADS) },
    cache,
    sequences,
    causal: true,
  });
  checkClose(output.data, exact(), 2e-6);
});

/** Bits of bfloat16s: those of float32s, cut off. */
const cutOff = (array) =>
  Uint16Array.from(new Uint32Array(array.buffer), (word) => word >>> 16);
const numbers = (bits) =>
  new Float32Array(Uint32Array.from(bits, (own) => own << 16).buffer);

await check("bf16 is taken without a Float16Array", async () => {
  const tensor = (array, heads) => ({
    data: cutOff(array),
    shape: shape(heads),
    dtype: "bf16",
  });
  const { output } = await attention(gpu, {
    query: tensor(query, HEADS),
    key: tensor(key, KV_HEADS),
    value: tensor(value, KV_HEADS),
    causal: true,
  });
  checkClose(output.data, exact((array) => numbers(cutOff(array))), 2e-6);
});

await check("f16 is computed, and read back as numbers", async () => {
  if (!gpu.features.has("shader-f16")) return { skipped: "no shader-f16" };
  const tensor = (array, heads) => ({
    data: cutOff(array),
    shape: shape(heads),
    dtype: "bf16",
    as: "f16",
  });
  const { output } = await attention(gpu, {
    query: tensor(query, HEADS),
    key: tensor(key, KV_HEADS),
    value: tensor(value, KV_HEADS),
    causal: true,
  });
  // Every bfloat16 of this size is a float16, so only the output is rounded.
  checkClose(output.data, exact((array) => numbers(cutOff(array))), 1e-3);
  return output.data.constructor.name;
});

await check("a device outlives the Gpu that was opened first", async () => {
  let device;
  {
    const first = await openGpu({ gpu: create([]) });
    device = first.device;
  }
  await collect();
  const second = await openGpu({ device });
  await collect();
  const [array] = await second.read([second.tensor(query, [query.length])]);
  checkClose(array, query, 0);
});

await check(
  "a Gpu that nobody has any more is collected in peace",
  async () => {
    await (async () => {
      const dropped = await openGpu({ gpu: create([]) });
      await dropped.readOne(dropped.tensor(query, [query.length]));
    })();
    await collect();
  },
);

gpu?.destroy();
