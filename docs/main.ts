/** `deno task pictures`: draws the pages' pictures anew. @module */

import { readCommand } from "../src/cli/arguments.ts";
import { masksPicture, zooPicture } from "./masks.ts";
import { peersPicture } from "./peers.ts";
import { sharingPicture } from "./sharing.ts";

/** The pictures, by their files in this folder. */
export function pictures(): ReadonlyMap<string, string> {
  return new Map([
    ["masks.svg", masksPicture()],
    ["peers.svg", peersPicture()],
    ["sharing.svg", sharingPicture()],
    ["zoo.svg", zooPicture()],
  ]);
}

const USAGE = `Usage: deno task pictures
  Draws the pages' pictures anew`;

if (import.meta.main) {
  readCommand({ usage: USAGE, flags: {} }, () => {});
  for (const [name, svg] of pictures()) {
    await Deno.writeTextFile(new URL(name, import.meta.url), svg);
  }
}
