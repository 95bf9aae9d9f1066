/** A mod and its sizes, as the state of an address. @module */

import { GALLERY, readyMod, settingsOf } from "./gallery.ts";
import { checkSettings, type Settings } from "./settings.ts";

/** What is typed. */
export interface Typed {
  /** The code. */
  readonly code: string;
  /** The sizes. */
  readonly settings: Settings;
}

const NAMES = ["queries", "keys", "tile", "heads", "headDim", "head"] as const;

/** Reads a state; what is missing or wrong in it is as in the gallery. */
export function readTyped(state: URLSearchParams): Typed {
  const ready = readyMod(state.get("mod") ?? "") ?? GALLERY[0];
  const usual = settingsOf(ready);
  const given = NAMES.flatMap((name) => {
    const text = state.get(name);
    return text === null ? [] : [[name, Number(text)]];
  });
  let settings: Settings = { ...usual, ...Object.fromEntries(given) };
  try {
    checkSettings(settings);
  } catch {
    settings = usual;
  }
  return { code: state.get("code") ?? ready.code, settings };
}

/** Writes a state: as little as tells it apart from the gallery. */
export function writeTyped({ code, settings }: Typed): URLSearchParams {
  const ready = GALLERY.find((ready) => ready.code === code);
  const state = new URLSearchParams(ready ? { mod: ready.id } : { code });
  const usual = settingsOf(ready ?? GALLERY[0]);
  for (const name of NAMES) {
    if (settings[name] !== usual[name]) state.set(name, `${settings[name]}`);
  }
  return state;
}
