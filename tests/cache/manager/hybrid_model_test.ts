/**
 * Any sequence of operations on a cache manager with groups of states, alone and
 * beside groups of attention, held against {@linkcode HybridModel}.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  anyIndex as index,
  type CommandStep,
  ModelCommand,
  modelProperty,
} from "../../support/model_commands.ts";
import { HybridModel, type HybridTracked } from "./hybrid_model.ts";

const command = (label: string, step: CommandStep<HybridModel>) =>
  new ModelCommand(label, step);

/** Few tokens, so that starts are shared and differ late. */
const token = fc.nat(1);
const tokens = fc.array(token, { maxLength: 14, size: "max" });
const MOST_SEQUENCES = 20;
/** Prompts that begin alike, and part at some place. */
const prompt = fc.tuple(fc.nat(13), tokens).map(([same, rest]) =>
  [...new Array<number>(same).fill(0), ...rest].slice(0, 15)
);

const create = fc.tuple(fc.nat(1), prompt).map(([domain, tokens]) =>
  command(`create ${tokens} in ${domain}`, (model) => {
    if (model.tracked.length >= MOST_SEQUENCES) return "enough";
    const verdict = model.cache.canAdmit(tokens, {
      domain: { salt: domain + 1 },
    });
    return `${verdict}: ${model.begin(domain, [...tokens])}`;
  })
);

/** A prompt from its beginning to its end, or to that of its sequence. */
const serve = fc.tuple(fc.nat(3), prompt, fc.boolean()).map(
  ([domain, tokens, free]) =>
    command(`serve ${tokens} in ${domain & 1}, free ${free}`, (model) => {
      if (model.tracked.length >= MOST_SEQUENCES) return "enough";
      const found = model.begin(domain & 1, [...tokens]);
      const tracked = model.tracked.at(-1)!;
      const { sequence } = tracked;
      const pending = tokens.slice(tracked.reserved);
      const done = model.attempt(() => model.cache.reserve(sequence, pending));
      if (done) {
        tracked.reserved = tokens.length;
        model.run([tracked], [done]);
        model.commit(tracked, tokens.length);
        model.check();
      }
      if (!done || free) {
        model.cache.free(sequence);
        model.tracked.pop();
      }
      return found;
    }),
);

/** What a sequence goes on with: what is pending, or new tokens. */
function next(tracked: HybridTracked, fresh: readonly number[]): number[] {
  const pending = tracked.tokens.slice(tracked.reserved);
  if (pending.length > 0) return pending.slice(0, fresh.length + 1);
  tracked.tokens.push(...fresh);
  return [...fresh];
}

/** A step of several sequences, side by side; mostly committed. */
const step = fc.tuple(
  fc.array(fc.tuple(index, tokens), { minLength: 1, maxLength: 4 }),
  fc.nat(3),
).map(([picks, left]) =>
  command(`step ${JSON.stringify(picks)}, ${left} left`, (model) => {
    const served: HybridTracked[] = [];
    const done = [];
    for (const [i, fresh] of picks) {
      const tracked = model.pick(i);
      if (!tracked || served.includes(tracked)) continue;
      const { length } = tracked.tokens;
      const added = next(tracked, fresh);
      const { sequence } = tracked;
      const reservation = model.attempt(() =>
        model.cache.reserve(sequence, added)
      );
      if (reservation === undefined) {
        tracked.tokens.length = length;
        continue;
      }
      tracked.reserved += added.length;
      served.push(tracked);
      done.push(reservation);
    }
    model.run(served, done);
    for (const tracked of served.slice(left === 0 ? 1 : 0)) {
      model.commit(tracked, tracked.reserved);
    }
    return served.map(({ sequence }) =>
      sequence.states.map(({ slots }) => `[${slots}]`)
    ).join(" ");
  })
);

