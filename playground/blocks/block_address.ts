/** A pool and what was done in it, as the state of an address. @module */

import { type Command, readCommands, writeCommands } from "./commands.ts";
import type { PoolSize } from "./service.ts";
import { STORIES, type Story, storyOf } from "./stories.ts";

/** Commands, how many of them are done, and in what pool. */
export interface Told {
  /** The pool. */
  readonly size: PoolSize;
  /** All commands. */
  readonly commands: readonly Command[];
  /** How many are done; the others can be done again. */
  readonly at: number;
}

/** The most that a pool may be. */
export const MOST_BLOCKS = 96;

/** The most tokens that a block may have. */
export const MOST_BLOCK_SIZE = 16;

/** The least blocks of a pool. */
export const LEAST_BLOCKS = 4;

/** A story as its visitor finds it: all done. */
export function told({ size, commands }: Story): Told {
  return { size, commands, at: commands.length };
}

/** Reads a state; what is missing or wrong in it is as in the first story. */
export function readTold(state: URLSearchParams): Told {
  const story = storyOf(state.get("story") ?? "") ?? STORIES[0];
  const done = state.get("do");
  const whole = (name: string, least: number, most: number) => {
    const value = Number(state.get(name) ?? NaN);
    return Number.isInteger(value) && value >= least && value <= most
      ? value
      : undefined;
  };
  const { size } = story;
  const commands = done === null ? story.commands : readCommands(done);
  return {
    size: {
      blocks: whole("blocks", LEAST_BLOCKS, MOST_BLOCKS) ?? size.blocks,
      blockSize: whole("size", 1, MOST_BLOCK_SIZE) ?? size.blockSize,
    },
    commands,
    at: whole("at", 0, commands.length) ?? commands.length,
  };
}

/** Writes a state: as little as tells it apart from the stories. */
export function writeTold({ size, commands, at }: Told): URLSearchParams {
  const text = writeCommands(commands);
  const story = STORIES.find((story) => writeCommands(story.commands) === text);
  const state = new URLSearchParams(
    story ? { story: story.id } : { do: text },
  );
  const usual = (story ?? STORIES[0]).size;
  if (size.blocks !== usual.blocks) state.set("blocks", `${size.blocks}`);
  if (size.blockSize !== usual.blockSize) {
    state.set("size", `${size.blockSize}`);
  }
  if (at !== commands.length) state.set("at", `${at}`);
  return state;
}
