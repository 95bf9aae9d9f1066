/** Contexts beside a prefix index: found by tokens, gone with the blocks. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  BlockPool,
  CacheManager,
  PrefixIndex,
} from "../../../src/cache/mod.ts";
import type { Gpu } from "../../../src/gpu/mod.ts";
import { SqueezedContext, SqueezedStore } from "../../../src/policies/mod.ts";
import { gpuTest } from "../../support/gpu.ts";

async function contextOf(gpu: Gpu, length: number): Promise<SqueezedContext> {
  const data = Float32Array.from({ length: 2 * length }, (_, i) => 1 + i);
  return await SqueezedContext.create(gpu, {
    key: { data, shape: [length, 1, 2] },
    clusters: 1,
    observationWindow: 1,
  });
}

/** A pool whose index holds blocks of two tokens, the domain's own. */
function indexed(
  prefixes: readonly { tokens: number[]; salt?: string }[],
) {
  const pool = new BlockPool({ numBlocks: 20, blockSize: 2 });
  const index = new PrefixIndex(pool, { events: true });
  const blocks = prefixes.map(({ tokens, salt }) => {
    const cursor = index.cursor(salt === undefined ? {} : { salt });
    const own = pool.allocate(Math.floor(tokens.length / 2));
    own.forEach((block, i) =>
      cursor.advance(tokens.slice(2 * i, 2 * i + 2), block)
    );
    cursor.close();
    return own;
  });
  return { pool, index, blocks };
}

gpuTest(
  "SqueezedStore finds the longest prefix by its tokens, in its domain",
  async (_, gpu) => {
    const { index } = indexed([
      { tokens: [1, 2, 3, 4, 5, 6] },
      { tokens: [1, 2, 3, 4], salt: "other" },
    ]);
    using store = new SqueezedStore(index);
    const short = await contextOf(gpu, 3);
    const long = [await contextOf(gpu, 6), await contextOf(gpu, 6)];
    const other = await contextOf(gpu, 4);
    store.set([1, 2, 3, 4, 5, 6], long);
    store.set([1, 2, 3], [short]);
    const own = { tokens: [1, 2, 3, 4], domain: { salt: "other" } };
    store.set(own.tokens, [other], own.domain);
    own.tokens[0] = 9;
    own.domain.salt = "third";
    assertEquals(store.size, 3);
    assertEquals(
      store.byteLength,
      [short, ...long, other].reduce((sum, one) => sum + one.byteLength, 0),
    );
    const found = (tokens: number[], salt?: string) =>
      store.find(tokens, salt === undefined ? {} : { salt })?.contexts;
    assertEquals(found([1, 2, 3, 4, 5, 6, 7]), long);
    assertEquals(store.find([1, 2, 3, 4, 5, 6])?.length, 6);
    // The third token lies in no full block, and is compared all the same.
    assertEquals(found([1, 2, 3, 4, 5, 7]), [short]);
    assertEquals(found([1, 2, 3]), [short]);
    assertEquals(found([1, 2, 4]), undefined);
    assertEquals(found([1, 2]), undefined);
    assertEquals(found([1, 2, 3, 4, 5], "other"), [other]);
    assertEquals(found([1, 2, 3], "third"), undefined);
    // Others of the same prefix take their place.
    const again = await contextOf(gpu, 3);
    store.set([1, 2, 3], [again]);
    assert(short.destroyed && !again.destroyed);
    assertEquals(store.size, 3);
  },
);

gpuTest(
  "SqueezedStore drops a context with any block of its prefix",
  async (_, gpu) => {
    const { pool, index, blocks } = indexed([
      { tokens: [1, 2, 3, 4] },
      { tokens: [1, 2, 8, 9] },
      { tokens: [1, 2, 3, 4] },
    ]);
    using store = new SqueezedStore(index);
    const one = await contextOf(gpu, 4);
    const two = await contextOf(gpu, 4);
    store.set([1, 2, 3, 4], [one]);
    store.set([1, 2, 8, 9], [two]);
    assertEquals(store.apply(index.takeEvents()), 0);
    // Another block has the same tokens, so nothing has gone yet.
    index.evict(blocks[0][1]);
    assertEquals(store.apply(index.takeEvents()), 0);
    index.evict(blocks[2][1]);
    // It is not found, even before it is freed.
    assertEquals(store.find([1, 2, 3, 4]), undefined);
    assert(!one.destroyed);
    assertEquals(store.apply(index.takeEvents()), 1);
    assert(one.destroyed && !two.destroyed);
    assertEquals(store.apply([]), 0);
    for (const block of blocks.flat()) pool.release(block);
    assertEquals(store.apply(index.takeEvents()), 0);
    index.reset();
    assertEquals(store.apply(index.takeEvents()), 1);
    assert(two.destroyed);
    assertEquals([store.size, store.byteLength], [0, 0]);
  },
);