/** Some drafts are accepted, and the others forgotten. */
const drafts = fc.tuple(index, tokens, fc.nat(14)).map(([i, fresh, accepted]) =>
  command(`drafts ${fresh} of #${i}, ${accepted} accepted`, (model) => {
    const tracked = model.pick(i);
    if (!tracked || tracked.reserved > tracked.committed) return "none";
    const { length } = tracked.tokens;
    const added = next(tracked, fresh);
    const { sequence } = tracked;
    const done = model.attempt(() =>
      model.cache.reserve(sequence, added, { drafts: true })
    );
    if (done === undefined) {
      tracked.tokens.length = length;
      return "refused";
    }
    tracked.reserved += added.length;
    model.run([tracked], [done]);
    const end = tracked.committed + accepted % (added.length + 1);
    model.commit(tracked, end);
    model.cache.truncate(sequence, end);
    tracked.tokens.length = tracked.reserved = end;
    return `to ${end}`;
  })
);

/** Who has tokens reserved says that they are written, or were never. */
const settle = fc.tuple(index, fc.boolean()).map(([i, written]) =>
  command(`settle #${i} ${written}`, (model) => {
    const tracked = model.pick(i);
    if (!tracked || tracked.reserved === tracked.committed) return "none";
    if (written) model.commit(tracked, tracked.reserved);
    else model.cache.preempt(tracked.sequence);
    if (!written) tracked.reserved = tracked.committed = 0;
  })
);

/** A reservation that is taken back before anything ran. */
const cancel = fc.tuple(index, tokens).map(([i, fresh]) =>
  command(`cancel ${fresh} of #${i}`, (model) => {
    const tracked = model.pick(i);
    if (!tracked || fresh.length === 0) return "none";
    const { sequence, reserved } = tracked;
    const before = sequence.states.map(({ slot }) => slot);
    const done = model.attempt(() => model.cache.reserve(sequence, fresh));
    if (!done) return "short";
    model.copy([done]);
    const inPlace = sequence.states.some((s) =>
      reserved > 0 && s.slotAt(reserved) === 0
    );
    if (inPlace) {
      model.refuses(
        () => model.cache.truncate(sequence, reserved),
        TypeError,
      );
    }
    model.cache.truncate(sequence, reserved, { unwritten: true });
    assertEquals(sequence.states.map(({ slot }) => slot), before);
  })
);

const fork = fc.tuple(index, fc.integer({ min: 1, max: 3 })).map(([i, count]) =>
  command(`fork #${i} ${count} ways`, (model) => {
    const tracked = model.pick(i);
    if (!tracked || tracked.reserved === 0) return "none";
    if (model.tracked.length >= MOST_SEQUENCES) return "enough";
    const { sequence, reserved, committed } = tracked;
    if (reserved > committed) {
      model.refuses(() => model.cache.fork(sequence), TypeError);
      return "refused";
    }
    for (const fork of model.cache.fork(sequence, count)) {
      const tokens = tracked.tokens.slice(0, reserved);
      model.tracked.push({ ...tracked, sequence: fork, tokens });
    }
  })
);

const reorder = fc.array(fc.tuple(index, index, token), {
  minLength: 1,
  maxLength: 4,
}).map((picks) =>
  command(`reorder ${picks.join(" ")}`, (model) => {
    const running = model.tracked.filter(({ sequence, reserved, committed }) =>
      sequence.status === "running" && reserved === committed
    );
    if (running.length === 0) return "none";
    const beams = [...new Set(picks.map(([i]) => running[i % running.length]))];
    const parents = beams.map((_, i) => picks[i][1] % beams.length);
    parents.forEach((p, i) => {
      if (beams[p].domain !== beams[i].domain) parents[i] = i;
    });
    const tokens = beams.map((_, i) => picks[i][1] % 3 ? [picks[i][2]] : []);
    const done = model.attempt(() =>
      model.cache.reorder({
        beams: beams.map(({ sequence }) => sequence),
        parents,
        tokens,
      })
    );
    if (!done) return "refused";
    const before = beams.map((beam) => ({ ...beam }));
    beams.forEach((beam, i) => {
      const { tokens: old, reserved, committed } = before[parents[i]];
      beam.tokens = [...old.slice(0, reserved), ...tokens[i]];
      Object.assign(beam, { reserved: beam.tokens.length, committed });
    });
    model.run(beams, done);
    for (const beam of beams) model.commit(beam, beam.reserved);
    return `from ${parents}`;
  })
);

