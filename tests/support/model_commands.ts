/**
 * Stateful properties: any list of commands, run on a model that holds what is
 * under test beside what is true of it.
 *
 * @module
 */

import fc from "fast-check";
import { commandLists, property } from "./property.ts";

/** What is under test, beside what is true of it. */
export interface CommandModel {
  /** What was done so far, for the message of a failure. */
  readonly trace: string[];
  /** Checks everything that must hold between any two commands. */
  check(): void;
  /** Gives everything back, and checks that it is back. */
  finish(): void;
}

/** What a command does; it may say how it went. */
export type CommandStep<M> = (model: M) => string | void;

/** A command on a model; what it did goes to the model's trace. */
export class ModelCommand<M extends CommandModel>
  implements fc.Command<M, undefined> {
  readonly #label: string;
  readonly #step: CommandStep<M>;
  readonly #applies: (model: Readonly<M>) => boolean;

  /** Names the command, and says what it does, and to which states. */
  constructor(
    label: string,
    step: CommandStep<M>,
    applies: (model: Readonly<M>) => boolean = () => true,
  ) {
    this.#label = label;
    this.#step = step;
    this.#applies = applies;
  }

  /** Whether there is anything to do. */
  check(model: Readonly<M>): boolean {
    return this.#applies(model);
  }

  /** Runs the step, then the model's checks. */
  run(model: M): void {
    model.trace.push(this.#label);
    try {
      model.trace.push(`  ${this.#step(model) ?? "done"}`);
      model.check();
    } catch (error) {
      throw new Error(
        `${(error as Error).message}\nTrace:\n${model.trace.join("\n")}`,
        { cause: error },
      );
    }
  }

  /** The label: what ran is in the model's trace. */
  toString(): string {
    return this.#label;
  }
}

/** The commands of one kind of model, and how a run begins. */
export interface ModelProperty<S, M extends CommandModel> {
  /** What a run begins with. */
  readonly setup: fc.Arbitrary<S>;
  /** The commands; one that stands there twice comes twice as often. */
  readonly commands: fc.Arbitrary<ModelCommand<M>>[];
  /** Begins a run. */
  readonly begin: (setup: S) => M;
  /** How long the lists are. Defaults to size `"+1"`. */
  readonly lists?: Pick<fc.CommandsContraints, "maxCommands" | "size">;
  /** Runs when `FC_RUNS` is not set. Defaults to 200. */
  readonly runs?: number;
}

/** Registers a test that holds any list of commands against a model. */
export function modelProperty<S, M extends CommandModel>(
  name: string,
  { setup, commands, begin, lists, runs = 200 }: ModelProperty<S, M>,
): void {
  property(
    name,
    [setup, commandLists(commands, lists ?? { size: "+1" })],
    (setup, commands) => {
      const model = begin(setup);
      fc.modelRun(() => ({ model, real: undefined }), commands);
      model.finish();
    },
    { runs },
  );
}

/** Which of several live things a command takes. */
export const anyIndex: fc.Arbitrary<number> = fc.nat(20);

/** How many tokens a command adds: often none or one, now and then many. */
export const anyCount: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(0, 1),
  fc.nat(8),
  fc.nat(40),
);

/** Blocks that can be used: mostly few, so that they run short. */
export const anyBlocks: fc.Arbitrary<number> = fc.oneof(
  fc.integer({ min: 1, max: 4 }),
  fc.integer({ min: 1, max: 24 }),
);

/** Tokens of a block. */
export const anyBlockSize: fc.Arbitrary<number> = fc.constantFrom(1, 2, 5, 16);

/** Numbers that are no count, length or position of anything. */
export const BAD_INTEGERS: readonly number[] = [-1, 0.5, NaN, Infinity];

/**
 * Sequences of a run at most: forks and empty ones take no block, so that a
 * long run would have no end of them.
 */
export const MOST_SEQUENCES = 10;
