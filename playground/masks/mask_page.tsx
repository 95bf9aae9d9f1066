/** The page of masks and scores. @module */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { CrossIcon } from "../ui/icons.tsx";
import { useChange } from "../ui/later.ts";
import type { Analysis } from "./analysis.ts";
import { Editor } from "./editor.tsx";
import type { Mistake } from "./evaluation.ts";
import { GALLERY, settingsOf } from "./gallery.ts";
import { Gallery } from "./gallery_view.tsx";
import { readTyped, type Typed, writeTyped } from "./mask_address.ts";
import { Picture } from "./picture_view.tsx";
import { RunView } from "./run_view.tsx";
import { SettingsFields } from "./settings_view.tsx";
import { SourceView } from "./source_view.tsx";
import { askOnce, MistakeError } from "./workers.ts";

/** How long typing rests before the code is run. */
const REST_MS = 200;

/** What the page shows, and who keeps it. */
export interface MaskPageOptions {
  /** The state of the address. */
  readonly state: URLSearchParams;
  /** Takes another. */
  readonly onState: (state: URLSearchParams) => void;
  /** Whose colours. */
  readonly theme: string;
}

/** What is known of what is typed. */
interface Found {
  /** The last that was right. */
  readonly analysis?: Analysis;
  /** Why what is typed is not. */
  readonly mistake?: Mistake;
}

/** The page of masks and scores. */
export function MaskPage(
  { state, onState, theme }: MaskPageOptions,
): JSX.Element {
  const [typed, setTyped] = useState(() => readTyped(state));
  useChange(() => setTyped(readTyped(state)), [state]);
  useEffect(() => onState(writeTyped(typed)), [typed]);
  const { analysis, mistake } = useFound(typed);
  const { code, settings } = typed;
  const ready = GALLERY.find((ready) => ready.code === code);
  const stale = mistake !== undefined;
  return (
    <div class="masks">
      <Gallery
        code={code}
        onChoose={(ready) =>
          setTyped({ code: ready.code, settings: settingsOf(ready) })}
      />
      <div class="column">
        <section class="card typed" aria-labelledby="code-title">
          <div class="card-head">
            <h2 id="code-title">{ready?.title ?? "A mod of your own"}</h2>
          </div>
          <p class="note">
            {ready?.about ??
              "Expressions of batch, head, query, key and score; the last line is what is drawn."}
          </p>
          <Editor
            code={code}
            onChange={(code) => setTyped((typed) => ({ ...typed, code }))}
            wrong={mistake?.line === undefined
              ? undefined
              : { line: mistake.line, message: mistake.message }}
          />
          <div id="mistake" role="alert">
            {mistake && (
              <p class="verdict verdict-bad">
                <CrossIcon />
                <span>
                  <b>{mistake.name}</b>
                  {mistake.line !== undefined && ` in line ${mistake.line}`}:
                  {" "}
                  {mistake.message}
                </span>
              </p>
            )}
          </div>
          <SettingsFields
            settings={settings}
            onChange={(settings) => {
              const last = Math.max(0, settings.heads - 1);
              const head = Math.min(settings.head, last);
              setTyped({ code, settings: { ...settings, head } });
            }}
          />
        </section>
        {analysis && <SourceView sources={analysis.sources} />}
      </div>
      <div class="column">
        {analysis && (
          <>
            <Picture analysis={analysis} stale={stale} theme={theme} />
            <RunView analysis={analysis} stale={stale} />
          </>
        )}
        {!analysis && (
          <section class="card picture" aria-busy={!mistake}>
            <p class="note">
              {mistake ? "There is nothing to draw yet." : "Drawing …"}
            </p>
          </section>
        )}
      </div>
    </div>
  );
}

/** Runs what is typed, when typing rests. */
function useFound(typed: Typed): Found {
  const [found, setFound] = useState<Found>({});
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const question = { kind: "analyse", ...typed } as const;
        const analysis = await askOnce<"analyse">(question, abort.signal);
        if (!abort.signal.aborted) setFound({ analysis });
      } catch (error) {
        if (abort.signal.aborted) return;
        const mistake = error instanceof MistakeError
          ? error.mistake
          : { name: "Error", message: String(error) };
        setFound(({ analysis }) => ({
          ...(analysis && { analysis }),
          mistake,
        }));
      }
    }, found.analysis ? REST_MS : 0);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [typed]);
  return found;
}
