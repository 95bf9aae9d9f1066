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
      "a waiting request is not let in ahead of those behind it",
      "compareRanks(running, waiting) < 0",
      "true",
    ],
    [
      "those behind one without room are served",
      "if (this.#roster.has(state)) return",
      "if (this.#roster.has(state)) place++",
    ],
    [
      "an arriving request is served",
      'state.place !== "arriving" && !this.#serve(state)',
      "!this.#serve(state)",
    ],
    [
      "one sequence more runs than may",
      "this.#roster.sequences + width <= maxSequences",
      "this.#roster.sequences + width <= maxSequences + 1",
    ],
    ["the watermark is void", "this.#roster.running.length === 0", "true"],
    [
      "a request without room fails while others run",
      "!served && this.#roster.running.length === 1",
      "!served",
    ],
    [
      "a request without room alone waits for ever",
      "!served && this.#roster.running.length === 1",
      "!served && this.#roster.running.length === 0",
    ],
    [
      "beams go on from themselves",
      "state.parents ?? shares.map((_, i) => i)",
      "shares.map((_, i) => i)",
    ],
    ["copies are forgotten", "this.#residency.owe(state, append.copies);", ""],
    [
      "no one gives way to an append",
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
      "this.#cache.truncate(sequence, start);",
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
  ...faultsIn("Roster", SIMULATION, [
    [
      "the first gives way",
      "const last = this.running.at(-1)",
      "const last = [...this.running].find((s) => compareRanks(s, state) > 0)",
    ],
    [
      "those ahead give way",
      "last && compareRanks(last, state) > 0 ? last : undefined",
      "last !== state ? last : undefined",
    ],
    [
      "sequences of victims count as running",
      "this.#sequences -= state.live.length;",
      "",
    ],
    ["sequences that ended count as running", "this.#sequences--;", ""],
  ]),
  ...faultsIn("Roster", EXAMPLES, [
    [
      "a name is taken for its request",
      "this.#requests.get(state.request.id) === state",
      "this.#requests.has(state.request.id)",
    ],
  ]),
  ...faultsIn("Residency", SIMULATION, [
    [
      "admission asks for the tokens of a chunk only",
      "this.#cache.canAdmit(tokens, { domain, chunk })",
      "this.#cache.canAdmit(tokens.slice(0, chunk), { domain, chunk })",
    ],
    [
      "copies of cached rows are forgotten",
      "this.owe(state, admission.copies);",
      "",
    ],
    [
      "what was swapped out in a lost step is trusted",
      "this.#unsaved.add(state);",
      "",
    ],
    [
      "blocks in use are said to be free",
      ".filter((id) => pool.refCount(id) === 0)",
      ".filter(() => true)",
    ],
    [
      "a preempted sequence is not given back in the end",
      "if (state.handle !== undefined) this.#cache.free(state.handle);",
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
  ...faultsIn("Residency", FAILURES, [
    [
      "a resumed request counts as a hit",
      "state.handle = kept",
      "this.#cache.free(kept)",
    ],
    [
      "nothing that was swapped out is ever trusted",
      "this.#unsaved.clear();",
      "",
    ],
  ]),
  ...faultsIn("Residency.leave", SIMULATION, [
    [
      "swapping out is not said",
      'this.#operations.push({ type: "swap", request, transfer });',
      "",
    ],
  ]),
  ...faultsIn("Residency", EXAMPLES, [
    [
      "swapped requests below the watermark come back",
      "!alone && this.#cache.pool.freeBlocks < this.#cache.watermarkBlocks",
      "false",
    ],
  ]),
  ...faultsIn("RequestState", SIMULATION, [
    [
      "a common start leaves no token for the logits",
      "Math.min(...this.live.map((b) => b.outputs.length)) - 1",
      "Math.min(...this.live.map((b) => b.outputs.length))",
    ],
    [
      "tokens behind the prompt are one off",
      "Math.max(0, start - prompt.length), after",
      "Math.max(0, start - prompt.length + 1), after",
    ],
    [
      "a resumed common start is sampled",
      "return live.length === 1 ? 1 : 0",
      "return 1",
    ],
  ]),
  ...faultsIn("RequestState", EXAMPLES, [
    [
      "the common start ends with the prompt",
      "common < most &&",
      "common < 0 &&",
    ],
  ]),
  ...faultsIn("sharesOf", SIMULATION, [
    [
      "beams lack nothing before they advance together",
      "(state.request.joint && !joint ? 1 : 0)",
      "0",
    ],
    [
      "beams advance as far as the budget goes",
      "if (joint && left < live.length) return { shares: [], joint };",
      "",
    ],
    [
      "every chunk is sampled",
      "const samples = count === needed ? state.rootSamples : 0",
      "const samples = state.rootSamples",
    ],
    ["each continuation gets the whole budget", "rest -= count;", ""],
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
      'place === "swapped" || place === "arriving"',
      'place === "arriving"',
    ],
  ]),
  ...faultsIn("Scheduler.loseDevice", FAILURES, [
    [
      "a device's loss leaves copies due",
      "this.#residency.takeOperations();",
      "",
    ],
  ]),
  ...faultsIn("Scheduler", FAILURES, [
    [
      "the host's loss leaves who is on the way back",
      'place === "swapped" || place === "arriving"',
      'place === "swapped"',
    ],
    ["the host's loss leaves swaps due", "this.#residency.forgetSwaps();", ""],
  ]),
  ...faultsIn("Scheduler.loseHost", FAILURES, [
    [
      "who is on the way back from a lost host still counts as running",
      "this.#roster.moveOut(state);",
      "",
    ],
  ]),
  ...faultsIn("Scheduler", BAD_INPUT, [
    ["two requests have one name", "!this.has(request.id)", "true"],
  ]),
  ...faultsIn("Endings", EXAMPLES, [
    [
      "lost work is tried once more than it may",
      "++state.restarts > this.#maxRestarts",
      "state.restarts++ > this.#maxRestarts",
    ],
  ]),
  ...faultsIn("Endings", SIMULATION, [
    [
      "continuations that ended keep their blocks",
      "this.#residency.free(branch);",
      "",
    ],
    [
      "continuations that ended count as running",
      "this.#roster.endBranch();",
      "",
    ],
  ]),
  ...faultsIn("src/engine/request.ts: checkFits", BAD_INPUT, [
    [
      "the last token needs a slot",
      "const length = prompt.length + maxTokens - 1",
      "const length = prompt.length + maxTokens",
    ],
    [
      "requests that never fit are taken in",
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
      "!roster.has(state) || failed.has(state)",
      "!roster.has(state)",
    ],
    [
      "an aborted request's results count",
      "!roster.has(state) || failed.has(state)",
      "failed.has(state)",
    ],
    [
      "the common start is not left",
      "if (end === state.rootLength) residency.fork(state);",
      "",
    ],
  ]),
  ...faultsIn("src/engine/progress.ts: endOf", SIMULATION, [
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
