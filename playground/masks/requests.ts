/** What the page asks of its workers, and what they answer. @module */

import type { Analysis } from "./analysis.ts";
import type { Outcome } from "./attention_check.ts";
import type { Mistake, Mods } from "./evaluation.ts";
import type { Settings } from "./settings.ts";
import type { Thumbnail, ThumbnailOptions } from "./thumbnail.ts";

/** What can be asked. */
export interface Questions {
  /** Runs typed code and looks at its mods. */
  readonly analyse: {
    readonly kind: "analyse";
    readonly code: string;
    readonly settings: Settings;
  };
  /** Draws small pictures of code of our own. */
  readonly thumbnails: {
    readonly kind: "thumbnails";
    readonly pictures: readonly ThumbnailOptions[];
  };
  /** Runs attention. */
  readonly run: {
    readonly kind: "run";
    readonly mods: Mods;
    readonly settings: Settings;
  };
}

/** What is answered. */
export interface Answers {
  /** What there is to see. */
  readonly analyse: Analysis;
  /** A picture each, in their order. */
  readonly thumbnails: readonly Thumbnail[];
  /** What the device computed. */
  readonly run: Outcome;
}

/** A question. */
export type Question = Questions[keyof Questions];

/** An answer. */
export type Answer = Answers[keyof Answers];

/** What a worker posts: an answer, or why there is none. */
export type Reply =
  | { readonly answer: Answer }
  | { readonly mistake: Mistake };
