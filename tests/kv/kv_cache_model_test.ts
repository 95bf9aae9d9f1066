/**
 * Any sequence of steps, forks, truncations, frees and compactions, with data,
 * held against {@linkcode KvModel}: in the end every live sequence of either
 * cache reads back, bit by bit, the rows that were committed.
 *
 * @module
 */

import { assertGreater } from "@std/assert";
import fc from "fast-check";
import { ContiguousCache, type Gpu, KvCache } from "../../mod.ts";
import { gpuTest } from "../support/gpu.ts";
import { type CommandStep, ModelCommand } from "../support/model_commands.ts";
import { checkProperty, commandLists } from "../support/property.ts";
import { KvModel, type Way } from "./kv_cache_model.ts";

type KvCommand = ModelCommand<KvModel>;

/** A command that takes live sequences. */
function onLive(label: string, step: CommandStep<KvModel>): KvCommand {
  return new ModelCommand(label, step, ({ live }) => live.length > 0);
}

const pick = fc.nat(1000);
const picks = fc.array(fc.tuple(pick, fc.nat(9)), {
  minLength: 1,
  maxLength: 3,
});
const ways = fc.constantFrom<Way>(
  "append",
  "write",
  "encode",
  "rewrite",
  "later",
);

const create = fc.constant(
  new ModelCommand<KvModel>("create", (model) => model.create()),
);

const add = fc.tuple(picks, ways).map(([picks, way]) =>
  onLive(
    `${way} ${picks.join(" ")}`,
    (model) => model.add(model.pick(picks), way),
  )
);

const cancel = fc.tuple(picks, fc.nat(2)).map(([picks, written]) =>
  onLive(
    `cancel ${picks.join(" ")}, ${written} layers written`,
    (model) => model.cancel(model.pick(picks), written),
  )
);

const misfit = picks.map((picks) =>
  onLive(
    `append misfits ${picks.join(" ")}`,
    (model) => model.misfit(model.pick(picks)),
  )
);

const fork = pick.map((i) =>
  onLive(`fork #${i}`, (model) => model.fork(model.live[i % model.live.length]))
);

const truncate = fc.tuple(pick, fc.nat(9)).map(([i, cut]) =>
  onLive(`truncate #${i} by pick ${cut}`, (model) => {
    const sequence = model.live[i % model.live.length];
    model.truncate(sequence, cut % (sequence.tokens.length + 1));
  })
);

const free = pick.map((i) =>
  onLive(`free #${i}`, (model) => model.free(model.live[i % model.live.length]))
);

const compact = fc.constant(
  new ModelCommand<KvModel>("compact", (model) => model.compact()),
);

const EVEN = { kvHeads: 1, headDim: 4, valueHeadDim: 2 };
const ODD = { kvHeads: 1, headDim: 5, valueHeadDim: 3, dtype: "f16" } as const;

/** Registers the test for caches of one kind. */
function modelTest(
  name: string,
  make: readonly ((gpu: Gpu) => Promise<KvCache | ContiguousCache>)[],
  features: readonly string[] = [],
): void {
  gpuTest(name, async (_, gpu) => {
    let copies = 0;
    for (const open of make) {
      using cache = await open(gpu);
      const commands = commandLists(
        [create, add, add, add, cancel, misfit, fork, fork, truncate, free]
          .concat(compact),
        { maxCommands: 30, size: "max" },
      );
      await checkProperty(name, [commands], async (list) => {
        const model = new KvModel(gpu, cache);
        model.create();
        try {
          fc.modelRun(() => ({ model, real: undefined }), list);
          await model.read();
          copies += model.copies;
        } finally {
          model.finish();
        }
      }, { runs: 25 });
    }
    assertGreater(copies, 0, "no step asked for a copy");
  }, { features });
}

const SIZE = { blockSize: 3, layers: 2 };

modelTest(
  "KvCache sequences keep their rows through forks and writes",
  [12, 4].map((blocks) => (gpu) =>
    KvCache.create(gpu, {
      ...EVEN,
      ...SIZE,
      numBlocks: 12,
      maxArenaBytes: blocks * 3 * 6 * 4,
    })
  ),
);

modelTest(
  "ContiguousCache sequences keep their rows through moves and writes",
  [
    (gpu) => ContiguousCache.create(gpu, { ...EVEN, ...SIZE, numBlocks: 12 }),
    (gpu) =>
      ContiguousCache.create(gpu, {
        ...EVEN,
        ...SIZE,
        numBlocks: 24,
        growth: { policy: "powerOfTwo" },
      }),
  ],
);

modelTest(
  "ContiguousCache sequences keep their rows in f16, in odd head dims",
  [(gpu) => ContiguousCache.create(gpu, { ...ODD, ...SIZE, numBlocks: 12 })],
  ["shader-f16"],
);
