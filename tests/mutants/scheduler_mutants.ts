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
    name: "a waiting request is not admitted ahead of those behind it",
    find: "compareRanks(running, waiting) < 0",
    replace: "true",
  },
  {
    name: "those behind one without blocks are served",
    find: "if (this.#queues.has(state)) return;",
    replace: "if (this.#queues.has(state)) index++;",
  },
  {
    name: "a request that is swapped in is served",
    find: 'state.status !== "swappingIn" && !this.#serve(state)',
    replace: "!this.#serve(state)",
  },
  {
    name: "one sequence more runs than may",
    find: "this.#queues.runningBranches + width <= maxSequences",
    replace: "this.#queues.runningBranches + width <= maxSequences + 1",
  },
  {
    name: "the watermark is void",
    find: "this.#queues.running.length === 0",
    replace: "true",
  },
  {
    name: "a request without blocks fails while others run",
    find: "!served && this.#queues.running.length === 1",
    replace: "!served",
  },
  {
    name: "a request without blocks alone waits for ever",
    find: "!served && this.#queues.running.length === 1",
    replace: "!served && this.#queues.running.length === 0",
  },
  {
    name: "beams go on from themselves",
    find: "state.parents ?? chunks.map((_, i) => i)",
    replace: "chunks.map((_, i) => i)",
  },
  {
    name: "beams are moved twice",
    find: "state.parents = undefined;",
    replace: "",
    tests: FAILURES,
  },
  {
    name: "copies are forgotten",
    find: "this.#memory.addCopies(state, reservation.copies);",
    replace: "",
  },
  {
    name: "no one is preempted for a reservation",
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

const QUEUES: readonly Fault[] = [
  {
    name: "the first is preempted",
    find: "const last = this.running.at(-1);",
    replace:
      "const last = [...this.running].find((s) => compareRanks(s, state) > 0);",
  },
  {
    name: "those ahead are preempted",
    find: "last && compareRanks(last, state) > 0 ? last : undefined",
    replace: "last !== state ? last : undefined",
  },
  {
    name: "branches of victims count as running",
    find: "this.#runningBranches -= state.live.length;",
    replace: "",
  },
  {
    name: "finished branches count as running",
    find: "this.#runningBranches--;",
    replace: "",
  },
  {
    name: "a name is taken for its request",
    find: "this.#requests.get(state.request.id) === state",
    replace: "this.#requests.has(state.request.id)",
    tests: EXAMPLES,
  },
];

const MEMORY: readonly Fault[] = [
  {
    name: "admission asks for the tokens of a chunk only",
    find: "this.#cache.canAdmit(tokens, { domain, chunk })",
    replace: "this.#cache.canAdmit(tokens.slice(0, chunk), { domain, chunk })",
  },
  {
    name: "copies of cached rows are forgotten",
    find: "this.addCopies(state, admission.copies);",
    replace: "",
  },
  {
    name: "a resumed request counts as a hit",
    find: "state.preempted = kept;",
    replace: "this.#cache.free(kept);",
    tests: FAILURES,
  },
  {
    name: "swapping out is not said",
    find:
      'this.#operations.push({ type: "swap", request, transfer });\n        this.#swappingOut',
    replace: "this.#swappingOut",
  },
  {
    name: "swapped requests below the watermark come back",
    find: "!alone && this.#cache.pool.freeBlocks < this.#cache.watermarkBlocks",
    replace: "false",
    tests: EXAMPLES,
  },
  {
    name: "what was swapped out in a failed step is trusted",
    find: "this.#swappingOut.add(state);",
    replace: "",
  },
  {
    name: "nothing that was swapped out is ever trusted",
    find: "this.#swappingOut.clear();",
    replace: "",
    tests: FAILURES,
  },
  {
    name: "blocks in use are said to be free",
    find: ".filter((id) => pool.refCount(id) === 0)",
    replace: ".filter(() => true)",
  },
  {
    name: "a preempted sequence is not freed in the end",
    find:
      "if (state.preempted !== undefined) this.#cache.free(state.preempted);",
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
    name: "a common prefix leaves no token for the logits",
    find: "Math.min(...this.live.map((b) => b.outputs.length)) - 1",
    replace: "Math.min(...this.live.map((b) => b.outputs.length))",
  },
  {
    name: "the common prefix ends with the prompt",
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
    name: "a resumed common prefix is sampled",
    find: "return live.length === 1 ? 1 : 0;",
    replace: "return 1;",
  },
];

const BUDGET: readonly Fault[] = [
  {
    name: "beams lack nothing before they advance together",
    find: "(beamSearch && !beamStep ? 1 : 0)",
    replace: "0",
  },
  {
    name: "beams advance as far as the budget goes",
    find:
      "if (beamStep && left < live.length) return { chunks: [], beamStep };",
    replace: "",
  },
  {
    name: "every chunk is sampled",
    find: "const samples = count === needed ? state.prefixSamples : 0;",
    replace: "const samples = state.prefixSamples;",
  },
  {
    name: "each branch gets the whole budget",
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
    find: "memory.takeOperations();\n    const { index }",
    replace: "const { index }",
    tests: FAILURES,
  },
  {
    name: "the host's loss leaves who is swapped in",
    find: 'status === "swapped" || status === "swappingIn"',
    replace: 'status === "swapped"',
    tests: FAILURES,
  },
  {
    name: "the host's loss leaves what is there",
    find: 'status === "swapped" || status === "swappingIn"',
    replace: 'status === "swappingIn"',
  },
  {
    name: "the host's loss leaves swaps due",
    find: "memory.dropSwaps();",
    replace: "",
    tests: FAILURES,
  },
  {
    name: "who is swapped in from a lost host still counts as running",
    find: "queues.toWaiting(state);\n    }\n    memory.dropSwaps",
    replace: "}\n    memory.dropSwaps",
    tests: FAILURES,
  },
  {
    name: "two requests have one name",
    find: "!this.has(request.id),",
    replace: "true,",
    tests: BAD_INPUT,
  },
];

const FINISH: readonly Fault[] = [
  {
    name: "failed work is tried once more than it may",
    find: "++state.restarts > policy.maxRestarts",
    replace: "state.restarts++ > policy.maxRestarts",
    tests: EXAMPLES,
  },
  {
    name: "finished branches keep their blocks",
    find: "memory.freeBranch(branch);",
    replace: "",
  },
  {
    name: "no one says that a branch is finished",
    find: "queues.finishBranch();",
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
    name: "requests that never fit are added",
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

const POSTPROCESS: readonly Fault[] = [
  {
    name: "a failed request's results count",
    find: "!queues.has(state) || failed.has(state)",
    replace: "!queues.has(state)",
  },
  {
    name: "an aborted request's results count",
    find: "!queues.has(state) || failed.has(state)",
    replace: "failed.has(state)",
  },
  {
    name: "the common prefix is not left",
    find: "if (end === state.prefixLength) memory.fork(state);",
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
  ...faults("request_queues.ts", QUEUES),
  ...faults("kv_memory.ts", MEMORY),
  ...faults("request_state.ts", STATE),
  ...faults("token_budget.ts", BUDGET),
  ...faults("policy.ts", POLICY),
  ...faults("scheduler.ts", SCHEDULER),
  ...faults("finish.ts", FINISH),
  ...faults("request.ts", REQUEST),
  ...faults("postprocess.ts", POSTPROCESS),
];
