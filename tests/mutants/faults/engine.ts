/**
 * One-line faults in the scheduler and what is beside it.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../fault.ts";

const SIMULATION = ["engine/simulation"];
const FAILURES = ["engine/failure"];
const EXAMPLES = ["engine/scheduler"];
const POLICY_AND_SIMULATION = ["engine/policy", "engine/simulation"];
const POLICY = ["engine/policy"];
const BAD_INPUT = ["engine/bad_input"];

/** Every fault listed for it. */
export const ENGINE_FAULTS: readonly SourceFault[] = [
  ...faultsIn("Batch", SIMULATION, [
    ["the budget is not used up", "this.#left -= count;", ""],
    [
      "a waiting request is not admitted ahead of those behind it",
      "compareRanks(running, waiting) < 0",
      "true",
    ],
    [
      "those behind one without blocks are served",
      "if (this.#queues.has(state)) return",
      "if (this.#queues.has(state)) index++",
    ],
    [
      "a request that is swapped in is served",
      'state.status !== "swappingIn" && !this.#serve(state)',
      "!this.#serve(state)",
    ],
    [
      "one sequence more runs than may",
      "this.#queues.runningBranches + width <= maxSequences",
      "this.#queues.runningBranches + width <= maxSequences + 1",
    ],
    ["the watermark is void", "this.#queues.running.length === 0", "true"],
    [
      "a request without blocks fails while others run",
      "!served && this.#queues.running.length === 1",
      "!served",
    ],
    [
      "a request without blocks alone waits for ever",
      "!served && this.#queues.running.length === 1",
      "!served && this.#queues.running.length === 0",
    ],
    [
      "beams go on from themselves",
      "state.parents ?? chunks.map((_, i) => i)",
      "chunks.map((_, i) => i)",
    ],
    [
      "copies are forgotten",
      "this.#memory.addCopies(state, reservation.copies);",
      "",
    ],
    [
      "no one is preempted for a reservation",
      "if (!this.#preemptBehind(state)) return error",
      "return error",
    ],
    [
      "positions begin behind the new tokens",
      "const start = end - count",
      "const start = end",
    ],
  ]),
  ...faultsIn("Batch", FAILURES, [
    ["beams are moved twice", "state.parents = undefined;", ""],
    [
      "work that will not be is left in the cache",
      "this.#cache.truncate(sequence, start, { unwritten: true });",
      "",
    ],
  ]),
  ...faultsIn("Batch", EXAMPLES, [
    [
      "victims go on counting as decodes",
      "this.#decoding -= last.decoding;",
      "",
    ],
    [
      "those ahead go on counting as decodes",
      "else if (running) this.#decoding -= running.decoding;",
      "",
    ],
  ]),
  ...faultsIn("RequestQueues", SIMULATION, [
    [
      "the first is preempted",
      "const last = this.running.at(-1)",
      "const last = [...this.running].find((s) => compareRanks(s, state) > 0)",
    ],
    [
      "those ahead are preempted",
      "last && compareRanks(last, state) > 0 ? last : undefined",
      "last !== state ? last : undefined",
    ],
    [
      "branches of victims count as running",
      "this.#runningBranches -= state.live.length;",
      "",
    ],
    ["finished branches count as running", "this.#runningBranches--;", ""],
  ]),
  ...faultsIn("RequestQueues", EXAMPLES, [
    [
      "a name is taken for its request",
      "this.#requests.get(state.request.id) === state",
      "this.#requests.has(state.request.id)",
    ],
  ]),
  ...faultsIn("KvMemory", SIMULATION, [
    [
      "admission asks for the tokens of a chunk only",
      "this.#cache.canAdmit(tokens, { domain, chunk })",
      "this.#cache.canAdmit(tokens.slice(0, chunk), { domain, chunk })",
    ],
    [
      "copies of cached rows are forgotten",
      "this.addCopies(state, admission.copies);",
      "",
    ],
    [
      "what was swapped out in a failed step is trusted",
      "this.#swappingOut.add(state);",
      "",
    ],
    [
      "blocks in use are said to be free",
      ".filter((id) => pool.refCount(id) === 0)",
      ".filter(() => true)",
    ],
    [
      "a preempted sequence is not freed in the end",
      "if (state.preempted !== undefined) this.#cache.free(state.preempted);",
      "",
    ],
    [
      "the order of beams outlives their blocks",
      "state.parents = undefined;",
      "",
    ],
    [
      "all of the sequence counts as written",
      "this.#cache.commit(sequence, end)",
      "this.#cache.commit(sequence, 0)",
    ],
  ]),
  ...faultsIn("KvMemory", FAILURES, [
    [
      "a resumed request counts as a hit",
      "state.preempted = kept",
      "this.#cache.free(kept)",
    ],
    [
      "nothing that was swapped out is ever trusted",
      "this.#swappingOut.clear();",
      "",
    ],
  ]),
  ...faultsIn("KvMemory.preempt", SIMULATION, [
    [
      "swapping out is not said",
      'this.#operations.push({ type: "swap", request, transfer });',
      "",
    ],
  ]),
  ...faultsIn("KvMemory", EXAMPLES, [
    [
      "swapped requests below the watermark come back",
      "!alone && this.#cache.belowWatermark",
      "false",
    ],
  ]),
  ...faultsIn("RequestState", SIMULATION, [
    [
      "a common prefix leaves no token for the logits",
      "Math.min(...this.live.map((b) => b.outputs.length)) - 1",
      "Math.min(...this.live.map((b) => b.outputs.length))",
    ],
    [
      "tokens behind the prompt are one off",
      "Math.max(0, start - prompt.length), after",
      "Math.max(0, start - prompt.length + 1), after",
    ],
    [
      "a resumed common prefix is sampled",
      "return live.length === 1 ? 1 : 0",
      "return 1",
    ],
  ]),
  ...faultsIn("RequestState", EXAMPLES, [
    [
      "the common prefix ends with the prompt",
      "common < most &&",
      "common < 0 &&",
    ],
  ]),
  ...faultsIn("chunksWithin", SIMULATION, [
    [
      "beams lack nothing before they advance together",
      "(beamSearch && !beamStep ? 1 : 0)",
      "0",
    ],
    [
      "beams advance as far as the budget goes",
      "if (beamStep && left < live.length) return { chunks: [], beamStep };",
      "",
    ],
    [
      "every chunk is sampled",
      "const samples = count === needed ? state.prefixSamples : 0",
      "const samples = state.prefixSamples",
    ],
    ["each branch gets the whole budget", "rest -= count;", ""],
  ]),
  ...faultsIn("rankKey", POLICY_AND_SIMULATION, [
    [
      "priorities count the other way",
      "iteration + priority * aging",
      "iteration - priority * aging",
    ],
  ]),
  ...faultsIn("compareRanks", SIMULATION, [
    [
      "the later arrival goes first",
      "a.arrival - b.arrival",
      "b.arrival - a.arrival",
    ],
  ]),
  ...faultsIn("prefillLimit", SIMULATION, [
    [
      "long prompts are not cut",
      "Math.min(policy.longPrefill, left - withheld)",
      "left - withheld",
    ],
  ]),
  ...faultsIn("prefillLimit", POLICY, [
    [
      "all of the budget is withheld",
      "Math.min(decoding, Math.floor(policy.tokenBudget / 2))",
      "decoding",
    ],
  ]),
  ...faultsIn("prefillLimit", EXAMPLES, [
    [
      "nothing is withheld",
      "Math.min(policy.longPrefill, left - withheld)",
      "Math.min(policy.longPrefill, left)",
    ],
  ]),
  ...faultsIn("Scheduler", SIMULATION, [
    ["a device's loss leaves what is cached", "index?.reset();", ""],
    [
      "the host's loss leaves what is there",
      'status === "swapped" || status === "swappingIn"',
      'status === "swappingIn"',
    ],
  ]),
  ...faultsIn("Scheduler.loseDevice", FAILURES, [
    [
      "a device's loss leaves copies due",
      "memory.takeOperations();",
      "",
    ],
  ]),
  ...faultsIn("Scheduler", FAILURES, [
    [
      "the host's loss leaves who is swapped in",
      'status === "swapped" || status === "swappingIn"',
      'status === "swapped"',
    ],
    ["the host's loss leaves swaps due", "memory.dropSwaps();", ""],
  ]),
  ...faultsIn("Scheduler.loseHost", FAILURES, [
    [
      "who is swapped in from a lost host still counts as running",
      "queues.toWaiting(state);",
      "",
    ],
  ]),
  ...faultsIn("Scheduler", BAD_INPUT, [
    ["two requests have one name", "!this.has(request.id)", "true"],
  ]),
  ...faultsIn("restartFailed", EXAMPLES, [
    [
      "failed work is tried once more than it may",
      "++state.restarts > policy.maxRestarts",
      "state.restarts++ > policy.maxRestarts",
    ],
  ]),
  ...faultsIn("finishBranches", SIMULATION, [
    ["finished branches keep their blocks", "memory.freeBranch(branch);", ""],
    ["no one says that a branch is finished", "queues.finishBranch();", ""],
  ]),
  ...faultsIn("checkFits", BAD_INPUT, [
    [
      "the last token needs a slot",
      "const length = prompt.length + maxTokens - 1",
      "const length = prompt.length + maxTokens",
    ],
    [
      "requests that never fit are added",
      "cache.peakBlocks(length, { chunk }) <= room",
      "true",
    ],
    [
      "a request may need the watermark",
      "cache.pool.totalBlocks - cache.watermarkBlocks",
      "cache.pool.totalBlocks",
    ],
    [
      "a request may be longer than sequences are",
      "length <= cache.maxLength && ",
      "",
    ],
  ]),
  ...faultsIn("checkRequest", BAD_INPUT, [
    [
      "a request is not told from its caller's salt",
      "domain: copyDomain(domain)",
      "domain",
    ],
  ]),
  ...faultsIn("advance", SIMULATION, [
    [
      "a failed request's results count",
      "!queues.has(state) || failed.has(state)",
      "!queues.has(state)",
    ],
    [
      "an aborted request's results count",
      "!queues.has(state) || failed.has(state)",
      "failed.has(state)",
    ],
    [
      "the common prefix is not left",
      "if (end === state.prefixLength) memory.fork(state);",
      "",
    ],
  ]),
  ...faultsIn("finishReasonOf", SIMULATION, [
    [
      "one token too many",
      "outputs.length === request.maxTokens",
      "outputs.length > request.maxTokens",
    ],
    [
      "stop tokens go unnoticed",
      "done || request.stop.has(outputs.at(-1)!)",
      "done",
    ],
  ]),
  ...faultsIn("advanceBeams", EXAMPLES, [
    [
      "one beam's word is not enough",
      "results.some((result)",
      "results.every((result)",
    ],
  ]),
  ...faultsIn("advanceBeams", SIMULATION, [
    [
      "beams see parents that have moved",
      "...before[state.parents![i]]",
      "...branches[state.parents![i]].outputs",
    ],
  ]),
];
