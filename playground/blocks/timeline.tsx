/** Goes back and forth among the commands. @module */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { PlayIcon, StopIcon } from "../ui/icons.tsx";

/** How long each moment is shown. */
const MOMENT_MS = 1100;

/** Where one is, and who goes elsewhere. */
export interface TimelineOptions {
  /** Commands that are done. */
  readonly at: number;
  /** Commands in all. */
  readonly count: number;
  /** Goes elsewhere. */
  readonly onMove: (at: number) => void;
  /** Forgets all. */
  readonly onClear: () => void;
}

/** Goes back and forth among the commands. */
export function Timeline(
  { at, count, onMove, onClear }: TimelineOptions,
): JSX.Element {
  const [playing, setPlaying] = useState(false);
  useEffect(() => {
    if (!playing) return;
    if (at >= count) return setPlaying(false);
    const timer = setTimeout(() => onMove(at + 1), MOMENT_MS);
    return () => clearTimeout(timer);
  }, [playing, at, count]);
  const play = () => {
    if (!playing && at >= count) onMove(0);
    setPlaying(!playing);
  };
  const go = (to: number) => {
    setPlaying(false);
    onMove(to);
  };
  return (
    <div class="card timeline" role="group" aria-label="Steps">
      <button type="button" disabled={count === 0} onClick={play}>
        {playing ? <StopIcon /> : <PlayIcon />}
        <span>{playing ? "Stop" : "Play"}</span>
      </button>
      <button
        type="button"
        aria-label="Step back"
        disabled={at === 0}
        onClick={() => go(at - 1)}
      >
        ‹
      </button>
      <button
        type="button"
        aria-label="Step on"
        disabled={at >= count}
        onClick={() => go(at + 1)}
      >
        ›
      </button>
      <input
        type="range"
        aria-label="Step"
        min={0}
        max={count}
        value={at}
        disabled={count === 0}
        onInput={({ currentTarget: { value } }) => go(Number(value))}
      />
      <output data-fact="step">{at} of {count}</output>
      <button type="button" class="quiet" onClick={onClear}>Clear</button>
    </div>
  );
}
