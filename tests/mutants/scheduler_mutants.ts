/**
 * One-line faults in the scheduler and what is beside it.
 *
 * @module
 */

import type { Mutant } from "./mutate.ts";

type Fault = Pick<Mutant, "name" | "find" | "replace"> & {
  /** Where random use alone is not what must notice it. */
  readonly tests?: readonly string[];
};

/** A simulation and no examples: what random use alone must find. */
const SIMULATION = ["tests/engine/simulation_test.ts"];
const EXAMPLES = ["tests/engine/scheduler_test.ts"];
const FAILURES = ["tests/engine/failure_test.ts"];
const BAD_INPUT = ["tests/engine/bad_input_test.ts"];
const POLICIES = ["tests/engine/policy_test.ts"];

const BATCH: readonly Fault[] = [
  {
    name: "the budget is not used up",
    find: "this.#left -= count;",
    replace: "",
  },
  {
    name: "a waiting request is not let in ahead of those behind it",
    find: "compareRanks(running, waiting) < 0",
    replace: "true",
  },
  {
    name: "those behind one without room are served",
    find: "if (this.#roster.has(state)) return;",
    replace: "if (this.#roster.has(state)) place++;",
  },
  {
    name: "an arriving request is served",
    find: 'state.place !== "arriving" && !this.#serve(state)',
    replace: "!this.#serve(state)",
  },
  {
    name: "one sequence more runs than may",
    find: "this.#roster.sequences + width <= maxSequences",
    replace: "this.#roster.sequences + width <= maxSequences + 1",
  },
  {
    name: "the watermark is void",
    find: "this.#roster.running.length === 0",
    replace: "true",
  },
  {
    name: "a request without room fails while others run",
    find: "!served && this.#roster.running.length === 1",
    replace: "!served",
  },
  {
    name: "a request without room alone waits for ever",
    find: "!served && this.#roster.running.length === 1",
    replace: "!served && this.#roster.running.length === 0",
  },
  {
    name: "beams go on from themselves",
    find: "state.parents ?? shares.map((_, i) => i)",
    replace: "shares.map((_, i) => i)",
  },
  {
    name: "beams are moved twice",
    find: "state.parents = undefined;",
    replace: "",
    tests: FAILURES,
  },
  {
    name: "copies are forgotten",
    find: "this.#residency.owe(state, append.copies);",
    replace: "",
  },
  {
    name: "no one gives way to an append",
    find: "if (!this.#preemptBehind(state)) return error;",
    replace: "return error;",
  },
  {
    name: "positions begin behind the new tokens",
    find: "const start = end - count;",
    replace: "const start = end;",
  },
  {
    name: "work that will not be is left in the cache",
    find: "this.#cache.truncate(sequence, start);",
    replace: "",
    tests: FAILURES,
  },
  {
    name: "victims go on counting as decodes",
    find: "this.#decoding -= last.decoding;",
    replace: "",
    tests: EXAMPLES,
  },
  {
    name: "those ahead go on counting as decodes",
    find: "else if (running) this.#decoding -= running.decoding;",
    replace: "",
    tests: EXAMPLES,
  },
];

const ROSTER: readonly Fault[] = [
  {
    name: "the first gives way",
    find: "const last = this.running.at(-1);",
    replace:
      "const last = [...this.running].find((s) => compareRanks(s, state) > 0);",
  },
  {
    name: "those ahead give way",
    find: "last && compareRanks(last, state) > 0 ? last : undefined",
    replace: "last !== state ? last : undefined",
  },
  {
    name: "sequences of victims count as running",
    find: "this.#sequences -= state.live.length;",
    replace: "",
  },
  {
    name: "sequences that ended count as running",
    find: "this.#sequences--;",
    replace: "",
  },
  {
    name: "a name is taken for its request",
    find: "this.#requests.get(state.request.id) === state",
    replace: "this.#requests.has(state.request.id)",
    tests: EXAMPLES,
  },
];