const free = fc.tuple(index, fc.boolean()).map(([i, preempt]) =>
  command(`${preempt ? "preempt" : "free"} #${i}`, (model) => {
    const tracked = model.pick(i) ?? model.pick(i, "swapped");
    if (!tracked) return "none";
    if (preempt) {
      model.cache.preempt(tracked.sequence);
      tracked.reserved = tracked.committed = 0;
      return;
    }
    model.cache.free(tracked.sequence);
    model.tracked.splice(model.tracked.indexOf(tracked), 1);
  })
);

const resume = index.map((i) =>
  command(`resume #${i}`, (model) => {
    const preempted = model.pick(i, "preempted");
    if (!preempted) return "none";
    return model.begin(preempted.domain, preempted.tokens, preempted);
  })
);

const swap = fc.tuple(fc.boolean(), fc.array(index, { maxLength: 3 }))
  .map(([pick, picks]) =>
    command(`swap #${picks} ${pick}`, (model) => {
      const out = pick || !model.pick(0, "swapped");
      const status = out ? "running" : "swapped";
      const members = [...new Set(picks.map((i) => model.pick(i, status)))]
        .filter((tracked) => tracked !== undefined);
      const sequences = members.map(({ sequence }) => sequence);
      if (members.length === 0) return "none";
      if (members.some(({ reserved, committed }) => reserved > committed)) {
        model.refuses(() => model.cache.beginSwapOut(sequences), TypeError);
        return "refused";
      }
      const transfer = model.attempt(() =>
        out
          ? model.cache.beginSwapOut(sequences)
          : model.cache.beginSwapIn(sequences)
      );
      if (!transfer) return "short";
      model.transfers.push({ transfer, members });
      return JSON.stringify(transfer.states);
    })
  );

const complete = fc.tuple(index, fc.nat(5)).map(([i, abort]) =>
  command(`end transfer ${i} ${abort}`, (model) => {
    if (model.transfers.length === 0) return "none";
    model.complete(i % model.transfers.length, abort === 0);
  })
);

const pin = fc.tuple(index).map(([i]) =>
  command(`pin and unpin #${i}`, (model) => {
    const tracked = model.pick(i);
    if (!tracked || !model.stateIndex) return "none";
    const domain = { salt: tracked.domain + 1, group: model.stateGroup };
    const held = model.stateIndex.pin(tracked.tokens, domain);
    assertEquals(held.blocks.length, held.length > 0 ? 1 : 0);
    model.cache.verify();
    model.stateIndex.unpin(held);
  })
);

modelProperty(
  "CacheManager keeps states and blocks together and every slot counted",
  {
    setup: fc.record({
      usable: fc.integer({ min: 4, max: 24 }),
      blockSize: fc.constantFrom(1, 2, 3, 5),
      slots: fc.oneof(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 4, max: 20 }),
      ),
      windows: fc.constantFrom([], [-1], [-1], [-1, 3], [2]),
      recurrent: fc.integer({ min: 1, max: 2 }),
      host: fc.constantFrom(0, 2, 8),
      indexed: fc.constantFrom(true, true, true, false),
      snapshots: fc.constantFrom({}, { every: 1 }, { every: 2 }, {
        promptEnd: false,
        branches: false,
      }, { every: 2, promptEnd: false }),
    }),
    begin: (options) => new HybridModel(options),
    commands: [
      create,
      serve,
      serve,
      serve,
      step,
      step,
      step,
      drafts,
      settle,
      cancel,
      fork,
      reorder,
      free,
      resume,
      swap,
      complete,
      pin,
    ],
  },
);
