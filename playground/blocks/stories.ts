/** What can be watched: commands that show one thing each. @module */

import type { Command } from "./commands.ts";
import type { PoolSize } from "./service.ts";

/** Commands with a title. */
export interface Story {
  /** Its name in addresses. */
  readonly id: string;
  /** Its name for people. */
  readonly title: string;
  /** What to see in it. */
  readonly about: string;
  /** How large the pool is. */
  readonly size: PoolSize;
  /** What is done. */
  readonly commands: readonly Command[];
}

const SIZE: PoolSize = { blocks: 24, blockSize: 4 };

const PROMPT = "Once upon a time there was a small library of kernels that";

const SYSTEM = "You are a patient librarian who answers in one short line :";

const say = (text: string): Command => ({ kind: "new", text });
const append = (name: string, count: number): Command => ({
  kind: "append",
  name,
  count,
});
const deed = (
  kind: "fork" | "free" | "preempt" | "resume" | "pin" | "unpin",
  name: string,
): Command => ({ kind, name });

/** The stories. */
export const STORIES: readonly Story[] = [
  {
    id: "samples",
    title: "Fork, and copy on write",
    about:
      "Three samples of one prompt share its blocks. Who writes to the shared last block first copies it; the last holder writes in place.",
    size: SIZE,
    commands: [
      say(`${PROMPT} never`),
      append("A", 1),
      deed("fork", "A"),
      deed("fork", "A"),
      append("B", 1),
      append("C", 6),
      append("A", 2),
    ],
  },
  {
    id: "prefix",
    title: "A shared system prompt",
    about:
      "Requests that begin alike find each other's full blocks by hash and tokens, and compute only what differs.",
    size: SIZE,
    commands: [
      say(`${SYSTEM} where are the maps`),
      say(`${SYSTEM} when do you close`),
      say(`${SYSTEM} where are the maps of Peru`),
    ],
  },
  {
    id: "again",
    title: "Freed, and found again",
    about:
      "A freed sequence's full blocks stay findable until someone needs them. The same text later takes them back.",
    size: SIZE,
    commands: [
      say(`${PROMPT} counted every block it lent`),
      deed("free", "A"),
      say(`${PROMPT} counted every block it lent`),
      append("B", 3),
    ],
  },
  {
    id: "evicted",
    title: "Evicted",
    about:
      "Free blocks are handed out again, those used longest ago first and a sequence's last before its first. Its beginning is found longest.",
    size: { blocks: 12, blockSize: 4 },
    commands: [
      say(`${PROMPT} counted every block it lent`),
      deed("free", "A"),
      say("Seven other readers came in from the rain and asked for novels"),
      append("B", 26),
      deed("free", "B"),
      say(`${PROMPT} counted every block it lent`),
    ],
  },
  {
    id: "pinned",
    title: "Pinned",
    about:
      "A pin holds a prefix's blocks when no sequence does: a system prompt that must stay.",
    size: { blocks: 12, blockSize: 4 },
    commands: [
      say(`${PROMPT} counted every block it lent`),
      deed("pin", "A"),
      deed("free", "A"),
      say("Seven other readers came in from the rain and asked for novels"),
      append("B", 20),
      deed("free", "B"),
      say(`${PROMPT} counted every block it lent`),
      deed("unpin", "A"),
    ],
  },
  {
    id: "full",
    title: "Out of blocks",
    about:
      "What does not fit is refused, and nothing has changed. One sequence is preempted, the other goes on; later the first is computed again, less what is still cached.",
    size: { blocks: 10, blockSize: 4 },
    commands: [
      say("Two guests arrived at the same inn on the same night and"),
      say("It was the last bed and both of them had booked it"),
      append("A", 8),
      append("B", 8),
      append("B", 8),
      deed("preempt", "A"),
      append("B", 8),
      deed("free", "B"),
      deed("resume", "A"),
    ],
  },
];

/** A story by its id. */
export function storyOf(id: string): Story | undefined {
  return STORIES.find((story) => story.id === id);
}
