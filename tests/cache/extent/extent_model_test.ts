/**
 * Any sequence of operations on contiguous sequences that share one pool, held
 * against {@linkcode ExtentModel}.
 *
 * @module
 */

import fc from "fast-check";
import { OutOfBlocksError } from "../../../src/cache/mod.ts";
import { commandLists, property } from "../../support/property.ts";
import { ExtentModel, type ExtentSetup } from "./extent_model.ts";

/** A command on the model; what it did goes to the model's trace. */
class ExtentCommand implements fc.Command<ExtentModel, undefined> {
  readonly #label: string;
  readonly #needsLive: boolean;
  readonly #step: (model: ExtentModel) => string | void;

  constructor(
    label: string,
    step: (model: ExtentModel) => string | void,
    needsLive = true,
  ) {
    this.#label = label;
    this.#step = step;
    this.#needsLive = needsLive;
  }

  check(model: Readonly<ExtentModel>): boolean {
    return !this.#needsLive || model.live.length > 0;
  }

  run(model: ExtentModel): void {
    model.trace.push(this.#label);
    try {
      const outcome = this.#step(model);
      if (outcome) model.trace.push(`  ${outcome}`);
      model.check();
    } catch (error) {
      throw new Error(
        `${(error as Error).message}\nTrace:\n${model.trace.join("\n")}`,
        { cause: error },
      );
    }
  }

  toString(): string {
    return this.#label;
  }
}

/** Empty ones take no block, so that a long run would have no end of them. */
const MOST_SEQUENCES = 10;

function create(): ExtentCommand {
  return new ExtentCommand("create", (model) => {
    if (model.live.length >= MOST_SEQUENCES) return "enough";
    model.create();
  }, false);
}

function append([index, count]: [number, number]): ExtentCommand {
  return new ExtentCommand(
    `append ${count} to #${index}`,
    (model) => model.append(model.pick(index), count),
  );
}

function fork(index: number): ExtentCommand {
  return new ExtentCommand(
    `fork #${index}`,
    (model) =>
      model.live.length >= MOST_SEQUENCES
        ? "enough"
        : model.fork(model.pick(index)),
  );
}

function truncate([index, pick]: [number, number]): ExtentCommand {
  return new ExtentCommand(`truncate #${index} by pick ${pick}`, (model) => {
    const own = model.pick(index);
    const length = pick % (own.tokens.length + 1);
    model.truncate(own, length);
    return `to ${length}`;
  });
}

function free(index: number): ExtentCommand {
  return new ExtentCommand(
    `free #${index}`,
    (model) => model.free(model.pick(index)),
  );
}

function compact(): ExtentCommand {
  return new ExtentCommand("compact", (model) => model.compact(), false);
}

/** Calls that must be refused whatever the state is. */
function misuse(index: number): ExtentCommand {
  return new ExtentCommand(`misuse #${index}`, (model) => {
    const { pool } = model;
    const { sequence } = model.pick(index);
    const { length } = sequence;
    for (const bad of [-1, 0.5, NaN, Infinity]) {
      model.refuses(() => sequence.append(bad), RangeError);
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
    model.refuses(() => sequence.append("1" as never), TypeError);
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
      model.refuses(() => dead.append(1), TypeError);
      model.refuses(() => dead.fork(), TypeError);
      model.refuses(() => dead.truncate(0), TypeError);
      model.refuses(() => dead.start, TypeError);
    }
  });
}

const index = fc.nat(20);
const count = fc.oneof(fc.constantFrom(0, 1), fc.nat(8), fc.nat(40));

const setup: fc.Arbitrary<ExtentSetup> = fc.record({
  numBlocks: fc.oneof(
    fc.integer({ min: 1, max: 4 }),
    fc.integer({ min: 1, max: 24 }),
  ),
  blockSize: fc.constantFrom(1, 2, 5, 16),
}).chain((size) =>
  fc.constantFrom<ExtentSetup>(
    size,
    { ...size, policy: "page", maxLength: 50 },
    { ...size, policy: "powerOfTwo" },
    { ...size, policy: "powerOfTwo", maxLength: 50 },
    { ...size, policy: "max", maxLength: 11 },
  )
);

property(
  "ContiguousSequence keeps every sequence's tokens in order through moves",
  [
    setup,
    commandLists(
      [
        fc.constant(null).map(create),
        fc.tuple(index, count).map(append),
        fc.tuple(index, count).map(append),
        index.map(fork),
        fc.tuple(index, fc.nat(100)).map(truncate),
        index.map(free),
        fc.constant(null).map(compact),
        index.map(misuse),
      ],
      { size: "+1" },
    ),
  ],
  (size, commands) => {
    const model = new ExtentModel(size);
    fc.modelRun(() => ({ model, real: undefined }), commands);
    model.finish();
  },
  { runs: 200 },
);
