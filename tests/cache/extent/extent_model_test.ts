/**
 * Any sequence of operations on contiguous sequences that share one pool, held
 * against {@linkcode ExtentModel}.
 *
 * @module
 */

import fc from "fast-check";
import { OutOfBlocksError } from "../../../src/cache/mod.ts";
import {
  anyBlocks,
  anyBlockSize,
  anyCount,
  anyIndex,
  BAD_INTEGERS,
  type CommandStep,
  ModelCommand,
  modelProperty,
  MOST_SEQUENCES,
} from "../../support/model_commands.ts";
import { ExtentModel, type ExtentSetup } from "./extent_model.ts";

type ExtentCommand = ModelCommand<ExtentModel>;

/** A command that takes a live sequence. */
function onLive(label: string, step: CommandStep<ExtentModel>): ExtentCommand {
  return new ModelCommand(label, step, ({ live }) => live.length > 0);
}

function create(): ExtentCommand {
  return new ModelCommand("create", (model) => {
    if (model.live.length >= MOST_SEQUENCES) return "enough";
    model.create();
  });
}

function reserve([index, count]: [number, number]): ExtentCommand {
  return onLive(
    `reserve ${count} in #${index}`,
    (model) => model.reserve(model.pick(index), count),
  );
}

function commit([index, pick]: [number, number]): ExtentCommand {
  return onLive(`commit #${index} by pick ${pick}`, (model) => {
    const own = model.pick(index);
    const open = own.tokens.length - own.committed;
    const length = own.committed + pick % (open + 1);
    own.sequence.commit(length);
    own.committed = length;
    return `to ${length}`;
  });
}

function commitAll(index: number): ExtentCommand {
  return onLive(`commit #${index}`, (model) => {
    const own = model.pick(index);
    own.sequence.commit();
    own.committed = own.tokens.length;
  });
}

function fork(index: number): ExtentCommand {
  return onLive(
    `fork #${index}`,
    (model) =>
      model.live.length >= MOST_SEQUENCES
        ? "enough"
        : model.fork(model.pick(index)),
  );
}

function truncate([index, pick]: [number, number]): ExtentCommand {
  return onLive(`truncate #${index} by pick ${pick}`, (model) => {
    const own = model.pick(index);
    const length = pick % (own.tokens.length + 1);
    model.truncate(own, length);
    return `to ${length}`;
  });
}

function free(index: number): ExtentCommand {
  return onLive(
    `free #${index}`,
    (model) => model.free(model.pick(index)),
  );
}

function compact(): ExtentCommand {
  return new ModelCommand("compact", (model) => model.compact());
}

/** Calls that must be refused whatever the state is. */
function misuse(index: number): ExtentCommand {
  return onLive(`misuse #${index}`, (model) => {
    const { pool } = model;
    const { sequence, committed } = model.pick(index);
    const { length } = sequence;
    for (const bad of BAD_INTEGERS) {
      model.refuses(() => sequence.reserve(bad), RangeError);
      model.refuses(() => sequence.commit(bad), RangeError);
      model.refuses(() => sequence.truncate(bad), RangeError);
      model.refuses(() => sequence.slot(bad), RangeError);
      model.refuses(
        () => pool.allocate({ blocks: bad, tokens: 0 }),
        RangeError,
      );
      model.refuses(
        () => pool.allocate({ blocks: 1, tokens: bad }),
        RangeError,
      );
    }
    model.refuses(() => sequence.reserve("1" as never), TypeError);
    model.refuses(() => sequence.commit("1" as never), TypeError);
    model.refuses(() => sequence.commit(length + 1), RangeError);
    model.refuses(() => sequence.commit(committed - 1), RangeError);
    model.refuses(() => sequence.truncate(length + 1), RangeError);
    model.refuses(() => sequence.slot(length), RangeError);
    const blocks = pool.largestFree + 1;
    model.refuses(() => pool.allocate({ blocks, tokens: 0 }), OutOfBlocksError);
    const stranger = { start: 0, blocks: 1, tokens: 1 };
    const size = { blocks: 1, tokens: 0 };
    model.refuses(() => pool.resize(stranger, size), TypeError);
    model.refuses(() => pool.release(stranger), TypeError);
    for (const dead of model.freed.slice(-2)) {
      model.refuses(() => dead.free(), TypeError);
      model.refuses(() => dead.reserve(1), TypeError);
      model.refuses(() => dead.commit(), TypeError);
      model.refuses(() => dead.fork(), TypeError);
      model.refuses(() => dead.truncate(0), TypeError);
      model.refuses(() => dead.start, TypeError);
      model.refuses(() => dead.committed, TypeError);
    }
  });
}

const setup: fc.Arbitrary<ExtentSetup> = fc.record({
  numBlocks: anyBlocks,
  blockSize: anyBlockSize,
}).chain((size) =>
  fc.constantFrom<ExtentSetup>(
    size,
    { ...size, policy: "page", maxLength: 50 },
    { ...size, policy: "powerOfTwo" },
    { ...size, policy: "powerOfTwo", maxLength: 50 },
    { ...size, policy: "max", maxLength: 11 },
  )
);

modelProperty(
  "ContiguousSequence keeps every sequence's tokens in order through moves",
  {
    setup,
    begin: (setup) => new ExtentModel(setup),
    commands: [
      fc.constant(null).map(create),
      fc.tuple(anyIndex, anyCount).map(reserve),
      fc.tuple(anyIndex, anyCount).map(reserve),
      fc.tuple(anyIndex, fc.nat(100)).map(commit),
      anyIndex.map(commitAll),
      anyIndex.map(fork),
      fc.tuple(anyIndex, fc.nat(100)).map(truncate),
      anyIndex.map(free),
      fc.constant(null).map(compact),
      anyIndex.map(misuse),
    ],
  },
);
