/**
 * A step of a cache: reserved in all sequences or in none, written layer by
 * layer, committed or given back, whatever happens in between.
 *
 * @module
 */

import { assertEquals, assertGreater, assertThrows } from "@std/assert";
import {
  type BlockTable,
  CacheManager,
  ContiguousCache,
  type Gpu,
  KvCache,
  OutOfBlocksError,
} from "../../mod.ts";
import type { ContiguousSequence } from "../../src/cache/mod.ts";
import { gpuTest } from "../support/gpu.ts";
import { randomRows, readCache, uploadRows } from "./cache_image.ts";

type Cache = KvCache | ContiguousCache;
type Sequence = BlockTable | ContiguousSequence;

const SIZE = { numBlocks: 9, blockSize: 2, layers: 2, kvHeads: 1, headDim: 4 };

/** Adds tokens with random rows to one sequence, in all layers. */
function add(cache: Cache, sequence: Sequence, count: number, seed = 1): void {
  const rows = Array.from(
    { length: cache.layers },
    (_, layer) =>
      uploadRows(cache.gpu, cache, randomRows(cache, count, seed + layer)),
  );
  cache.append([{ sequence, count }], {
    layers: rows.map(({ key, value }) => ({ key, value })),
  });
  for (const own of rows) own[Symbol.dispose]();
}

/** What a cache holds of a sequence, row by row, in all layers. */
async function contents(
  gpu: Gpu,
  cache: Cache,
  sequence: Sequence,
): Promise<number[][]> {
  const images = await readCache(gpu, cache);
  return images.flatMap((image) =>
    Array.from(
      { length: sequence.length },
      (_, i) => image.slot(sequence.slot(i)),
    )
  );
}

/** Registers a test for each kind of cache. */
function forCaches(
  name: string,
  fn: (gpu: Gpu, cache: Cache) => Promise<void>,
): void {
  for (const kind of [KvCache, ContiguousCache]) {
    gpuTest(`${kind.name}.${name}`, async (_, gpu) => {
      using cache = await kind.create(gpu, SIZE);
      await fn(gpu, cache);
      cache.pool.verify();
    });
  }
}

forCaches(
  "reserve() reserves in all sequences or in none",
  async (gpu, cache) => {
    const [a, b] = [cache.createSequence(), cache.createSequence()];
    // Its growth moves an extent: b is behind it.
    add(cache, a, 2);
    add(cache, b, 3, 7);
    const { freeBlocks } = cache.pool;
    const before = await Promise.all(
      [a, b].map((one) => contents(gpu, cache, one)),
    );
    for (const count of [2 * freeBlocks, 1000]) {
      assertThrows(
        () =>
          cache.reserve([{ sequence: a, count: 4 }, { sequence: b, count }]),
        OutOfBlocksError,
      );
    }
    assertThrows(
      () =>
        cache.reserve([{ sequence: a, count: 4 }, { sequence: b, count: -1 }]),
      RangeError,
      "requests[1].count must be",
    );
    assertEquals([a.length, b.length, cache.pool.freeBlocks], [
      2,
      3,
      freeBlocks,
    ]);
    const after = await Promise.all(
      [a, b].map((one) => contents(gpu, cache, one)),
    );
    assertEquals(after, before);
  },
);

forCaches("reserve() takes each sequence once", (_, cache) => {
  const sequence = cache.createSequence();
  const requests = [{ sequence, count: 1 }, { sequence, count: 1 }];
  assertThrows(
    () => cache.reserve(requests),
    TypeError,
    "requests[1].sequence must not come twice",
  );
  for (const bad of [null, {}, { sequence: {}, count: 1 }]) {
    assertThrows(
      () => cache.reserve([bad as never]),
      TypeError,
      "requests[0].sequence must be a sequence of the cache",
    );
  }
  assertThrows(() => cache.reserve({} as never), TypeError, "requests must");
  assertThrows(
    () => cache.reserve([{ sequence, count: "1" as never }]),
    TypeError,
    "requests[0].count",
  );
  assertEquals([sequence.length, cache.reserve([]).tokens], [0, 0]);
  return Promise.resolve();
});

