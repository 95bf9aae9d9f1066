/** Attention with the mods, on the visitor's device. @module */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { CrossIcon, PlayIcon, TickIcon } from "../ui/icons.tsx";
import type { Analysis } from "./analysis.ts";
import type { Outcome } from "./attention_check.ts";
import { milliseconds, percent, scientific } from "./numbers.ts";
import { askDevice } from "./workers.ts";

type State =
  | { readonly kind: "idle" | "running" }
  | { readonly kind: "done"; readonly outcome: Outcome }
  | { readonly kind: "failed"; readonly message: string };

const IDLE: State = { kind: "idle" };

/** Attention with the mods, on the visitor's device. */
export function RunView(
  { analysis, stale }: { analysis: Analysis; stale: boolean },
): JSX.Element {
  const [state, setState] = useState<State>(IDLE);
  const { queries, keys, heads, headDim } = analysis.settings;
  const supported = "gpu" in navigator;
  const current = useRef(analysis);
  useEffect(() => {
    current.current = analysis;
    setState(IDLE);
  }, [analysis]);
  const run = async () => {
    setState({ kind: "running" });
    // What comes when other code is there is not its result.
    const finish = (state: State) => {
      if (current.current === analysis) setState(state);
    };
    const { maskMods, scoreMods, settings } = analysis;
    try {
      const outcome = await askDevice({
        kind: "run",
        mods: { maskMods, scoreMods },
        settings,
      });
      finish({ kind: "done", outcome });
    } catch (error) {
      finish({ kind: "failed", message: (error as Error).message });
    }
  };
  return (
    <section class="card run" aria-labelledby="run-title">
      <div class="card-head">
        <h2 id="run-title">On this device</h2>
        <button
          type="button"
          class="primary"
          disabled={!supported || stale || state.kind === "running"}
          onClick={run}
        >
          <PlayIcon />
          <span>
            {state.kind === "running" ? "Running …" : "Run attention"}
          </span>
        </button>
      </div>
      {supported
        ? (
          <p class="note">
            {queries} queries over {keys} keys, {heads} heads of{" "}
            {headDim}, random f32 rows; every element held against float64.
          </p>
        )
        : (
          <p class="note warning" role="status">
            This browser has no WebGPU (or the page was not loaded over HTTPS),
            so attention cannot be run here. All else works without it: the
            mask, its tiles and the WGSL are computed by plain TypeScript.
          </p>
        )}
      <div role="status" aria-live="polite">
        {state.kind === "failed" && (
          <p class="verdict verdict-bad">
            <CrossIcon />
            <span>{state.message}</span>
          </p>
        )}
        {state.kind === "done" && <Result outcome={state.outcome} />}
      </div>
    </section>
  );
}

function Result({ outcome }: { outcome: Outcome }): JSX.Element {
  const { error, bound, ok, tiles } = outcome;
  return (
    <>
      <p class={`verdict ${ok ? "verdict-good" : "verdict-bad"}`}>
        {ok ? <TickIcon /> : <CrossIcon />}
        <span data-fact="verdict">
          {ok
            ? "Within the error rule's bound"
            : "Beyond the error rule's bound"}
        </span>
      </p>
      <div
        class="gauge"
        role="img"
        aria-label={`The error is ${percent(error, bound)} of the bound`}
      >
        <span style={{ width: `${Math.min(100, 100 * error / bound)}%` }} />
      </div>
      <dl class="facts">
        <div>
          <dt>Largest error</dt>
          <dd data-fact="error" data-value={error}>
            <b>{scientific(error)}</b> of{" "}
            {outcome.elements.toLocaleString("en")} elements
          </dd>
        </div>
        <div>
          <dt>Bound</dt>
          <dd data-fact="bound" data-value={bound}>
            <b>{scientific(bound)}</b>, of which that is {percent(error, bound)}
          </dd>
        </div>
        <div>
          <dt>Time</dt>
          <dd>
            <b>{milliseconds(outcome.later)}</b> {outcome.clock === "device"
              ? "by the device's clock"
              : "with the way there and back"}, the first{" "}
            {milliseconds(outcome.first)} with compiling
          </dd>
        </div>
        <div>
          <dt>Kernel</dt>
          <dd>
            <b>{outcome.kernel}</b>, tiles of {outcome.tileRows} rows ×{" "}
            {outcome.tileKeys} keys: {tiles.visited} of {tiles.total} visited,
            {" "}
            {tiles.full} without the mask
          </dd>
        </div>
        <div>
          <dt>Adapter</dt>
          <dd>
            {outcome.adapter}
            {outcome.software && ", which computes on the CPU"}
          </dd>
        </div>
      </dl>
    </>
  );
}
