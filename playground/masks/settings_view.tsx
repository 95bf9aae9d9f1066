/** Fields for the sizes. @module */

import type { JSX } from "preact";
import { MOST, type Settings } from "./settings.ts";

const NAMES = {
  queries: "Queries",
  keys: "Keys",
  tile: "Tile",
  heads: "Heads",
  headDim: "Head dim",
} as const;

/** The sizes, and who takes others. */
export interface SettingsOptions {
  /** As they are. */
  readonly settings: Settings;
  /** Takes others. */
  readonly onChange: (settings: Settings) => void;
}

/** Fields for the sizes. */
export function SettingsFields(
  { settings, onChange }: SettingsOptions,
): JSX.Element {
  return (
    <fieldset class="settings">
      <legend>Sizes</legend>
      {(Object.keys(NAMES) as (keyof typeof NAMES)[]).map((name) => (
        <label key={name}>
          <span>{NAMES[name]}</span>
          <input
            type="number"
            inputMode="numeric"
            min={1}
            max={MOST[name]}
            value={settings[name]}
            onInput={({ currentTarget: { value } }) => {
              // An empty field is one that is being typed in.
              if (value !== "") {
                onChange({ ...settings, [name]: Number(value) });
              }
            }}
          />
        </label>
      ))}
      <label>
        <span>Head drawn</span>
        <select
          value={settings.head}
          onChange={({ currentTarget: { value } }) =>
            onChange({ ...settings, head: Number(value) })}
        >
          {Array.from(
            { length: settings.heads },
            (_, head) => <option key={head} value={head}>{head}</option>,
          )}
        </select>
      </label>
    </fieldset>
  );
}
