/** Paints a mask, or what becomes of scores, on a canvas. @module */

import type { Analysis } from "./analysis.ts";

/** What is painted. */
export type Mode = "tiles" | "scores";

/** A colour by the name of its property in the style sheet. */
function colourOf(canvas: HTMLCanvasElement, name: string): string {
  return getComputedStyle(canvas).getPropertyValue(`--${name}`).trim();
}

/** Where pairs and tiles lie, in whole pixels of the canvas. */
class Places {
  readonly #canvas: HTMLCanvasElement;
  readonly #analysis: Analysis;

  constructor(canvas: HTMLCanvasElement, analysis: Analysis) {
    this.#canvas = canvas;
    this.#analysis = analysis;
  }

  /** The left side of a key. */
  x(key: number): number {
    const { keys } = this.#analysis.settings;
    return Math.round(Math.min(key, keys) * this.#canvas.width / keys);
  }

  /** The upper side of a query. */
  y(query: number): number {
    const { queries } = this.#analysis.settings;
    return Math.round(Math.min(query, queries) * this.#canvas.height / queries);
  }
}

/**
 * Paints one of the two pictures; colours are the style sheet's. The canvas has
 * as many pixels as it is shown with.
 */
export function paint(
  canvas: HTMLCanvasElement,
  analysis: Analysis,
  mode: Mode,
): void {
  const context = canvas.getContext("2d")!;
  context.clearRect(0, 0, canvas.width, canvas.height);
  const places = new Places(canvas, analysis);
  if (mode === "scores" && analysis.scores) {
    paintScores(canvas, analysis, analysis.scores);
  } else {
    paintTiles(canvas, analysis, places);
  }
  paintLines(canvas, analysis, places);
}

function paintTiles(
  canvas: HTMLCanvasElement,
  { settings, tiles, seen }: Analysis,
  places: Places,
): void {
  const context = canvas.getContext("2d")!;
  const { tile, queries, keys } = settings;
  const colours = {
    empty: colourOf(canvas, "tile-empty"),
    mixed: colourOf(canvas, "tile-mixed"),
    full: colourOf(canvas, "tile-full"),
  };
  const seenColour = colourOf(canvas, "tile-seen");
  const fill = (key: number, query: number, endKey: number, end: number) =>
    context.fillRect(
      places.x(key),
      places.y(query),
      places.x(endKey) - places.x(key),
      places.y(end) - places.y(query),
    );
  for (const [row, kinds] of tiles.entries()) {
    for (const [column, kind] of kinds.entries()) {
      const [query, key] = [row * tile, column * tile];
      context.fillStyle = colours[kind];
      fill(key, query, key + tile, query + tile);
      if (kind !== "mixed") continue;
      context.fillStyle = seenColour;
      const endKey = Math.min(key + tile, keys);
      for (let i = query; i < Math.min(query + tile, queries); i++) {
        for (const [from, end] of runsOf(seen, i * keys, key, endKey)) {
          fill(from, i, end, i + 1);
        }
      }
    }
  }
}

/** The runs of seen keys of a row, from one key to another. */
function* runsOf(
  seen: Uint8Array,
  row: number,
  key: number,
  end: number,
): Generator<[from: number, end: number]> {
  while (key < end) {
    if (seen[row + key] === 0) {
      key++;
      continue;
    }
    const from = key;
    while (key < end && seen[row + key] === 1) key++;
    yield [from, key];
  }
}

function paintScores(
  canvas: HTMLCanvasElement,
  { settings, seen }: Analysis,
  scores: Float32Array,
): void {
  const { queries, keys } = settings;
  const { least, most } = scoreRange(scores, seen);
  const ramp = rampOf(canvas);
  const empty = rgb(colourOf(canvas, "tile-empty"));
  const image = new ImageData(keys, queries);
  scores.forEach((score, n) => {
    const share = most > least ? (score - least) / (most - least) : 1;
    const colour = seen[n] === 1 ? ramp(share) : empty;
    image.data.set(colour, 4 * n);
    image.data[4 * n + 3] = 255;
  });
  const small = new OffscreenCanvas(keys, queries);
  small.getContext("2d")!.putImageData(image, 0, 0);
  const context = canvas.getContext("2d")!;
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

/** The least and the most of the scores of seen pairs. */
export function scoreRange(
  scores: Float32Array,
  seen: Uint8Array,
): { readonly least: number; readonly most: number } {
  let [least, most] = [Infinity, -Infinity];
  scores.forEach((score, n) => {
    if (seen[n] === 0) return;
    least = Math.min(least, score);
    most = Math.max(most, score);
  });
  return { least, most };
}

type Rgb = readonly [number, number, number];

/** The parts of a colour like `#1e3a8a`. */
function rgb(colour: string): Rgb {
  const value = parseInt(colour.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** Colours between the three of the style sheet's ramp. */
function rampOf(canvas: HTMLCanvasElement): (share: number) => Rgb {
  const stops = [0, 1, 2].map((i) => rgb(colourOf(canvas, `ramp-${i}`)));
  return (share) => {
    const at = Math.min(1, Math.max(0, share)) * 2;
    const [from, to] = at < 1 ? stops : stops.slice(1);
    const part = at < 1 ? at : at - 1;
    return from.map((x, i) => x + (to[i] - x) * part) as unknown as Rgb;
  };
}

/** Lines between tiles. */
function paintLines(
  canvas: HTMLCanvasElement,
  { settings, tiles }: Analysis,
  places: Places,
): void {
  const context = canvas.getContext("2d")!;
  const { tile } = settings;
  const width = Math.max(1, Math.round(canvas.width / 600));
  // Tiles of a few pixels would be lines alone.
  if (places.x(tile) < 4 * width || places.y(tile) < 4 * width) return;
  context.fillStyle = colourOf(canvas, "tile-line");
  for (let column = 1; column < tiles[0].length; column++) {
    context.fillRect(places.x(column * tile), 0, width, canvas.height);
  }
  for (let row = 1; row < tiles.length; row++) {
    context.fillRect(0, places.y(row * tile), canvas.width, width);
  }
}
