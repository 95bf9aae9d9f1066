/**
 * One-line faults in the slots of states, and in what a cache manager does with
 * them.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../../fault.ts";

const MODEL = ["cache/state/state_model"];
const SEQUENCE = ["cache/state/state_sequence"];
const POOL = ["cache/state/state_pool"];
const POLICY = ["cache/state/snapshot_policy"];
const ROUNDS = ["cache/state/state_rounds"];
const INVARIANTS = ["cache/state/state_invariants"];
const LOOKUP = ["cache/prefix/state_lookup"];
const HYBRID = ["cache/manager/hybrid_model"];
const MANAGER = ["cache/manager/hybrid_manager"];
const VERIFY = ["cache/manager/manager_invariants"];
const DEVICE = ["kv/states/state_cache"];
const SWAP = ["kv/states/state_swap"];
const SIMULATION = ["engine/simulation"];

/** Every fault listed for it. */
export const STATE_FAULTS: readonly SourceFault[] = [
  ...faultsIn("StatePool.shortage", POOL, [
    [
      "states that are short are called blocks",
      "return new OutOfStatesError(counts)",
      "return super.shortage(counts)",
    ],
  ]),
  ...faultsIn("StateSequence", MODEL, [
    [
      "a shared state is written over",
      "return !keep && this.#pool.refCount(slot) === 1 &&",
      "return !keep && this.#pool.refCount(slot) >= 1 &&",
    ],
    [
      "a state that is to be kept is written over",
      "return !keep && this.#pool.refCount(slot) === 1 &&",
      "return this.#pool.refCount(slot) === 1 &&",
    ],
    [
      "the null state is written over",
      "return !keep && this.#pool.refCount(slot) === 1 &&",
      "return !keep && this.#pool.refCount(slot) <= 1 &&",
    ],
    [
      "a part reads what the first one read",
      "[start, read] = [length, write]",
      "start = length",
    ],
    [
      "a state that is written over still counts",
      "if (inPlace) last.slot = undefined;",
      "",
    ],
    [
      "what was written over is taken for what it was",
      "slot !== undefined || options.unwritten === true",
      "true",
    ],
    [
      "a state that is given back is given away, too",
      "heir.slot = undefined;",
      "",
    ],
    [
      "a fork of a state does not hold it",
      "if (slot !== NULL_STATE) this.#pool.retain(slot!);",
      "",
    ],
    [
      "a state that is being written is shared",
      "if (this.#points.length > 1) {",
      "if (this.#points.length > 2) {",
    ],
    [
      "a restored state is not held",
      "if (slot !== NULL_STATE) this.#pool.retain(slot);",
      "",
    ],
    [
      "states from before a snapshot stay held",
      "this.#releaseAll(this.#points); this.#points = [{ length, slot }]",
      "this.#points = [{ length, slot }]",
    ],
    [
      "committed states keep what is behind them",
      "this.#releaseAll(this.#points.slice(0, at));",
      "",
    ],
    ["forgotten states stay held", "this.#releaseAll(gone);", ""],
  ]),
  ...faultsIn("StateSequence", SEQUENCE, [
    [
      "what an index finds is written over",
      "&& !this.#pool.isCached(slot)",
      "",
    ],
    [
      "the last state is evicted last",
      "this.#held(points).toReversed()",
      "this.#held(points)",
    ],
    ["slots that others hold are written", '=== 1, "slots"', '>= 0, "slots"'],
  ]),
  ...faultsIn("StateSnapshot", MODEL, [
    [
      "a snapshot does not hold its state",
      "if (slot !== NULL_STATE) pool.retain(slot);",
      "",
    ],
    ["a snapshot is freed twice", "if (this.#freed) return;", ""],
  ]),
  ...faultsIn("stateRounds", ROUNDS, [
    [
      "parts of one sequence run side by side",
      "round < parts.length ? [{ ...parts[round], sequence }] : []",
      "round === 0 ? parts.map((part) => ({ ...part, sequence })) : []",
    ],
  ]),
  ...faultsIn("verifyStatePoints", INVARIANTS, [
    [
      "verify() does not look whether lengths ascend",
      "points[i - 1].length < length",
      "true",
    ],
    [
      "verify() does not look whether what is written is shared",
      "pool.refCount(slot) === 1 && !pool.isCached(slot)",
      "!pool.isCached(slot)",
    ],
  ]),
  ...faultsIn("SnapshotLengths", POLICY, [
    [
      "the prompt's end is found by longer ones only",
      "Math.max(0, length - 1)",
      "length",
    ],
    [
      "what is found already is kept again",
      "branches && shared > cached",
      "branches && shared > 0",
    ],
    [
      "a length is kept at its own end",
      "for (let at = first; at < end; at += this.#step)",
      "for (let at = first; at <= end; at += this.#step)",
    ],
  ]),
  ...faultsIn("StateLookup", LOOKUP, [
    [
      "a state of all tokens is matched",
      "tokens.slice(0, -1)",
      "tokens",
    ],
    [
      "the first state is matched",
      "walk.findLastIndex(",
      "walk.findIndex(",
    ],
  ]),
  ...faultsIn("matchGroups", HYBRID, [
    [
      "a hit needs no state",
      "while (depth > 0 && !(fits(depth) && goesOn(depth))) depth--",
      "while (depth > 0 && !fits(depth)) depth--",
    ],
    [
      "part of a block is taken with a state",
      "index === undefined || walks.length > 0",
      "index === undefined",
    ],
  ]),
  ...faultsIn("matchGroups", MANAGER, [
    [
      "a hit needs the state of one group",
      "walks.every((walk)",
      "walks.some((walk)",
    ],
    [
      "a hit needs a state but no blocks",
      "while (depth > 0 && !(fits(depth) && goesOn(depth))) depth--",
      "while (depth > 0 && !goesOn(depth)) depth--",
    ],
  ]),
  ...faultsIn("SequenceStates", HYBRID, [
    [
      "groups share states",
      "index === undefined ? [] : index.walk(tokens, { ...domain, group })",
      "index === undefined ? [] : index.walk(tokens, { ...domain, group: groups[0] })",
    ],
    [
      "a hit's state is not held",
      "pool.allocate(0, { reuse: slots.filter((slot) => slot !== NULL_STATE) });",
      "",
    ],
    [
      "a shared state is counted as one's own",
      "pool.refCount(slot) - (gone.get(slot) ?? 0) === 1 &&",
      "pool.refCount(slot) >= 1 &&",
    ],
    [
      "drafts are written over the state before them",
      "!drafts && alone(sequence) ? 0 : 1",
      "alone(sequence) ? 0 : 1",
    ],
  ]),
  ...faultsIn("SequenceStates", MANAGER, [
    [
      "a shared state is evicted",
      "pool.refCount(slot) === 1; if (evict",
      "true; if (evict",
    ],
    [
      "slots of beams that end are not counted on",
      "this.#options?.pool.checkAllocate(plan.needed, { release })",
      "this.#options?.pool.checkAllocate(plan.needed)",
    ],
    [
      "every state is found",
      "snapshots!.has(end) ? states[i].slotAt(end) : NULL_STATE",
      "states[i].slotAt(end)",
    ],
    [
      "states are kept on the way though slots are short",
      "const at = drafts || snapshots ? between : []",
      "const at = between",
    ],
    [
      "a found state is in the way of who holds it alone",
      "(evict || !pool.isCached(slot))",
      "!pool.isCached(slot)",
    ],
    [
      "a found state is written over before it must",
      "(evict || !pool.isCached(slot))",
      "true",
    ],
  ]),
  ...faultsIn("SequenceTables.commit", HYBRID, [
    [
      "states are not committed",
      "for (const sequence of state.states) sequence.commit(length);",
      "",
    ],
  ]),
  ...faultsIn("CacheManager", MANAGER, [
    [
      "a state that was not reserved is committed",
      "for (const held of state.states) held.checkCommit(end);",
      "",
    ],
    [
      "blocks are cut off before a state is refused",
      "for (const held of state.states) held.checkTruncate(length, options);",
      "",
    ],
    [
      "beams are reordered while they are written",
      "states.forEach((s, i) => checkSettled(`beams[${i}].committed`, s));",
      "",
    ],
    [
      "the watermark of states is given away",
      "freeBlocks - states >= this.#stateWatermark",
      "freeBlocks >= states",
    ],
    [
      "what has too few slots is told to wait",
      'if (totalBlocks - states < this.#stateWatermark) return "never";',
      "",
    ],
  ]),
  ...faultsIn("StateCache.copy", DEVICE, [
    [
      "a state is copied in one layer",
      "layers.map((layer) => ({ from: layer, to: layer, triples }))",
      "layers.slice(0, 1).map((layer) => ({ from: layer, to: layer, triples }))",
    ],
    [
      "the null state is written",
      "checkInteger(`copies[${i}].destination`, destination, 1, last)",
      "checkInteger(`copies[${i}].destination`, destination, 0, last)",
    ],
  ]),
  ...faultsIn("stateSizes", DEVICE, [
    [
      "extras need not fit a binding",
      "for (const [name, shape] of shapes) {",
      "for (const [name, shape] of [...shapes].slice(0, 1)) {",
    ],
  ]),
  ...faultsIn("HostSwap", SWAP, [
    [
      "a slot holds a part of a state",
      "this.#hosts.every((host) => host.has(slot))",
      "true",
    ],
    [
      "extras are not sealed",
      "for (const host of this.#hosts) host.seal(moves.slots);",
      "this.#hosts[0].seal(moves.slots);",
    ],
    [
      "extras come back as zeros",
      "this.#hosts[i].read(slots, packed[i]);",
      "if (i === 0) this.#hosts[i].read(slots, packed[i]);",
    ],
    [
      "only the first part comes home",
      "host.write(slots, packed[i])",
      "i === 0 && host.write(slots, packed[i])",
    ],
  ]),
  ...faultsIn("stateRounds", DEVICE, [
    [
      "the null state is read where it lies",
      "read === NULL_STATE ? -1 : read",
      "read",
    ],
  ]),
  ...faultsIn("reorderBeams", HYBRID, [
    [
      "slots of beams that end are kept",
      "states.flatMap(({ slots }) => slots)",
      "states.flatMap(() => [])",
    ],
  ]),
  ...faultsIn("verifyStates", VERIFY, [
    [
      "verify() does not count pins of states",
      "...pins.map(({ blocks }) => blocks)",
      "",
    ],
  ]),
  ...faultsIn("Batch.cancel", SIMULATION, [
    [
      "what was not written counts as written",
      "{ unwritten: true }",
      "{}",
    ],
  ]),
  ...faultsIn("Scheduler.loseDevice", SIMULATION, [
    [
      "states of a lost device are found",
      "[cache.index, cache.stateIndex]",
      "[cache.index]",
    ],
  ]),
];
