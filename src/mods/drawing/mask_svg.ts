/**
 * A mask as an SVG picture.
 *
 * @module
 */

import { maskFunction } from "../evaluate.ts";
import type { TileGridOptions, TileKind } from "./tile_grid.ts";
import type { MaskMod } from "../trace.ts";

/** Width and height of the longer side of the mask, in pixels. */
const SIDE = 256;

/** Pixels around the picture, and those for its three lines. */
const MARGIN = 8;
const TEXT = 56;

/** The least pixels of a pair that is drawn by itself. */
const LEAST_PAIR = 0.5;

const COLOURS = {
  full: "#1e3a8a",
  seen: "#3b82f6",
  mixed: "#dbeafe",
  empty: "#f3f4f6",
  line: "#ffffff",
  text: "#374151",
};

/** What is drawn. */
export interface MaskSvgParts {
  /** The masks, all of which must hold. */
  readonly masks: readonly MaskMod[];
  /** Where they are looked at. */
  readonly grid: TileGridOptions;
  /** The tiles' kinds, row by row. */
  readonly tiles: readonly (readonly TileKind[])[];
  /** How many there are of each kind. */
  readonly counts: Readonly<Record<TileKind, number>>;
  /** The first line below the mask. */
  readonly title: string;
}

/** A rectangle as a part of a path, in pairs. */
function box(x: number, y: number, width: number, height: number): string {
  return `M${x} ${y}h${width}v${height}h${-width}z`;
}

/** Text as it stands in XML. */
function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

/** Paths of the seen pairs of a mixed tile, a run of keys at a time. */
function pairs(
  { masks, grid }: MaskSvgParts,
  tile: { readonly row: number; readonly column: number },
): string {
  const { batch, head, queries, keys, queryOffset } = grid;
  const sees = maskFunction(masks);
  const firstKey = tile.column * grid.tileKeys;
  const endKey = Math.min(firstKey + grid.tileKeys, keys);
  const firstQuery = tile.row * grid.tileQueries;
  const endQuery = Math.min(firstQuery + grid.tileQueries, queries);
  let path = "";
  for (let query = firstQuery; query < endQuery; query++) {
    let start = -1;
    for (let key = firstKey; key <= endKey; key++) {
      const seen = key < endKey && sees(batch, head, query + queryOffset, key);
      if (seen && start < 0) start = key;
      if (!seen && start >= 0) {
        path += box(start, query, key - start, 1);
        start = -1;
      }
    }
  }
  return path;
}

/** The picture: tiles, in mixed ones the pairs that are seen, and three lines. */
export function maskSvg(parts: MaskSvgParts): string {
  const { grid, tiles, counts, title } = parts;
  const { queries, keys, tileQueries, tileKeys } = grid;
  const size = SIDE / Math.max(queries, keys);
  const paths: Record<TileKind | "pairs", string> = {
    empty: "",
    full: "",
    mixed: "",
    pairs: "",
  };
  for (const [row, kinds] of tiles.entries()) {
    for (const [column, kind] of kinds.entries()) {
      const [x, y] = [column * tileKeys, row * tileQueries];
      const width = Math.min(tileKeys, keys - x);
      const height = Math.min(tileQueries, queries - y);
      paths[kind] += box(x, y, width, height);
      if (kind === "mixed" && size >= LEAST_PAIR) {
        paths.pairs += pairs(parts, { row, column });
      }
    }
  }
  const line = `stroke="${COLOURS.line}" vector-effect="non-scaling-stroke"`;
  const grids = paths.empty + paths.mixed + paths.full;
  const width = SIDE + 2 * MARGIN;
  const bottom = Math.ceil(queries * size);
  const height = bottom + 2 * MARGIN + TEXT;
  const found = [counts.empty, counts.full, counts.mixed];
  const legend = (["skipped", "full", "mixed"] as const).map((name, i) => {
    const colour = [COLOURS.empty, COLOURS.full, COLOURS.mixed][i];
    return `<rect x="${92 * i}" y="${
      bottom + 44
    }" width="10" height="10" fill="${colour}" stroke="${COLOURS.text}" stroke-width="0.5"/>
<text x="${92 * i + 15}" y="${bottom + 53}">${found[i]} ${name}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="${-MARGIN} ${-MARGIN} ${width} ${height}" font-family="system-ui, sans-serif" font-size="11" fill="${COLOURS.text}">
<title>${escaped(title)}</title>
<rect x="${-MARGIN}" y="${-MARGIN}" width="${width}" height="${height}" fill="#ffffff"/>
<g transform="scale(${size})">
<path fill="${COLOURS.empty}" d="${paths.empty}"/>
<path fill="${COLOURS.mixed}" d="${paths.mixed}"/>
<path fill="${COLOURS.seen}" d="${paths.pairs}"/>
<path fill="${COLOURS.full}" d="${paths.full}"/>
<path fill="none" ${line} d="${grids}"/>
</g>
<text y="${bottom + 20}" font-size="14" font-weight="600">${
    escaped(title)
  }</text>
<text y="${
    bottom + 36
  }">${queries} x ${keys}, tiles of ${tileQueries} x ${tileKeys}</text>
${legend.join("\n")}
</svg>
`;
}