const RESIDENCY: readonly Fault[] = [
  {
    name: "admission asks for the tokens of a chunk only",
    find: "this.#cache.canAdmit(tokens, { domain, chunk })",
    replace: "this.#cache.canAdmit(tokens.slice(0, chunk), { domain, chunk })",
  },
  {
    name: "copies of cached rows are forgotten",
    find: "this.owe(state, admission.copies);",
    replace: "",
  },
  {
    name: "a resumed request counts as a hit",
    find: "state.handle = kept;",
    replace: "this.#cache.free(kept);",
    tests: FAILURES,
  },
  {
    name: "swapping out is not said",
    find:
      'this.#operations.push({ type: "swap", request, transfer });\n        this.#unsaved',
    replace: "this.#unsaved",
  },
  {
    name: "swapped requests below the watermark come back",
    find: "!alone && this.#cache.pool.freeBlocks < this.#cache.watermarkBlocks",
    replace: "false",
    tests: EXAMPLES,
  },
  {
    name: "what was swapped out in a lost step is trusted",
    find: "this.#unsaved.add(state);",
    replace: "",
  },
  {
    name: "nothing that was swapped out is ever trusted",
    find: "this.#unsaved.clear();",
    replace: "",
    tests: FAILURES,
  },
  {
    name: "blocks in use are said to be free",
    find: ".filter((id) => pool.refCount(id) === 0)",
    replace: ".filter(() => true)",
  },
  {
    name: "a preempted sequence is not given back in the end",
    find: "if (state.handle !== undefined) this.#cache.free(state.handle);",
    replace: "",
  },
  {
    name: "the order of beams outlives their blocks",
    find: "state.parents = undefined;",
    replace: "",
  },
  {
    name: "all of the sequence counts as written",
    find: "this.#cache.commit(sequence, end);",
    replace: "this.#cache.commit(sequence, 0);",
  },
];

const STATE: readonly Fault[] = [
  {
    name: "a common start leaves no token for the logits",
    find: "Math.min(...this.live.map((b) => b.outputs.length)) - 1",
    replace: "Math.min(...this.live.map((b) => b.outputs.length))",
  },
  {
    name: "the common start ends with the prompt",
    find: "common < most &&",
    replace: "common < 0 &&",
    tests: EXAMPLES,
  },
  {
    name: "tokens behind the prompt are one off",
    find: "Math.max(0, start - prompt.length), after",
    replace: "Math.max(0, start - prompt.length + 1), after",
  },
  {
    name: "a resumed common start is sampled",
    find: "return live.length === 1 ? 1 : 0;",
    replace: "return 1;",
  },
];

const SHARES: readonly Fault[] = [
  {
    name: "beams lack nothing before they advance together",
    find: "(state.request.joint && !joint ? 1 : 0)",
    replace: "0",
  },
  {
    name: "beams advance as far as the budget goes",
    find: "if (joint && left < live.length) return { shares: [], joint };",
    replace: "",
  },
  {
    name: "every chunk is sampled",
    find: "const samples = count === needed ? state.rootSamples : 0;",
    replace: "const samples = state.rootSamples;",
  },
  {
    name: "each continuation gets the whole budget",
    find: "rest -= count;",
    replace: "",
  },
];

const POLICY: readonly Fault[] = [
  {
    name: "priorities count the other way",
    find: "iteration + priority * aging",
    replace: "iteration - priority * aging",
    tests: [...POLICIES, ...SIMULATION],
  },
  {
    name: "the later arrival goes first",
    find: "a.arrival - b.arrival",
    replace: "b.arrival - a.arrival",
  },
  {
    name: "long prompts are not cut",
    find: "Math.min(policy.longPrefill, left - withheld)",
    replace: "left - withheld",
  },
  {
    name: "all of the budget is withheld",
    find: "Math.min(decoding, Math.floor(policy.tokenBudget / 2))",
    replace: "decoding",
    tests: POLICIES,
  },
  {
    name: "nothing is withheld",
    find: "Math.min(policy.longPrefill, left - withheld)",
    replace: "Math.min(policy.longPrefill, left)",
    tests: EXAMPLES,
  },
];

