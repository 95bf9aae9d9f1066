/**
 * A service under load: requests in order of arrival, as many at a time as
 * memory takes.
 *
 * @module
 */

import type { Held, ServingMemory } from "./serving_memory.ts";
import type { Request } from "../trace.ts";

/** What token slots are used for, as fractions of all. */
export interface SlotUse {
  /** Keys and values of tokens. */
  readonly written: number;
  /** Held for tokens that will come. */
  readonly reserved: number;
  /** Held by a request that will never write them. */
  readonly internal: number;
  /** Held by no request: rounding to chunks, and holes that none fits in. */
  readonly external: number;
  /** Written slots over those of blocks or chunks that are taken. */
  readonly ofTaken: number;
}

/** What a run had on average over its steps. */
export interface Served {
  /** What slots were used for. */
  readonly use: SlotUse;
  /** Requests that ran at a time. */
  readonly running: number;
  /** Tokens that ran at a time, on average over the steps. */
  readonly tokens: number;
  /** Steps until the last request was admitted. */
  readonly steps: number;
  /** Times that a request lost its memory and began again. */
  readonly preemptions: number;
}

interface Running {
  readonly request: Request;
  readonly held: Held;
  length: number;
}

/** A request that waits, with what it has generated before. */
interface Waiting {
  readonly request: Request;
  readonly tokens: number;
}

const finalOf = ({ prompt, output }: Request) => prompt + output;

/**
 * Serves a backlog: all requests wait from the start, and begin in order as
 * soon as memory lets the first of them. A step gives every running request a
 * token. One that cannot grow takes the memory of the last that began, which
 * waits again in front.
 *
 * Measured after every step while requests wait, once the first is done.
 */
export function serve(
  trace: readonly Request[],
  memory: ServingMemory,
): Served {
  const waiting: Waiting[] = trace.map((request) => ({
    request,
    tokens: request.prompt,
  })).reverse();
  const running: Running[] = [];
  const tally = new Tally(memory);
  let finished = 0;
  let preemptions = 0;
  const admit = () => {
    for (let next = waiting.at(-1); next; next = waiting.at(-1)) {
      const { request, tokens } = next;
      const held = memory.admit(request, tokens);
      if (held === undefined) return;
      waiting.pop();
      running.push({ request, held, length: tokens });
    }
  };
  const preemptLast = () => {
    const { request, held, length } = running.pop()!;
    held.release();
    waiting.push({ request, tokens: length });
    preemptions++;
  };
  for (admit(); waiting.length > 0; admit()) {
    for (let i = 0; i < running.length; i++) {
      const own = running[i];
      while (i < running.length && !own.held.grow(1)) preemptLast();
      if (i < running.length) own.length++;
    }
    if (finished > 0) tally.add(running);
    for (let i = running.length - 1; i >= 0; i--) {
      const { request, held, length } = running[i];
      if (length < finalOf(request)) continue;
      held.release();
      running.splice(i, 1);
      finished++;
    }
  }
  return { ...tally.averages(), preemptions };
}

class Tally {
  readonly #memory: ServingMemory;
  #steps = 0;
  #running = 0;
  #written = 0;
  #reserved = 0;
  #internal = 0;
  #taken = 0;

  constructor(memory: ServingMemory) {
    this.#memory = memory;
  }

  add(running: readonly Running[]): void {
    this.#steps++;
    this.#running += running.length;
    this.#taken += this.#memory.capacity - this.#memory.freeSlots;
    for (const { request, held, length } of running) {
      const { room } = held;
      const final = finalOf(request);
      this.#written += length;
      this.#reserved += Math.min(room, final) - length;
      this.#internal += Math.max(0, room - final);
    }
  }

  averages(): Omit<Served, "preemptions"> {
    const all = this.#steps * this.#memory.capacity;
    const held = this.#written + this.#reserved + this.#internal;
    return {
      use: {
        written: this.#written / all,
        reserved: this.#reserved / all,
        internal: this.#internal / all,
        external: 1 - held / all,
        ofTaken: this.#written / this.#taken,
      },
      running: this.#running / this.#steps,
      tokens: this.#written / this.#steps,
      steps: this.#steps,
    };
  }
}