forCaches(
  "reserve() gives a step that commits once all is written",
  (gpu, cache) => {
    const sequence = cache.createSequence();
    const step = cache.reserve([{ sequence, count: 3 }]);
    assertEquals([step.tokens, sequence.length, sequence.committed], [3, 3, 0]);
    using rows = uploadRows(gpu, cache, randomRows(cache, 3, 1));
    assertThrows(() => step.commit(), TypeError, "layer 0 is not written");
    step.write(rows);
    assertThrows(() => step.commit(), TypeError, "layer 1 is not written");
    assertThrows(
      () => step.write({ ...rows, layer: 2 }),
      RangeError,
      "layer must be",
    );
    step.write({ ...rows, layer: 1 });
    assertEquals(sequence.committed, 0);
    step.commit();
    assertEquals([sequence.length, sequence.committed], [3, 3]);
    for (
      const call of [
        () => step.commit(),
        () => step.cancel(),
        () => step.write(rows),
      ]
    ) {
      assertThrows(call, TypeError, "must be neither committed nor cancelled");
    }
    step[Symbol.dispose]();
    assertEquals(sequence.length, 3);
    // Nothing is to be written where nothing is reserved.
    cache.reserve([{ sequence, count: 0 }]).commit();
    return Promise.resolve();
  },
);

forCaches("reserve() is undone by cancel() and dispose", async (gpu, cache) => {
  const [sequence, behind] = [cache.createSequence(), cache.createSequence()];
  add(cache, sequence, 3);
  add(cache, behind, 1, 5);
  if (cache instanceof KvCache) (sequence as BlockTable).fork();
  const before = await contents(gpu, cache, sequence);
  {
    using step = cache.reserve([{ sequence, count: 3 }]);
    assertGreater(step.copies, 0);
    assertEquals(sequence.length, 6);
  }
  assertEquals([sequence.length, sequence.committed], [3, 3]);
  assertEquals(await contents(gpu, cache, sequence), before);
  const step = cache.reserve([{ sequence, count: 1 }]);
  sequence.reserve(1);
  assertThrows(() => step.cancel(), TypeError, "more is reserved");
  sequence.truncate(4);
  step.cancel();
  step.cancel();
  assertEquals(sequence.length, 3);
  using gone = cache.reserve([{ sequence, count: 1 }]);
  sequence.free();
  gone.cancel();
});

forCaches("reserve() gives a step that notices stale slots", (gpu, cache) => {
  using rows = uploadRows(gpu, cache, randomRows(cache, 3, 1));
  const changes: [string, (sequence: Sequence) => void][] = [
    ["cut off", (sequence) => sequence.truncate(2)],
    ["freed", (sequence) => sequence.free()],
    ["replaced", (sequence) => {
      sequence.truncate(0);
      cache.createSequence().reserve(1);
      sequence.reserve(3);
    }],
  ];
  for (const [what, change] of changes) {
    const sequence = cache.createSequence();
    const step = cache.reserve([{ sequence, count: 3 }]);
    for (const layer of [0, 1]) step.write({ layer, ...rows });
    change(sequence);
    for (const call of [() => step.write(rows), () => step.commit()]) {
      assertThrows(call, TypeError, "sequence 0 was moved, cut off", what);
    }
  }
  return Promise.resolve();
});

forCaches("a step may be committed after a later one", (gpu, cache) => {
  const sequence = cache.createSequence();
  const steps = [2, 3].map((count) => {
    const step = cache.reserve([{ sequence, count }]);
    using rows = uploadRows(gpu, cache, randomRows(cache, count, count));
    for (const layer of [0, 1]) step.write({ layer, ...rows });
    return step;
  });
  for (const step of steps.toReversed()) step.commit();
  assertEquals(sequence.committed, 5);
  return Promise.resolve();
});

gpuTest("a step notices that compact() moved its slots", async (_, gpu) => {
  using cache = await ContiguousCache.create(gpu, SIZE);
  const [gap, sequence] = [cache.createSequence(), cache.createSequence()];
  gap.reserve(2);
  using rows = uploadRows(gpu, cache, randomRows(cache, 3, 1));
  const step = cache.reserve([{ sequence, count: 3 }]);
  gap.free();
  cache.compact();
  assertThrows(() => step.write(rows), TypeError, "was moved");
  step.cancel();
  assertEquals(sequence.length, 0);
});

forCaches("append() takes rows of all layers", (gpu, cache) => {
  const sequence = cache.createSequence();
  using rows = uploadRows(gpu, cache, randomRows(cache, 2, 1));
  using wide = uploadRows(gpu, cache, randomRows(cache, 3, 1));
  const requests = [{ sequence, count: 2 }];
  const bad: [unknown, string][] = [
    [rows, "rows must be { layers: [...] } for the cache's 2 layers"],
    [null, "rows must be { layers: [...] }"],
    [{ layers: [rows] }, "rows.layers must be rows of each"],
    [{ layers: 2 }, "rows.layers must be rows of each"],
    [{ layers: [rows, wide] }, "rows.layers[1].key.size must be 8"],
    [{ layers: [rows, null] }, "rows.layers[1].key must be a tensor"],
  ];
  for (const [value, message] of bad) {
    assertThrows(
      () => cache.append(requests, value as never),
      TypeError,
      message,
    );
    assertEquals([sequence.length, cache.pool.usedBlocks], [0, 0]);
  }
  cache.append(requests, { layers: [rows, rows] });
  assertEquals(sequence.committed, 2);
  return Promise.resolve();
});

