/**
 * Any sequence of operations on a cache manager, held against
 * {@linkcode ServiceModel}: prefix hits with forced collisions, forks, beams,
 * windows, preemption, swaps, pins, evictions and failing allocations.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  anyIndex as index,
  type CommandStep,
  ModelCommand,
  modelProperty,
} from "../../support/model_commands.ts";
import { ServiceModel, type ServiceOptions } from "./service_model.ts";

const command = (label: string, step: CommandStep<ServiceModel>) =>
  new ModelCommand(label, step);

/** Few tokens, so that starts are shared and differ late. */
const token = fc.nat(1);
const tokens = fc.array(token, { maxLength: 14, size: "max" });
/** Forks take no block, so that a long run would have no end of them. */
const MOST_SEQUENCES = 30;
/** Which allocation fails: often none, as few make so many. */
const nth = fc.constantFrom(0, 1, 9);

const create = fc.tuple(fc.nat(2), tokens, nth).map(([domain, tokens, nth]) =>
  command(`create ${tokens} in ${domain}, failing at ${nth}`, (model) => {
    if (model.tracked.length >= MOST_SEQUENCES) return "enough";
    const before = model.cache.canAdmit(tokens, {
      domain: model.domain(domain),
    });
    return `${before}: ${model.begin({ domain, tokens: [...tokens], nth })}`;
  })
);

/** Goes on with pending tokens, or with new ones. */
const reserve = fc.tuple(index, tokens, nth).map(([i, fresh, nth]) =>
  command(
    `reserve ${fresh} or pending in #${i}, failing at ${nth}`,
    (model) => {
      const tracked = model.pick(i);
      if (!tracked) return "none";
      const pending = tracked.tokens.slice(tracked.reserved);
      const tokens = pending.slice(0, fresh.length + 1);
      if (pending.length === 0) {
        tokens.push(...fresh);
        tracked.tokens.push(...fresh);
      }
      const { sequence } = tracked;
      const done = model.attempt(
        nth,
        () => model.cache.reserve(sequence, tokens),
      );
      if (done) {
        model.copies([done]);
        model.reserved(tracked, tokens.length, done);
        return `now ${sequence.tables.map(({ blocks }) => `[${blocks}]`)}`;
      }
      return "refused";
    },
  )
);

const commit = fc.tuple(index, fc.nat(30)).map(([i, pick]) =>
  command(`commit #${i} by pick ${pick}`, (model) => {
    const tracked = model.pick(i);
    if (!tracked) return "none";
    const open = tracked.reserved - tracked.committed;
    // Mostly all of it.
    const end = tracked.reserved - (pick < 20 ? 0 : pick % (open + 1));
    model.commit(tracked, end);
    return `to ${end}`;
  })
);

const truncate = fc.tuple(index, fc.nat(30)).map(([i, pick]) =>
  command(`truncate #${i} by pick ${pick}`, (model) => {
    const tracked = model.pick(i);
    if (!tracked) return "none";
    const open = tracked.reserved - tracked.committed;
    const end = tracked.committed + pick % (open + 1);
    model.cache.truncate(tracked.sequence, end);
    tracked.tokens.length = end;
    tracked.reserved = end;
    return `to ${end}`;
  })
);

const fork = fc.tuple(index, fc.integer({ min: 1, max: 3 })).map(([i, count]) =>
  command(`fork #${i} ${count} ways`, (model) => {
    const tracked = model.pick(i);
    if (!tracked) return "none";
    if (model.tracked.length >= MOST_SEQUENCES) return "enough";
    if (tracked.reserved === 0) {
      model.refuses(() => model.cache.fork(tracked.sequence), RangeError);
      return "refused";
    }
    const { freeBlocks } = model.pool;
    for (const sequence of model.cache.fork(tracked.sequence, count)) {
      const tokens = tracked.tokens.slice(0, tracked.reserved);
      model.tracked.push({ ...tracked, sequence, tokens });
    }
    assertEquals(model.pool.freeBlocks, freeBlocks, "a fork takes no block");
  })
);

