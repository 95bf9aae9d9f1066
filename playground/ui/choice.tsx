/** A row of buttons of which one is pressed. @module */

import type { JSX } from "preact";

/** What can be chosen. */
export interface ChoiceOptions<Value extends string> {
  /** What the choice is about, for those who do not see it. */
  readonly label: string;
  /** The choices with their names. */
  readonly choices: Readonly<Record<Value, string>>;
  /** The one that is chosen. */
  readonly value: Value;
  /** Takes another. */
  readonly onChange: (value: Value) => void;
}

/** A row of buttons of which one is pressed. */
export function Choice<Value extends string>(
  { label, choices, value, onChange }: ChoiceOptions<Value>,
): JSX.Element {
  return (
    <div class="choice" role="group" aria-label={label}>
      {(Object.keys(choices) as Value[]).map((choice) => (
        <button
          key={choice}
          type="button"
          aria-pressed={choice === value}
          onClick={() => onChange(choice)}
        >
          {choices[choice]}
        </button>
      ))}
    </div>
  );
}
