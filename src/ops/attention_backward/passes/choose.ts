/**
 * Which passes run: scores once, or twice.
 *
 * @module
 */

import { checkRange } from "../../../core/check.ts";
import { packedRows } from "../../attention/problem.ts";
import type { PassedOver } from "../../attention/variants/variant.ts";
import type { ScoreGradients } from "../choices.ts";
import type { PassContext, Passes } from "./pass.ts";
import { recomputedPasses } from "./recomputed.ts";
import { storedPasses } from "./stored.ts";

/** What runs, and why nothing else. */
export interface ChosenPasses {
  readonly passes: Passes;
  /** How it comes by the gradients of scores. */
  readonly scoreGradients: "stored" | "recomputed";
  /** Why they are not stored, where they are not. */
  readonly passedOver?: PassedOver;
}

/**
 * The passes of a choice.
 *
 * @throws {RangeError} if gradients of scores are to be stored and cannot be
 * @throws {UnsupportedError} if no tile fits the device
 */
export function choosePasses(
  choice: ScoreGradients,
  context: PassContext,
): ChosenPasses {
  const stored = whyNot(choice, context) ?? storedPasses(context);
  if (typeof stored !== "string") {
    return { passes: stored, scoreGradients: "stored" };
  }
  checkRange(
    choice !== "stored",
    "scoreGradients",
    `must be "auto" or "recomputed" here: ${stored}`,
    choice,
  );
  return {
    passes: recomputedPasses(context),
    scoreGradients: "recomputed",
    passedOver: { variant: "stored", why: stored },
  };
}

/** Why storing is not even tried. */
function whyNot(
  choice: ScoreGradients,
  { problem, device, tiles }: PassContext,
): string | undefined {
  if (choice === "recomputed") return "it was not asked for";
  if (choice === "stored") return undefined;
  if (!device.software) return "not measured on this kind of device";
  const rows = Math.max(
    0,
    ...problem.sequences.map((own) => packedRows(problem, own)),
  );
  // Lanes own rows by fours.
  return rows < 4 * tiles.lanes
    ? `fewer than ${4 * tiles.lanes} packed query rows`
    : undefined;
}
