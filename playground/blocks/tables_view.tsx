/** The sequences with their block tables, and what can be done to each. @module */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { type Command, MOST_TOKENS } from "./commands.ts";
import { colourOf } from "./colours.ts";
import type { BlockView, SequenceView } from "./snapshot.ts";

/** What is shown. */
export interface TablesOptions {
  /** The sequences. */
  readonly sequences: readonly SequenceView[];
  /** The pool's blocks. */
  readonly blocks: readonly BlockView[];
  /** Tokens of a block. */
  readonly blockSize: number;
  /** The block that is looked at. */
  readonly chosen: number;
  /** Looks at another. */
  readonly onChoose: (id: number) => void;
  /** Does something. */
  readonly onCommand: (command: Command) => void;
}

/** The sequences with their block tables. */
export function TablesView(options: TablesOptions): JSX.Element {
  const { sequences } = options;
  const [count, setCount] = useState(4);
  return (
    <section class="card tables" aria-labelledby="tables-title">
      <div class="card-head">
        <h2 id="tables-title">Sequences and their block tables</h2>
        <label class="inline">
          Append
          <input
            type="number"
            min={1}
            max={MOST_TOKENS}
            value={count}
            onInput={({ currentTarget: { value } }) => {
              const next = Number(value);
              if (Number.isInteger(next) && next >= 1 && next <= MOST_TOKENS) {
                setCount(next);
              }
            }}
          />
          tokens
        </label>
      </div>
      {sequences.length === 0 && (
        <p class="note">There is none. Write a text above, and make one.</p>
      )}
      <ul class="sequences">
        {sequences.map((sequence) => (
          <Sequence
            key={sequence.name}
            {...options}
            sequence={sequence}
            count={count}
          />
        ))}
      </ul>
    </section>
  );
}

function Sequence(
  options: TablesOptions & { sequence: SequenceView; count: number },
): JSX.Element {
  const { sequence, onCommand, count } = options;
  const { name, index, status, words, pinned } = sequence;
  const running = status === "running";
  const deed = (
    kind: Exclude<Command["kind"], "new" | "append" | "evict">,
    label: string,
    enabled: boolean,
  ) => (
    <button
      type="button"
      disabled={!enabled}
      aria-label={`${label} ${name}`}
      onClick={() => onCommand({ kind, name })}
    >
      {label}
    </button>
  );
  return (
    <li data-sequence={name} data-status={status}>
      <div class="sequence-head">
        <span class="sequence-name" style={{ "--colour": colourOf(index) }}>
          {name}
        </span>
        <span class="note">
          {words.length} tokens{running ? "" : `, ${status}`}
        </span>
        <span class="sequence-buttons">
          <button
            type="button"
            disabled={!running}
            aria-label={`Append ${count} to ${name}`}
            onClick={() => onCommand({ kind: "append", name, count })}
          >
            +{count}
          </button>
          {deed("fork", "Fork", running)}
          {status === "preempted"
            ? deed("resume", "Resume", true)
            : deed("preempt", "Preempt", running)}
          {pinned ? deed("unpin", "Unpin", true) : deed("pin", "Pin", running)}
          {deed("free", "Free", status !== "freed")}
        </span>
      </div>
      <Table {...options} />
    </li>
  );
}

/** A row of blocks: the words that lie in each, and where it is. */
function Table(
  { sequence, blocks, blockSize, chosen, onChoose }: TablesOptions & {
    sequence: SequenceView;
  },
): JSX.Element | null {
  if (sequence.blocks.length === 0) return null;
  return (
    <ol class="table" aria-label={`Block table of ${sequence.name}`}>
      {sequence.blocks.map((id, i) => {
        const words = sequence.words.slice(i * blockSize, (i + 1) * blockSize);
        const { references, change } = blocks[id - 1];
        return (
          <li
            key={i}
            data-entry={id}
            data-shared={references > 1}
            data-change={change}
            class={id === chosen ? "chosen" : ""}
            style={{ "--colour": colourOf(sequence.index) }}
            onPointerEnter={() => onChoose(id)}
          >
            <b>{id}</b>
            <span>{words.join(" ") || "empty"}</span>
          </li>
        );
      })}
    </ol>
  );
}
