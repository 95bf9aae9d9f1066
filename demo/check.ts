/**
 * The proof: what the attention said, against a plain search.
 *
 * @module
 */

import type { Prediction } from "./encoding.ts";
import { DemoError } from "./input.ts";
import { continueText, lookUp } from "./look_up.ts";
import { printable } from "./view.ts";

/**
 * Throws unless every position of a text was predicted as it is looked up.
 *
 * @throws {DemoError} at the first that was not.
 */
export function checkPredictions(
  text: Uint8Array,
  predictions: readonly (Prediction | undefined)[],
): void {
  text.forEach((_, position) => {
    const said = predictions[position];
    const found = lookUp(text, position);
    if (said?.byte === found?.byte && said?.context === found?.context) return;
    throw new DemoError(
      `The prediction for byte ${position} is not what is looked up: ${
        describe(said)
      } instead of ${describe(found)}`,
    );
  });
}

function describe(prediction: Prediction | undefined): string {
  return prediction
    ? `byte ${prediction.byte} after a context of ${prediction.context}`
    : "nothing";
}

/**
 * Throws unless every prompt was completed as repeated look-ups do it.
 *
 * @throws {DemoError} at the first that was not, with both completions.
 */
export function checkCompletions({ text, prompts, count, texts }: {
  text: Uint8Array;
  prompts: readonly Uint8Array[];
  count: number;
  texts: readonly Uint8Array[];
}): void {
  prompts.forEach((prompt, p) => {
    const start = new Uint8Array([...text, ...prompt]);
    const expected = continueText(start, count);
    const actual = texts[p].subarray(start.length);
    if (expected.every((byte, i) => byte === actual[i])) return;
    throw new DemoError(
      `Completion ${p + 1} is not what is looked up:
  attention: ${printable(actual)}
  look-up:   ${printable(expected)}`,
    );
  });
}
