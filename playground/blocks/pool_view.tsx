/** The pool as a grid of blocks, over which the arrow keys move. @module */

import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import type { BlockState, BlockView, PoolCounts } from "./snapshot.ts";
import { sequenceName } from "./commands.ts";
import { stripes } from "./colours.ts";
import { PinIcon } from "../ui/icons.tsx";

const MEANINGS: Readonly<Record<BlockState, string>> = {
  own: "held by one",
  shared: "shared",
  pinned: "held by a pin",
  cached: "free, can be found again",
  free: "free",
};

/** What is shown. */
export interface PoolOptions {
  /** The blocks. */
  readonly blocks: readonly BlockView[];
  /** Their numbers. */
  readonly counts: PoolCounts;
  /** Tokens of a block. */
  readonly blockSize: number;
  /** The block that is looked at. */
  readonly chosen: number;
  /** Looks at another. */
  readonly onChoose: (id: number) => void;
  /** Makes the index forget a block. */
  readonly onEvict: (id: number) => void;
}

/** The pool as a grid of blocks. */
export function PoolView(options: PoolOptions): JSX.Element {
  const { blocks, counts, blockSize, chosen, onChoose, onEvict } = options;
  const grid = useRef<HTMLDivElement>(null);
  const block = blocks[chosen - 1] ?? blocks[0];
  const press = (event: KeyboardEvent) => {
    const next = nextBlock(event.key, block.id, grid.current!, blocks.length);
    if (next === undefined) return;
    event.preventDefault();
    onChoose(next);
    (grid.current!.children[next - 1] as HTMLElement).focus();
  };
  return (
    <section class="card pool" aria-labelledby="pool-title">
      <div class="card-head">
        <h2 id="pool-title">The pool</h2>
        <span class="note">
          {blocks.length} blocks of {blockSize} tokens
        </span>
      </div>
      <div class="bar" aria-hidden="true">
        <span class="bar-used" style={{ flexGrow: counts.used }} />
        <span class="bar-cached" style={{ flexGrow: counts.cached }} />
        <span class="bar-free" style={{ flexGrow: counts.free }} />
      </div>
      <ul class="counts" aria-label="Blocks">
        <li data-kind="used">
          <i class="swatch bar-used" aria-hidden="true" />
          <b>{counts.used}</b> held
        </li>
        <li data-kind="cached">
          <i class="swatch bar-cached" aria-hidden="true" />
          <b>{counts.cached}</b> free, can be found again
        </li>
        <li data-kind="free">
          <i class="swatch bar-free" aria-hidden="true" />
          <b>{counts.free}</b> free
        </li>
      </ul>
      <div
        class="blocks"
        ref={grid}
        role="group"
        aria-label="Blocks; arrow keys move"
        onKeyDown={press}
      >
        {blocks.map((one) => (
          <Block
            key={one.id}
            block={one}
            blockSize={blockSize}
            chosen={one.id === block.id}
            onChoose={onChoose}
          />
        ))}
      </div>
      <p class="changes" aria-hidden="true">
        <span>
          <i />written in this step
        </span>
        <span>
          <i class="copied" />copied in this step
        </span>
      </p>
      <div class="block-facts">
        <p aria-live="polite">
          <b>Block {block.id}</b>: {MEANINGS[block.state]}
          {block.references > 0 && `, ${holders(block)}`}
          {block.words.length > 0 && (
            <>
              {" "}· <q>{block.words.join(" ")}</q>
            </>
          )}
        </p>
        <button
          type="button"
          disabled={!block.cached}
          onClick={() => onEvict(block.id)}
        >
          {block.references > 0 ? "Take out of the index" : "Evict"}
        </button>
      </div>
    </section>
  );
}

/** Who holds a block, with the count that the pool keeps. */
function holders({ references, owners, pinned }: BlockView): string {
  const names = owners.map(sequenceName);
  if (pinned) names.push("a pin");
  return `${references} ${references === 1 ? "reference" : "references"} (${
    names.join(", ")
  })`;
}

function Block(
  { block, blockSize, chosen, onChoose }: {
    block: BlockView;
    blockSize: number;
    chosen: boolean;
    onChoose: (id: number) => void;
  },
): JSX.Element {
  const { id, state, references, owners, words, pinned, change } = block;
  const meaning = `${MEANINGS[state]}, ${
    references > 0 ? holders(block) : "no references"
  }${change ? `, just ${change}` : ""}`;
  return (
    <button
      type="button"
      class="block"
      data-block={id}
      data-state={state}
      data-references={references}
      data-change={change}
      aria-pressed={chosen}
      tabIndex={chosen ? 0 : -1}
      style={owners.length > 0 ? { "--owners": stripes(owners) } : {}}
      onClick={() => onChoose(id)}
      onPointerEnter={() => onChoose(id)}
    >
      <span class="block-id">
        <span class="unseen">Block</span> {id}
      </span>
      {pinned && (
        <span class="block-pin">
          <PinIcon />
        </span>
      )}
      {references > 0 && (
        <span class="block-count" aria-hidden="true">×{references}</span>
      )}
      <span class="block-rows">
        {Array.from(
          { length: blockSize },
          (_, row) => (
            <i
              key={row}
              class={row < words.length ? "filled" : ""}
            />
          ),
        )}
      </span>
      <span class="unseen">{meaning}</span>
    </button>
  );
}

/** Where an arrow key leads. */
function nextBlock(
  key: string,
  id: number,
  grid: HTMLElement,
  count: number,
): number | undefined {
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const moves: Readonly<Record<string, number>> = {
    ArrowLeft: -1,
    ArrowRight: 1,
    ArrowUp: -columns,
    ArrowDown: columns,
  };
  if (!Object.hasOwn(moves, key)) return undefined;
  const next = id + moves[key];
  return next >= 1 && next <= count ? next : id;
}
