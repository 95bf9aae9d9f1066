/** `deno task pictures`: draws the README's pictures anew. @module */

import { masksPicture } from "./masks.ts";
import { sharingPicture } from "./sharing.ts";

/** The pictures, by their files in this folder. */
export function pictures(): ReadonlyMap<string, string> {
  return new Map([
    ["masks.svg", masksPicture()],
    ["sharing.svg", sharingPicture()],
  ]);
}

if (import.meta.main) {
  for (const [name, svg] of pictures()) {
    await Deno.writeTextFile(new URL(name, import.meta.url), svg);
  }
}