const SCHEDULER: readonly Fault[] = [
  {
    name: "a device's loss leaves what is cached",
    find: "index?.reset();",
    replace: "",
  },
  {
    name: "a device's loss leaves copies due",
    find: "this.#residency.takeOperations();\n    const { index }",
    replace: "const { index }",
    tests: FAILURES,
  },
  {
    name: "the host's loss leaves who is on the way back",
    find: 'place === "swapped" || place === "arriving"',
    replace: 'place === "swapped"',
    tests: FAILURES,
  },
  {
    name: "the host's loss leaves what is there",
    find: 'place === "swapped" || place === "arriving"',
    replace: 'place === "arriving"',
  },
  {
    name: "the host's loss leaves swaps due",
    find: "this.#residency.forgetSwaps();",
    replace: "",
    tests: FAILURES,
  },
  {
    name: "who is on the way back from a lost host still counts as running",
    find:
      "this.#roster.moveOut(state);\n    }\n    this.#residency.forgetSwaps",
    replace: "}\n    this.#residency.forgetSwaps",
    tests: FAILURES,
  },
  {
    name: "two requests have one name",
    find: "!this.has(request.id),",
    replace: "true,",
    tests: BAD_INPUT,
  },
];

const ENDINGS: readonly Fault[] = [
  {
    name: "lost work is tried once more than it may",
    find: "++state.restarts > this.#maxRestarts",
    replace: "state.restarts++ > this.#maxRestarts",
    tests: EXAMPLES,
  },
  {
    name: "continuations that ended keep their blocks",
    find: "this.#residency.free(branch);",
    replace: "",
  },
  {
    name: "continuations that ended count as running",
    find: "this.#roster.endBranch();",
    replace: "",
  },
];

const REQUEST: readonly Fault[] = [
  {
    name: "the last token needs a slot",
    find: "const length = prompt.length + maxTokens - 1;",
    replace: "const length = prompt.length + maxTokens;",
    tests: BAD_INPUT,
  },
  {
    name: "requests that never fit are taken in",
    find: "cache.peakBlocks(length, { chunk }) <= room,",
    replace: "true,",
    tests: BAD_INPUT,
  },
  {
    name: "a request may need the watermark",
    find: "cache.pool.totalBlocks - cache.watermarkBlocks",
    replace: "cache.pool.totalBlocks",
    tests: BAD_INPUT,
  },
  {
    name: "a request may be longer than sequences are",
    find: "length <= cache.maxLength && ",
    replace: "",
    tests: BAD_INPUT,
  },
  {
    name: "a request is not told from its caller's salt",
    find: "domain: copyDomain(domain),",
    replace: "domain,",
    tests: BAD_INPUT,
  },
];

const PROGRESS: readonly Fault[] = [
  {
    name: "a failed request's results count",
    find: "!roster.has(state) || failed.has(state)",
    replace: "!roster.has(state)",
  },
  {
    name: "an aborted request's results count",
    find: "!roster.has(state) || failed.has(state)",
    replace: "failed.has(state)",
  },
  {
    name: "the common start is not left",
    find: "if (end === state.rootLength) residency.fork(state);",
    replace: "",
  },
  {
    name: "one token too many",
    find: "outputs.length === request.maxTokens",
    replace: "outputs.length > request.maxTokens",
  },
  {
    name: "stop tokens go unnoticed",
    find: "done || request.stop.has(outputs.at(-1)!)",
    replace: "done",
  },
  {
    name: "one beam's word is not enough",
    find: "results.some((result)",
    replace: "results.every((result)",
    tests: EXAMPLES,
  },
  {
    name: "beams see parents that have moved",
    find: "...before[state.parents![i]]",
    replace: "...branches[state.parents![i]].outputs",
  },
];

function faults(file: string, list: readonly Fault[]): Mutant[] {
  return list.map((fault) => ({
    ...fault,
    file: `src/engine/${file}`,
    tests: fault.tests ?? SIMULATION,
  }));
}

/** Every mutant of the scheduler. */
export const SCHEDULER_MUTANTS: readonly Mutant[] = [
  ...faults("batch.ts", BATCH),
  ...faults("roster.ts", ROSTER),
  ...faults("residency.ts", RESIDENCY),
  ...faults("request_state.ts", STATE),
  ...faults("shares.ts", SHARES),
  ...faults("policy.ts", POLICY),
  ...faults("scheduler.ts", SCHEDULER),
  ...faults("endings.ts", ENDINGS),
  ...faults("request.ts", REQUEST),
  ...faults("progress.ts", PROGRESS),
];
