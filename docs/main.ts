/** `deno task pictures`: draws the README's pictures anew. @module */

import { readCommand } from "../src/cli/arguments.ts";
import { masksPicture } from "./masks.ts";
import { sharingPicture } from "./sharing.ts";

/** The pictures, by their files in this folder. */
export function pictures(): ReadonlyMap<string, string> {
  return new Map([
    ["masks.svg", masksPicture()],
    ["sharing.svg", sharingPicture()],
  ]);
}

const USAGE = `Usage: deno task pictures
  Draws the README's pictures anew`;

if (import.meta.main) {
  readCommand({ usage: USAGE, flags: {} }, () => {});
  for (const [name, svg] of pictures()) {
    await Deno.writeTextFile(new URL(name, import.meta.url), svg);
  }
}
