/** A button that copies a text, and says so. @module */

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { TickIcon } from "./icons.tsx";

/** How long it says so. */
const SAID_MS = 1600;

/** What it copies, and what it is called. */
export interface CopyButtonOptions {
  /** Gives the text. */
  readonly text: () => string;
  /** Its name. */
  readonly label: string;
  /** Its picture. */
  readonly children: ComponentChildren;
}

/** A button that copies a text. */
export function CopyButton(
  { text, label, children }: CopyButtonOptions,
): JSX.Element {
  const [said, setSaid] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text());
      setSaid("Copied");
    } catch {
      setSaid("Not allowed here");
    }
    setTimeout(() => setSaid(""), SAID_MS);
  };
  return (
    <button type="button" class="quiet" onClick={copy}>
      {said === "Copied" ? <TickIcon /> : children}
      <span aria-live="polite">{said || label}</span>
    </button>
  );
}
