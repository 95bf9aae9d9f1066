/** The emitted WGSL. @module */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Choice } from "../ui/choice.tsx";
import { CopyButton } from "../ui/copy_button.tsx";
import { CopyIcon } from "../ui/icons.tsx";
import { Source } from "./editor.tsx";
import type { Sources } from "./analysis.ts";

/** The emitted WGSL. */
export function SourceView({ sources }: { sources: Sources }): JSX.Element {
  const [which, setWhich] = useState<"mods" | "kernel">("mods");
  const source = which === "mods" ? sources.mods : sources.kernel.code;
  const text = source.trimEnd();
  const lines = text.split("\n").length;
  return (
    <section class="card wgsl" aria-labelledby="wgsl-title">
      <div class="card-head">
        <h2 id="wgsl-title">WGSL</h2>
        <Choice
          label="Which source"
          choices={{ mods: "The mods", kernel: "Whole kernel" }}
          value={which}
          onChange={setWhich}
        />
        <CopyButton text={() => text} label="Copy">
          <CopyIcon />
        </CopyButton>
      </div>
      <p class="note">
        {which === "mods"
          ? "Two functions that the kernel calls. Numbers and tables are data, so masks of one structure share a pipeline."
          : `${sources.kernel.label}, ${lines} lines, for a device with no more than WebGPU's default limits.`}
      </p>
      <Source text={text} />
    </section>
  );
}