gpuTest(
  "a step over a manager's reservation is the manager's",
  async (_, gpu) => {
    using cache = await KvCache.create(gpu, { ...SIZE, numBlocks: 20 });
    const manager = new CacheManager({
      pool: cache.pool,
      groups: [{}, { left: 9 }],
    });
    const { sequence, pending } = manager.create([1, 2, 3]);
    const [first] = [manager.reserve(sequence, pending)];
    using rows = uploadRows(gpu, cache, randomRows(cache, 3, 1));
    for (const group of [0, 1]) {
      const step = cache.step([first], { group });
      for (const layer of [0, 1]) step.write({ layer, ...rows });
      assertThrows(() => step.commit(), TypeError, "commit them there");
      assertThrows(() => step.cancel(), TypeError, "cancel them there");
      step[Symbol.dispose]();
    }
    assertThrows(() => cache.step([first], { group: 2 }), RangeError, "group");
    manager.commit(sequence);
    const [fork] = manager.fork(sequence);
    const second = manager.reserve(fork, [4]);
    assertEquals(second.copies.map(({ group }) => group), [0, 1]);
    using row = uploadRows(gpu, cache, randomRows(cache, 1, 2));
    const before = await readCache(gpu, cache);
    for (const group of [1, 0]) {
      const step = cache.step([second], { group });
      assertEquals(step.copies, 1);
      step.write(row);
    }
    const after = await readCache(gpu, cache);
    after.forEach((image, layer) =>
      fork.tables.forEach((table, group) =>
        assertEquals(
          image.slot(table.slot(2)),
          before[layer].slot(sequence.tables[group].slot(2)),
          `layer ${layer}, group ${group}`,
        )
      )
    );
  },
);

gpuTest("a step copies before what comes after it", async (_, gpu) => {
  using cache = await KvCache.create(gpu, { ...SIZE, layers: 1 });
  const parent = cache.createSequence();
  add(cache, parent, 3);
  const [left, right] = [parent.fork(), parent.fork()];
  const before = await contents(gpu, cache, parent);
  // Both copy the parent's last block, which ends and is used again before
  // either is written.
  const steps = [left, right].map((sequence) =>
    cache.reserve([{ sequence, count: 1 }])
  );
  parent.free();
  const other = cache.createSequence();
  const used = cache.reserve([{ sequence: other, count: 10 }]);
  using rows = uploadRows(gpu, cache, randomRows(cache, 10, 9));
  using row = uploadRows(gpu, cache, randomRows(cache, 1, 5));
  used.write(rows);
  for (const step of steps.toReversed()) step.write(row);
  for (const step of [used, ...steps]) step.commit();
  for (const sequence of [left, right]) {
    assertEquals((await contents(gpu, cache, sequence)).slice(0, 3), before);
  }
});

gpuTest("a step copies what an earlier one has written", async (_, gpu) => {
  using cache = await KvCache.create(gpu, { ...SIZE, layers: 1 });
  const parent = cache.createSequence();
  add(cache, parent, 2);
  const first = cache.reserve([{ sequence: parent, count: 1 }]);
  // It goes on from a token that is not written yet.
  const fork = parent.fork();
  const second = cache.reserve([{ sequence: fork, count: 1 }]);
  assertEquals([second.copies, fork.committed], [1, 2]);
  for (const [i, step] of [first, second].entries()) {
    using row = uploadRows(gpu, cache, randomRows(cache, 1, 20 + i));
    step.write(row);
    step.commit();
  }
  const [ahead, behind] = [
    await contents(gpu, cache, parent),
    await contents(gpu, cache, fork),
  ];
  assertEquals(behind.slice(0, 3), ahead);
});

gpuTest("copy() comes after what steps are to copy", async (_, gpu) => {
  using cache = await KvCache.create(gpu, { ...SIZE, layers: 1 });
  const parent = cache.createSequence();
  add(cache, parent, 1);
  const fork = parent.fork();
  using _step = cache.reserve([{ sequence: fork, count: 1 }]);
  const [other] = cache.pool.allocate(1);
  cache.copy([{ source: fork.blocks[0], destination: other, rows: 1 }]);
  const [image] = await readCache(gpu, cache);
  assertEquals(image.slot(2 * other), image.slot(parent.slot(0)));
});

