/**
 * Any sequence of operations on states, held against {@linkcode StateModel}.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { StateSequence } from "../../../src/cache/mod.ts";
import {
  anyBlocks,
  anyIndex as index,
  BAD_INTEGERS,
  type CommandStep,
  ModelCommand,
  modelProperty,
} from "../../support/model_commands.ts";
import { runParts, StateModel, type TrackedState } from "./state_model.ts";

const command = (label: string, step: CommandStep<StateModel>) =>
  new ModelCommand(label, step);

const MOST_SEQUENCES = 12;
const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 9 });

const create = fc.constant(null).map(() =>
  command("create", (model) => {
    if (model.tracked.length >= MOST_SEQUENCES) return "enough";
    const sequence = new StateSequence(model.pool);
    model.tracked.push({ sequence, text: "", lengths: [0], over: new Set() });
  })
);

/** One step of several sequences, some of them more than once. */
const step = fc.array(
  fc.record({
    pick: index,
    fresh: letters,
    stops: fc.nat(2 ** 9 - 1),
    keep: fc.boolean(),
  }),
  { minLength: 1, maxLength: 4 },
).map((requests) =>
  command(`step ${JSON.stringify(requests)}`, (model) => {
    const texts: string[] = [];
    const steps: ReturnType<StateSequence["reserve"]>[] = [];
    const served: TrackedState[] = [];
    for (const { pick, fresh, stops, keep } of requests) {
      const tracked = model.pick(pick);
      if (!tracked) return "none";
      const { length } = tracked.text;
      const at = Array.from({ length: fresh.length }, (_, i) => length + i)
        .filter((_, i) => i > 0 && (stops >> i & 1) === 1);
      const parts = model.reserve(tracked, fresh, { at, keep });
      if (parts === undefined) continue;
      const known = served.indexOf(tracked);
      if (known >= 0) {
        steps[known].push(...parts);
        texts[known] = tracked.text;
        continue;
      }
      served.push(tracked);
      texts.push(tracked.text);
      steps.push(parts);
    }
    runParts(model.memory, texts, steps);
    served.forEach((tracked) => model.checkWritten(tracked));
    return steps.map((parts) => JSON.stringify(parts)).join(" ");
  })
);

const commit = fc.tuple(index, fc.nat(30)).map(([i, at]) =>
  command(`commit #${i} at ${at}`, (model) => {
    const tracked = model.pick(i);
    if (!tracked) return "none";
    // Mostly all of it.
    model.commit(tracked, at < 20 ? tracked.lengths.length - 1 : at);
  })
);

const truncate = fc.tuple(index, fc.nat(30)).map(([i, at]) =>
  command(`truncate #${i} at ${at}`, (model) => {
    const tracked = model.pick(i);
    if (!tracked) return "none";
    const done = model.truncate(tracked, at, false);
    model.checkWritten(tracked);
    return done;
  })
);

/** A reservation that is taken back before anything was written. */
const cancel = fc.tuple(index, letters, fc.boolean()).map(([i, fresh, keep]) =>
  command(`reserve and cancel #${i} ${fresh} ${keep}`, (model) => {
    const tracked = model.pick(i);
    if (!tracked) return "none";
    const at = tracked.lengths.length - 1;
    const before = [...tracked.over];
    if (!model.reserve(tracked, fresh, { at: [], keep })) return "short";
    model.truncate(tracked, at, true);
    assertEquals([...tracked.over], before);
    model.checkWritten(tracked);
  })
);

const fork = index.map((i) =>
  command(`fork #${i}`, (model) => {
    const tracked = model.pick(i);
    if (!tracked) return "none";
    if (model.tracked.length >= MOST_SEQUENCES) return "enough";
    const { sequence, text, lengths } = tracked;
    if (lengths.length > 1) {
      model.refuses(() => sequence.fork(), TypeError);
      return "refused";
    }
    const { freeBlocks } = model.pool;
    const over = new Set(tracked.over);
    const fork = sequence.fork();
    model.tracked.push({ sequence: fork, text, lengths: [...lengths], over });
    assertEquals(model.pool.freeBlocks, freeBlocks, "a fork takes no slot");
  })
);

