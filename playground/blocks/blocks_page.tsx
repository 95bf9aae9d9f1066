/** The page of block tables. @module */

import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import {
  LEAST_BLOCKS,
  MOST_BLOCK_SIZE,
  MOST_BLOCKS,
  readTold,
  type Told,
  told,
  writeTold,
} from "./block_address.ts";
import { type Command, wordsOf, writeCommands } from "./commands.ts";
import { LogView, StatisticsView } from "./log_view.tsx";
import { PoolView } from "./pool_view.tsx";
import { type PoolSize, replay } from "./service.ts";
import { snapshot } from "./snapshot.ts";
import { STORIES } from "./stories.ts";
import { useChange } from "../ui/later.ts";
import { TablesView } from "./tables_view.tsx";
import { Timeline } from "./timeline.tsx";

/** What the page shows, and who keeps it. */
export interface BlocksPageOptions {
  /** The state of the address. */
  readonly state: URLSearchParams;
  /** Takes another. */
  readonly onState: (state: URLSearchParams) => void;
}

/** The page of block tables. */
export function BlocksPage(
  { state, onState }: BlocksPageOptions,
): JSX.Element {
  const [{ size, commands, at }, setTold] = useState(() => readTold(state));
  const [chosen, setChosen] = useState(1);
  useChange(() => setTold(readTold(state)), [state]);
  const now: Told = { size, commands, at };
  useEffect(() => onState(writeTold(now)), [size, commands, at]);
  const { service, seen } = useMemo(() => {
    const service = replay(size, commands.slice(0, at));
    return { service, seen: snapshot(service) };
  }, [size, commands, at]);
  const text = writeCommands(commands);
  const story = STORIES.find((one) => writeCommands(one.commands) === text);
  // What had been done after this moment is forgotten.
  const run = (command: Command) =>
    setTold({
      size,
      commands: [...commands.slice(0, at), command],
      at: at + 1,
    });
  const { blockSize } = size;
  return (
    <div class="cache">
      <div class="column">
        <section class="stories" aria-label="Stories">
          <h2>Watch</h2>
          <ul>
            {STORIES.map((one) => (
              <li key={one.id}>
                <button
                  type="button"
                  aria-pressed={one === story}
                  onClick={() => setTold(told(one))}
                >
                  {one.title}
                </button>
              </li>
            ))}
          </ul>
          {story && <p class="note">{story.about}</p>}
        </section>
        <SizeFields
          size={size}
          onChange={(size) => setTold({ size, commands, at })}
        />
      </div>
      <div class="column">
        <Timeline
          at={at}
          count={commands.length}
          onMove={(at) => setTold({ size, commands, at })}
          onClear={() => setTold({ size, commands: [], at: 0 })}
        />
        <PoolView
          blocks={seen.blocks}
          counts={seen.counts}
          blockSize={blockSize}
          chosen={chosen}
          onChoose={setChosen}
          onEvict={(block) => run({ kind: "evict", block })}
        />
        <NewSequence onCommand={run} />
        <TablesView
          sequences={seen.sequences}
          blocks={seen.blocks}
          blockSize={blockSize}
          chosen={chosen}
          onChoose={setChosen}
          onCommand={run}
        />
      </div>
      <div class="column">
        <StatisticsView snapshot={seen} blockSize={blockSize} />
        <LogView steps={service.steps} />
      </div>
    </div>
  );
}

function NewSequence(
  { onCommand }: { onCommand: (command: Command) => void },
): JSX.Element {
  const [text, setText] = useState(
    "Once upon a time there was a small library of kernels that",
  );
  const words = wordsOf(text);
  return (
    <form
      class="card new"
      onSubmit={(event) => {
        event.preventDefault();
        if (words.length > 0) onCommand({ kind: "new", text });
      }}
    >
      <label>
        <span class="unseen">The new sequence's text</span>
        <input
          type="text"
          value={text}
          maxLength={400}
          onInput={({ currentTarget: { value } }) => setText(value)}
        />
      </label>
      <button type="submit" class="primary" disabled={words.length === 0}>
        New sequence of {words.length}
      </button>
    </form>
  );
}

function SizeFields(
  { size, onChange }: {
    size: PoolSize;
    onChange: (size: PoolSize) => void;
  },
): JSX.Element {
  const field = (
    name: keyof PoolSize,
    label: string,
    least: number,
    most: number,
  ) => (
    <label>
      <span>{label}</span>
      <input
        type="number"
        min={least}
        max={most}
        value={size[name]}
        onInput={({ currentTarget: { value } }) => {
          const next = Number(value);
          if (Number.isInteger(next) && next >= least && next <= most) {
            onChange({ ...size, [name]: next });
          }
        }}
      />
    </label>
  );
  return (
    <fieldset class="settings">
      <legend>Size of the pool</legend>
      {field("blocks", "Blocks", LEAST_BLOCKS, MOST_BLOCKS)}
      {field("blockSize", "Tokens each", 1, MOST_BLOCK_SIZE)}
    </fieldset>
  );
}