const reorder = fc.tuple(
  fc.array(fc.tuple(index, index, token), { minLength: 1, maxLength: 4 }),
  nth,
).map(([picks, nth]) =>
  command(`reorder ${picks.join(" ")}, failing at ${nth}`, (model) => {
    const running = model.tracked.filter(({ sequence }) =>
      sequence.status === "running"
    );
    const beams = [...new Set(picks.map(([i]) => running[i % running.length]))];
    if (running.length === 0) return "none";
    const parents = beams.map((_, i) => picks[i][1] % beams.length);
    // Beams of different domains do not go on from each other.
    parents.forEach((p, i) => {
      if (beams[p].domain !== beams[i].domain) parents[i] = i;
    });
    const tokens = beams.map((_, i) => picks[i][1] % 3 ? [picks[i][2]] : []);
    const holders = model.pool.usedBlocks;
    const done = model.attempt(nth, () =>
      model.cache.reorder({
        beams: beams.map(({ sequence }) => sequence),
        parents,
        tokens,
      }));
    if (!done) return `refused with ${holders} used`;
    const before = beams.map((beam) => ({ ...beam }));
    model.copies(done);
    beams.forEach((beam, i) => {
      const { tokens: old, reserved, committed } = before[parents[i]];
      beam.tokens = [...old.slice(0, reserved), ...tokens[i]];
      Object.assign(beam, { reserved, committed });
    });
    beams.forEach((beam, i) => model.reserved(beam, tokens[i].length, done[i]));
    return `from ${parents}`;
  })
);

const free = index.map((i) =>
  command(`free #${i}`, (model) => {
    const tracked = model.tracked[i % model.tracked.length];
    if (!tracked) return "none";
    const { sequence } = tracked;
    if (sequence.status.startsWith("swapping")) {
      model.refuses(() => model.cache.free(sequence), TypeError);
      model.refuses(() => model.cache.preempt(sequence), TypeError);
      return "refused";
    }
    model.cache.free(sequence);
    model.tracked.splice(model.tracked.indexOf(tracked), 1);
    model.gone.push(sequence);
  })
);

const preempt = fc.tuple(index, fc.boolean()).map(([i, pick]) =>
  command(`preempt #${i} ${pick}`, (model) => {
    const tracked = pick ? model.pick(i, "swapped") : model.pick(i);
    if (!tracked) return "none";
    model.cache.preempt(tracked.sequence);
    tracked.reserved = tracked.committed = 0;
  })
);

const resume = fc.tuple(index, nth).map(([i, nth]) =>
  command(`resume #${i}, failing at ${nth}`, (model) => {
    const preempted = model.pick(i, "preempted");
    if (!preempted) return "none";
    const { domain, tokens } = preempted;
    return model.begin({ domain, tokens, nth, preempted });
  })
);

const swap = fc.tuple(fc.boolean(), fc.array(index, { maxLength: 3 }), nth)
  .map(([pick, picks, nth]) =>
    command(`swap #${picks} ${pick}, failing at ${nth}`, (model) => {
      const out = pick || !model.pick(0, "swapped");
      const status = out ? "running" : "swapped";
      const members = [...new Set(picks.map((i) => model.pick(i, status)))]
        .filter((tracked) => tracked !== undefined);
      const sequences = members.map(({ sequence }) => sequence);
      if (members.length === 0) return "none";
      const transfer = model.attempt(
        nth,
        () =>
          out
            ? model.cache.beginSwapOut(sequences)
            : model.cache.beginSwapIn(sequences),
      );
      if (!transfer) return "refused";
      assertEquals(
        new Set(transfer.copies.map(({ block }) => block)).size,
        transfer.copies.length,
        "each block goes once",
      );
      model.transfers.push({ transfer, members });
      return transfer.direction;
    })
  );