gpuTest(
  "SqueezedStore drops a context that has lost a block in between",
  async (_, gpu) => {
    const { index, blocks } = indexed([{ tokens: [1, 2, 3, 4, 5, 6] }]);
    using store = new SqueezedStore(index);
    store.set([1, 2, 3, 4, 5, 6], [await contextOf(gpu, 6)]);
    index.evict(blocks[0][1]);
    assertEquals(store.find([1, 2, 3, 4, 5, 6]), undefined);
    assertEquals(store.sweep(), 1);
  },
);

gpuTest(
  "SqueezedStore keeps what a manager's sequences use, until it is evicted",
  async (_, gpu) => {
    const pool = new BlockPool({ numBlocks: 5, blockSize: 2 });
    const index = new PrefixIndex(pool);
    const manager = new CacheManager({ pool, index });
    const tokens = [1, 2, 3, 4];
    const fill = (of: number[]) => {
      const { sequence } = manager.create(of);
      manager.reserve(sequence, of.slice(sequence.length));
      manager.commit(sequence);
      return sequence;
    };
    const sequence = fill(tokens);
    using store = new SqueezedStore(index);
    const context = await contextOf(gpu, 4);
    store.set(tokens, [context]);
    manager.free(sequence);
    // Its blocks are free, and still found.
    assertEquals(store.sweep(), 0);
    assertEquals(store.find([...tokens, 5])?.contexts, [context]);
    manager.free(fill([5, 6, 7, 8, 9, 10]));
    assertEquals(store.sweep(), 1);
    assert(context.destroyed);
  },
);

gpuTest(
  "SqueezedStore refuses what it could not find again",
  async (_, gpu) => {
    const { index } = indexed([{ tokens: [1, 2, 3, 4, 5, 6] }]);
    using store = new SqueezedStore(index);
    using context = await contextOf(gpu, 4);
    const gone = await contextOf(gpu, 4);
    gone.destroy();
    const refused = (
      tokens: number[],
      contexts: SqueezedContext[],
      type: ErrorConstructor,
      text: string,
    ) => {
      assertThrows(() => store.set(tokens, contexts), type, text);
      assertEquals(store.size, 0);
    };
    refused(
      [1, 2, 3, 9],
      [context],
      RangeError,
      "tokens of a store of squeezed contexts must have a full block of 2, all of which are in the index",
    );
    refused(
      [1, 2, 3],
      [context],
      RangeError,
      "contexts[0].length must be an integer in 3..3",
    );
    refused(
      [1, 2, 3, 4],
      [gone],
      TypeError,
      "contexts[0] of a store of squeezed contexts must be a SqueezedContext that is not destroyed",
    );
    refused(
      [1, 2, 3, 4],
      [context, context],
      TypeError,
      "must be another one for each layer",
    );
    refused([1, 2, 3, 4], [], TypeError, "must be a context of each layer");
    assertThrows(
      () => new SqueezedStore({} as PrefixIndex),
      TypeError,
      "must be a PrefixIndex",
    );
    assert(!context.destroyed);

    // What has grown is of other tokens, and goes by them from then on.
    const grown = await contextOf(gpu, 4);
    store.set([1, 2, 3, 4], [grown]);
    const data = Float32Array.from({ length: 12 }, (_, i) => 1 + i);
    await grown.update({ key: { data, shape: [6, 1, 2] } });
    assertEquals(store.find([1, 2, 3, 4]), undefined);
    // Its blocks are where they were, so whoever looks it up may go on.
    assertEquals([store.sweep(), grown.destroyed], [0, false]);
    store.set([1, 2, 3, 4, 5, 6], [grown]);
    assertEquals(store.find([1, 2, 3, 4, 5, 6])?.contexts, [grown]);
    assertEquals([store.size, grown.destroyed], [1, false]);
  },
);
