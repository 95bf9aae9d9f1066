/** Words that a model might say. @module */

import { Prng } from "../../src/core/prng.ts";

const WORDS =
  "and then the old lamp went out so we walked on by the light of a thin moon while far below the river kept its slow counsel with stones until morning came with birds over quiet fields of rye"
    .split(" ");

/** The word that a sequence generates at a position; forks say others. */
export function generatedWord(sequence: number, position: number): string {
  return WORDS[new Prng(977 * sequence + position).below(WORDS.length)];
}
