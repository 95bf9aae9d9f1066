/** The mask with its legend and its numbers. @module */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { drawMask } from "../../src/mods/mod.ts";
import { Choice } from "../ui/choice.tsx";
import { SaveIcon } from "../ui/icons.tsx";
import type { Analysis } from "./analysis.ts";
import { Curve } from "./curve.tsx";
import { Drawing, type Pair } from "./drawing.tsx";
import { percent } from "./numbers.ts";
import { type Mode, scoreRange } from "./paint.ts";
import { SCORE_IN } from "./settings.ts";

const KINDS = [
  ["empty", "skipped", "never computed"],
  ["full", "full", "computed without the mask"],
  ["mixed", "mixed", "computed with it"],
] as const;

/** What is drawn. */
export interface PictureOptions {
  /** The mods. */
  readonly analysis: Analysis;
  /** Whether they are of earlier code. */
  readonly stale: boolean;
  /** Whose colours. */
  readonly theme: string;
}

/** The mask with its legend and its numbers. */
export function Picture(
  { analysis, stale, theme }: PictureOptions,
): JSX.Element {
  const [wanted, setMode] = useState<Mode>("tiles");
  const mode = analysis.scores ? wanted : "tiles";
  const [at, setAt] = useState<Pair>();
  const { queries, keys } = analysis.settings;
  useEffect(() => setAt(undefined), [queries, keys]);
  return (
    <section class="card picture" aria-labelledby="picture-title">
      <div class="card-head">
        <h2 id="picture-title">The mask</h2>
        {analysis.scores && (
          <Choice
            label="What is drawn"
            choices={{ tiles: "Tiles", scores: "Scores" }}
            value={mode}
            onChange={setMode}
          />
        )}
        <button type="button" class="quiet" onClick={() => save(analysis)}>
          <SaveIcon />
          <span>SVG</span>
        </button>
      </div>
      <div class={stale ? "stale" : ""}>
        {mode === "scores" && analysis.scores
          ? <Ramp analysis={analysis} scores={analysis.scores} />
          : <Counts analysis={analysis} />}
        <Drawing
          analysis={analysis}
          mode={mode}
          theme={theme}
          at={at}
          onAt={setAt}
        />
        {mode === "scores" && (
          <Curve
            analysis={analysis}
            at={at ?? { query: queries - 1, key: 0 }}
          />
        )}
        <Density analysis={analysis} />
      </div>
    </section>
  );
}

function Counts({ analysis }: { analysis: Analysis }): JSX.Element {
  const { counts } = analysis;
  return (
    <ul class="counts" aria-label="Tiles">
      {KINDS.map(([kind, name, meaning]) => (
        <li key={kind} data-kind={kind}>
          <i class={`swatch swatch-${kind}`} aria-hidden="true" />
          <b>{counts[kind]}</b> {name}
          <small>{meaning}</small>
        </li>
      ))}
    </ul>
  );
}

/** What the colours of scores mean. */
function Ramp(
  { analysis, scores }: { analysis: Analysis; scores: Float32Array },
): JSX.Element {
  const { least, most } = scoreRange(scores, analysis.seen);
  const short = (value: number) => Number(value.toPrecision(3));
  return (
    <p class="ramp">
      What a score of {SCORE_IN} becomes: <b>{short(least)}</b>
      <i aria-hidden="true" />
      <b>{short(most)}</b>
    </p>
  );
}

function Density({ analysis }: { analysis: Analysis }): JSX.Element {
  const { counts, seen, seenPairs, sources } = analysis;
  const tiles = counts.empty + counts.full + counts.mixed;
  return (
    <dl class="facts">
      <div>
        <dt>Density</dt>
        <dd data-fact="density">
          <b>{percent(seenPairs, seen.length)}</b> of pairs are seen
        </dd>
      </div>
      <div>
        <dt>Work</dt>
        <dd data-fact="work">
          <b>{percent(counts.full + counts.mixed, tiles)}</b>{" "}
          of tiles are computed
        </dd>
      </div>
      <div>
        <dt>Data</dt>
        <dd data-fact="words">
          <b>{4 * sources.words} bytes</b> of numbers and tables, for the kernel
        </dd>
      </div>
    </dl>
  );
}

/** Gives the library's own picture to the visitor as a file. */
function save({ maskMods, settings }: Analysis): void {
  const { queries, keys, head, tile } = settings;
  const tiles = { tileQueries: tile, tileKeys: tile };
  const { svg } = drawMask(maskMods, { queries, keys, head, ...tiles });
  const url = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = "mask.svg";
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