const settle = fc.tuple(index, fc.boolean()).map(([i, abort]) =>
  command(`${abort ? "abort" : "complete"} transfer #${i}`, (model) => {
    const at = i % model.transfers.length;
    const entry = model.transfers[at];
    if (!entry) return "none";
    if (!abort) return model.complete(at);
    model.transfers.splice(at, 1);
    model.cache.abortSwap(entry.transfer);
    model.refuses(() => model.cache.abortSwap(entry.transfer), TypeError);
  })
);

const pin = fc.tuple(index, fc.nat(3)).map(([i, ttl]) =>
  command(`pin the start of #${i} for ${ttl + 1}`, (model) => {
    const tracked = model.tracked[i % model.tracked.length];
    if (!model.index || !tracked) return "none";
    model.pins.push(model.index.pin(tracked.tokens, {
      ...model.domain(tracked.domain),
      // As many groups as there are, each is pinned for itself.
      group: i % model.groups.length,
      ttl: ttl + 1,
    }));
    return `blocks ${model.pins.at(-1)!.blocks}`;
  })
);

const tick = fc.constant(
  command("tick", (model) => {
    model.now++;
    model.index?.expirePins();
  }),
);

const evict = index.map((i) =>
  command(`evict block #${i}`, (model) => {
    model.evict(1 + i % model.pool.totalBlocks);
  })
);

const reset = fc.constant(command("reset", (model) => model.reset()));

const misuse = index.map((i) =>
  command(`misuse #${i}`, (model) => {
    const { cache } = model;
    for (const gone of model.gone.slice(-2)) {
      model.refuses(() => cache.free(gone), TypeError);
      model.refuses(() => cache.reserve(gone, [1]), TypeError);
      model.refuses(() => cache.fork(gone), TypeError);
      model.refuses(() => cache.preempt(gone), TypeError);
      model.refuses(() => cache.beginSwapOut([gone]), TypeError);
    }
    const tracked = model.pick(i);
    if (!tracked) return;
    const { sequence, reserved } = tracked;
    model.refuses(() => cache.reserve(sequence, [-1]), RangeError);
    model.refuses(() => cache.reserve(sequence, ["1"] as never), TypeError);
    model.refuses(() => cache.commit(sequence, reserved + 1), RangeError);
    model.refuses(() => cache.truncate(sequence, -1), RangeError);
    model.refuses(() => cache.fork(sequence, 0.5), RangeError);
    model.refuses(() => cache.resume(sequence, [1]), TypeError);
    model.refuses(
      () => cache.reorder({ beams: [sequence], parents: [1] }),
      RangeError,
    );
    model.refuses(
      () => cache.create([1], { salt: [] as never }),
      TypeError,
    );
    (sequence.tables[0].blocks as number[]).reverse();
    (sequence.tokens as number[]).push(7);
    assert(sequence.tables[0].blocks !== sequence.tables[0].blocks);
  })
);

modelProperty(
  "CacheManager lets every sequence read its own tokens, whatever it shares",
  {
    setup: fc.record<ServiceOptions>({
      usable: fc.oneof(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 40 }),
      ),
      blockSize: fc.constantFrom(1, 2, 2, 3, 4),
      windows: fc.constantFrom([-1], [-1], [2], [-1, 3], [0, 5], [-1, 1, 4]),
      hostBlocks: fc.constantFrom(0, 2, 20),
      hash: fc.constantFrom("weak", "chain", "chain", "none"),
    }),
    begin: (options) => new ServiceModel(options),
    commands: [
      create,
      create,
      reserve,
      reserve,
      reserve,
      reserve,
      commit,
      commit,
      commit,
      truncate,
      fork,
      reorder,
      free,
      preempt,
      resume,
      swap,
      settle,
      pin,
      tick,
      evict,
      reset,
      misuse,
    ],
    lists: { maxCommands: 200, size: "max" },
    runs: 100,
  },
);
