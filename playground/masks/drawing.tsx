/** The drawn mask, over which a pointer or the arrow keys move. @module */

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { scoreFunction } from "../../src/mods/mod.ts";
import type { Analysis } from "./analysis.ts";
import { type Mode, paint } from "./paint.ts";
import { SCORE_IN } from "./settings.ts";

/** A pair of a query's and a key's index. */
export interface Pair {
  /** The query's. */
  readonly query: number;
  /** The key's. */
  readonly key: number;
}

/** The longest side, in pixels of the style sheet. */
const SIDE = 500;

const KIND_NAMES = { empty: "skipped", mixed: "mixed", full: "full" } as const;

/** What is drawn. */
export interface DrawingOptions {
  /** The mods. */
  readonly analysis: Analysis;
  /** Tiles or scores. */
  readonly mode: Mode;
  /** Whose colours; it is painted again when that changes. */
  readonly theme: string;
  /** The pair that is looked at. */
  readonly at: Pair | undefined;
  /** Looks at another, or at none. */
  readonly onAt: (at: Pair | undefined) => void;
}

/** The drawn mask. */
export function Drawing(
  { analysis, mode, theme, at, onAt }: DrawingOptions,
): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { queries, keys, tile } = analysis.settings;
  const longest = Math.max(queries, keys);
  useEffect(() => {
    const element = canvas.current!;
    const repaint = () => {
      const { width, height } = element.getBoundingClientRect();
      if (width === 0) return;
      element.width = Math.round(width * devicePixelRatio);
      element.height = Math.round(height * devicePixelRatio);
      paint(element, analysis, mode);
      element.dataset.painted = mode;
    };
    repaint();
    const observer = new ResizeObserver(repaint);
    observer.observe(element);
    return () => observer.disconnect();
  }, [analysis, mode, theme]);

  const point = ({ clientX, clientY }: PointerEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    const inside = (share: number, count: number) =>
      Math.min(count - 1, Math.max(0, Math.floor(share * count)));
    onAt({
      query: inside((clientY - box.top) / box.height, queries),
      key: inside((clientX - box.left) / box.width, keys),
    });
  };
  const press = (event: KeyboardEvent) => {
    const moved = movedBy(event, at, analysis);
    if (moved === undefined) return;
    event.preventDefault();
    onAt(moved);
  };
  return (
    <figure class="drawing">
      <span class="axis axis-keys" aria-hidden="true">
        keys <b>0</b>…<b>{keys - 1}</b>
      </span>
      <span class="axis axis-queries" aria-hidden="true">
        queries <b>0</b>…<b>{queries - 1}</b>
      </span>
      <div
        class="drawn"
        tabIndex={0}
        role="group"
        aria-label={`${
          describe(analysis)
        } Arrow keys move over its tiles, with Shift over its pairs.`}
        aria-describedby="readout"
        style={{ maxWidth: `${SIDE * keys / longest}px` }}
        onPointerMove={point}
        onPointerDown={point}
        onPointerLeave={() => onAt(undefined)}
        onKeyDown={press}
      >
        <canvas
          ref={canvas}
          style={{ aspectRatio: `${keys} / ${queries}` }}
        />
        {at && (
          <>
            <Box
              class="cursor-tile"
              analysis={analysis}
              from={{
                query: at.query - at.query % tile,
                key: at.key - at.key % tile,
              }}
              size={tile}
            />
            <Box class="cursor-pair" analysis={analysis} from={at} size={1} />
          </>
        )}
      </div>
      <figcaption>
        <output id="readout" aria-live="polite">
          {at
            ? readout(analysis, at)
            : "Point at the mask, or focus it and use the arrow keys."}
        </output>
      </figcaption>
    </figure>
  );
}

/** An outline of some pairs. */
function Box(
  { class: name, analysis, from, size }: {
    class: string;
    analysis: Analysis;
    from: Pair;
    size: number;
  },
): JSX.Element {
  const { queries, keys } = analysis.settings;
  const percent = (part: number, whole: number) => `${100 * part / whole}%`;
  return (
    <span
      class={name}
      style={{
        left: percent(from.key, keys),
        top: percent(from.query, queries),
        width: percent(Math.min(size, keys - from.key), keys),
        height: percent(Math.min(size, queries - from.query), queries),
      }}
    />
  );
}

function describe({ counts }: Analysis): string {
  return `The mask: ${counts.empty} tiles skipped, ${counts.full} full, ${counts.mixed} mixed.`;
}

/** Where an arrow key leads: to the next tile, with Shift to the next pair. */
function movedBy(
  { key: name, shiftKey }: KeyboardEvent,
  at: Pair | undefined,
  { settings: { queries, keys, tile } }: Analysis,
): Pair | undefined {
  const moves: Record<string, readonly [query: number, key: number]> = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
  };
  if (!Object.hasOwn(moves, name)) return undefined;
  if (at === undefined) return { query: 0, key: 0 };
  const step = shiftKey ? 1 : tile;
  const within = (value: number, count: number) =>
    value < 0 || value >= count ? undefined : value;
  const [down, right] = moves[name];
  return {
    query: within(at.query + down * step, queries) ?? at.query,
    key: within(at.key + right * step, keys) ?? at.key,
  };
}

/** All that is known of a pair. */
function readout(analysis: Analysis, { query, key }: Pair): string {
  const { settings, tiles, seen, scoreMods } = analysis;
  const { tile, queries, keys, head } = settings;
  const position = query + keys - queries;
  const kind = tiles[Math.floor(query / tile)][Math.floor(key / tile)];
  const sees = seen[query * keys + key] === 1;
  const parts = [
    `Query ${query}${
      position === query ? "" : ` (at ${position})`
    }, key ${key}`,
    sees ? "seen" : "not seen",
    `in a ${KIND_NAMES[kind]} tile`,
  ];
  if (scoreMods.length > 0 && sees) {
    const score = scoreFunction(scoreMods)(SCORE_IN, 0, head, position, key);
    parts.push(
      `a score of ${SCORE_IN} becomes ${Number(score.toPrecision(4))}`,
    );
  }
  return parts.join(" · ");
}