const snapshot = index.map((i) =>
  command(`snapshot #${i}`, (model) => {
    const tracked = model.pick(i);
    if (!tracked) return "none";
    const { sequence, text, lengths } = tracked;
    if (lengths.length > 1) {
      model.refuses(() => sequence.snapshot(), TypeError);
      return "refused";
    }
    if (model.snapshots.length >= MOST_SEQUENCES) return "enough";
    model.snapshots.push({ snapshot: sequence.snapshot(), text });
  })
);

const restore = fc.tuple(index, index, fc.boolean()).map(([i, j, free]) =>
  command(`restore #${i} to snapshot ${j} ${free}`, (model) => {
    const tracked = model.pick(i);
    const at = j % model.snapshots.length;
    const taken = model.snapshots[at];
    if (!tracked || !taken) return "none";
    const { snapshot, text } = taken;
    tracked.sequence.restore(snapshot);
    const { length } = text;
    Object.assign(tracked, { text, lengths: [length], over: new Set() });
    model.checkWritten(tracked);
    if (!free) return;
    snapshot.free();
    snapshot.free();
    model.snapshots.splice(at, 1);
    model.refuses(() => tracked.sequence.restore(snapshot), TypeError);
  })
);

const free = fc.tuple(index, fc.boolean()).map(([i, detach]) =>
  command(`${detach ? "detach" : "free"} #${i}`, (model) => {
    const tracked = model.pick(i);
    if (!tracked) return "none";
    const { sequence } = tracked;
    if (detach) {
      for (const slot of sequence.detach()) model.pool.release(slot);
    } else sequence.free();
    model.tracked.splice(model.tracked.indexOf(tracked), 1);
    model.gone.push(sequence);
  })
);

const misuse = index.map((i) =>
  command(`misuse #${i}`, (model) => {
    const tracked = model.pick(i);
    if (!tracked) return "none";
    const { sequence, text, lengths } = tracked;
    const { length } = text;
    for (const bad of BAD_INTEGERS) {
      model.refuses(() => sequence.reserve(bad), RangeError);
      model.refuses(() => sequence.commit(bad), RangeError);
      model.refuses(() => sequence.truncate(bad), RangeError);
    }
    for (const at of [[length], [length + 3], [length + 2, length + 1]]) {
      model.refuses(() => sequence.reserve(3, { at }), RangeError);
    }
    model.refuses(() => sequence.reserve("1" as never), TypeError);
    model.refuses(() => sequence.reserve(1, { slots: [1, 2] }), RangeError);
    model.refuses(() => sequence.commit(length + 1), RangeError);
    model.refuses(() => sequence.commit(lengths[0] - 1), RangeError);
    model.refuses(() => sequence.truncate(lengths[0] - 1), RangeError);
    for (let at = lengths[0]; at < length; at++) {
      if (lengths.includes(at)) continue;
      model.refuses(() => sequence.commit(at), RangeError);
      model.refuses(() => sequence.truncate(at), RangeError);
    }
    for (const dead of model.gone) {
      for (const use of ["free", "commit", "fork", "snapshot", "detach"]) {
        model.refuses(() => dead[use as "free"](), TypeError);
      }
      model.refuses(() => dead.reserve(1), TypeError);
      model.refuses(() => dead.length, TypeError);
      model.refuses(() => dead.slot, TypeError);
    }
  })
);

modelProperty(
  "StateSequence keeps every sequence's state apart and every slot counted",
  {
    setup: fc.record({ usable: anyBlocks }),
    begin: (options) => new StateModel(options),
    commands: [
      create,
      step,
      step,
      step,
      commit,
      commit,
      truncate,
      cancel,
      fork,
      snapshot,
      restore,
      free,
      misuse,
    ],
  },
);