gpuTest(
  "a submission that fails leaves its copies to be done",
  async (_, gpu) => {
    using cache = await KvCache.create(gpu, { ...SIZE, layers: 1 });
    const sequence = cache.createSequence();
    add(cache, sequence, 3);
    const fork = sequence.fork();
    const before = await contents(gpu, cache, fork);
    using rows = uploadRows(gpu, cache, randomRows(cache, 1, 2));
    const step = cache.reserve([{ sequence: fork, count: 1 }]);
    const [{ buffer }] = cache.arenas();
    const key = gpu.wrap(buffer, "f32", [1, 1, 4]);
    const encoder = gpu.device.createCommandEncoder();
    for (
      const call of [
        () => step.write({ ...rows, key }),
        () => step.encode(encoder, { ...rows, key }),
      ]
    ) {
      assertThrows(call, TypeError, "must not share a buffer with");
    }
    encoder.finish();
    const { queue } = gpu.device;
    const { submit } = queue;
    const fails = (call: () => void) => assertThrows(call, Error, "not now");
    queue.submit = () => {
      throw new Error("not now");
    };
    try {
      fails(() => step.write(rows));
      fails(() => cache.append([{ sequence, count: 1 }], rows));
      assertEquals([sequence.length, sequence.committed], [3, 3]);
      assertThrows(() => step.commit(), TypeError, "layer 0 is not written");
      fails(() => step.cancel());
    } finally {
      queue.submit = submit;
    }
    assertEquals([fork.length, fork.committed], [3, 3]);
    cache.copyPending();
    assertEquals(await contents(gpu, cache, fork), before);
  },
);

/** Runs something, and says how many buffers and bind groups it made. */
function gpuObjects({ device }: Gpu, run: () => void): number {
  let made = 0;
  const names = ["createBuffer", "createBindGroup"] as const;
  const originals = names.map((name) => device[name]);
  names.forEach((name, i) => {
    device[name] = (...args: unknown[]) => {
      made++;
      return Reflect.apply(originals[i], device, args);
    };
  });
  try {
    run();
  } finally {
    names.forEach((name, i) => device[name] = originals[i] as never);
  }
  return made;
}

gpuTest("a decode step makes no GPU object", async (_, gpu) => {
  const size = { ...SIZE, layers: 4, numBlocks: 60 };
  using paged = await KvCache.create(gpu, {
    ...size,
    maxArenaBytes: 30 * 2 * 8 * 4,
  });
  using contiguous = await ContiguousCache.create(gpu, {
    ...size,
    growth: { policy: "max", maxLength: 20 },
  });
  for (const cache of [paged, contiguous]) {
    const sequences = Array.from({ length: 5 }, () => cache.createSequence());
    const rows = Array.from(
      { length: cache.layers },
      (_, layer) =>
        uploadRows(gpu, cache, randomRows(cache, sequences.length, layer)),
    );
    const requests = sequences.map((sequence) => ({ sequence, count: 1 }));
    const decode = (encode: boolean) => {
      using step = cache.reserve(requests);
      if (encode) {
        gpu.submit(
          "decode",
          (encoder) =>
            rows.forEach((own, layer) =>
              step.encode(encoder, { layer, ...own })
            ),
        );
      } else rows.forEach((own, layer) => step.write({ layer, ...own }));
      step.commit();
    };
    const made = Array.from(
      { length: 8 },
      (_, i) => gpuObjects(gpu, () => decode(i % 2 === 0)),
    );
    // A buffer, and a bind group an arena.
    const { segments } = cache;
    assertEquals(made, [1 + 4 * segments, 0, 0, 0, 0, 0, 0, 0]);
    for (const own of rows) own[Symbol.dispose]();
  }
});

gpuTest(
  "a step that copies on write makes no GPU object either",
  async (_, gpu) => {
    using cache = await KvCache.create(gpu, { ...SIZE, layers: 3 });
    const prompt = cache.createSequence();
    add(cache, prompt, 3);
    using rows = uploadRows(gpu, cache, randomRows(cache, 1, 2));
    const made = Array.from({ length: 4 }, () =>
      gpuObjects(gpu, () => {
        const sequence = prompt.fork();
        using step = cache.reserve([{ sequence, count: 1 }]);
        assertEquals(step.copies, 1);
        for (let layer = 0; layer < cache.layers; layer++) {
          step.write({ layer, ...rows });
        }
        step.commit();
        sequence.free();
      }));
    assertGreater(made[0], 0);
    assertEquals(made.slice(1), [0, 0, 0]);
  },
);
