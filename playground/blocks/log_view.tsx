/** What happened, and what it came to. @module */

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { percent } from "../masks/numbers.ts";
import { CrossIcon, TickIcon } from "../ui/icons.tsx";
import type { Step } from "./service.ts";
import type { Snapshot } from "./snapshot.ts";

/** The log, the newest last. */
export function LogView({ steps }: { steps: readonly Step[] }): JSX.Element {
  const list = useRef<HTMLOListElement>(null);
  useEffect(() => {
    list.current!.scrollTop = list.current!.scrollHeight;
  }, [steps]);
  return (
    <section class="card log" aria-labelledby="log-title">
      <div class="card-head">
        <h2 id="log-title">What happened</h2>
      </div>
      <ol
        ref={list}
        tabIndex={0}
        aria-labelledby="log-title"
        aria-live="polite"
      >
        {steps.map(({ events }, i) => (
          <li key={i}>
            {events.map(({ kind, text }, n) => (
              <p key={n} data-event={kind}>{text}</p>
            ))}
          </li>
        ))}
      </ol>
    </section>
  );
}

/** Counts, and whether all holds. */
export function StatisticsView(
  { snapshot, blockSize }: { snapshot: Snapshot; blockSize: number },
): JSX.Element {
  const { counts, sharing, prefix, fault } = snapshot;
  const { queries, queriedTokens, hitTokens } = prefix;
  const slots = counts.used * blockSize;
  return (
    <section class="card statistics" aria-labelledby="statistics-title">
      <div class="card-head">
        <h2 id="statistics-title">Counted</h2>
      </div>
      <dl class="facts">
        <div>
          <dt>Sharing</dt>
          <dd data-fact="sharing">
            <b>{sharing.uniqueBlocks}</b> blocks for {sharing.logicalBlocks}
            {" "}
            table entries, <b>{percent(sharing.saved, 1)}</b> saved
          </dd>
        </div>
        <div>
          <dt>Prefixes</dt>
          <dd data-fact="prefixes">
            <b>{hitTokens}</b> of {queriedTokens} tokens of {queries}{" "}
            {queries === 1 ? "sequence" : "sequences"} were cached
          </dd>
        </div>
        <div>
          <dt>Filled</dt>
          <dd data-fact="filled">
            <b>{counts.tokens}</b> of {slots} slots of held blocks
            {slots > 0 && `, ${percent(counts.tokens, slots)}`}
          </dd>
        </div>
        <div>
          <dt>Peak</dt>
          <dd data-fact="peak">
            <b>{counts.peak}</b> blocks held at once
          </dd>
        </div>
      </dl>
      <p
        class={`verdict ${fault ? "verdict-bad" : "verdict-good"}`}
        data-fact="verify"
      >
        {fault ? <CrossIcon /> : <TickIcon />}
        <span>
          {fault ??
            "verify(): every invariant holds, and every sequence reads its own words"}
        </span>
      </p>
    </section>
  );
}
