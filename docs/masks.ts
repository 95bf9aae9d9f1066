/** Masks side by side, as `drawMask()` draws them. @module */

import {
  and,
  blockDiffusion,
  causal,
  dilated,
  document,
  drawMask,
  globalWindow,
  type MaskMod,
  neighborhood,
  sharedPrefix,
  sinkWindow,
  slidingTile,
  temporalHead,
  tileOrder,
} from "../src/mods/mod.ts";

/** Tokens of five documents, one after the other. */
const DOCUMENTS = Int32Array.from(
  { length: 128 },
  (_, i) => [20, 56, 70, 108].filter((end) => i >= end).length,
);

/** A mask, and what it is called. */
type Titled = readonly [title: string, mask: MaskMod];

const MASKS: readonly Titled[] = [
  ["causal", causal()],
  ["sinkWindow", sinkWindow({ sinks: 6, window: 20 })],
  ["document and causal", and(document(DOCUMENTS), causal())],
  [
    "dilated and causal",
    and(dilated({ window: 40, dilation: 4 }), causal()),
  ],
];

const IMAGE = { canvas: [8, 16], kernel: [3, 5] };

/** Masks of images and videos, and of rows that are packed. */
const ZOO: readonly (readonly Titled[])[] = [
  [
    ["neighborhood, row by row", neighborhood(IMAGE)],
    [
      "neighborhood, tile by tile",
      neighborhood({ ...IMAGE, order: tileOrder(IMAGE.canvas, 4) }),
    ],
    [
      "slidingTile and text",
      slidingTile({ canvas: [4, 28], tile: 4, kernel: [4, 12], text: 16 }),
    ],
    ["temporalHead", temporalHead({ prompt: 16, frame: 28, width: 8 })],
  ],
  [
    [
      "sharedPrefix",
      sharedPrefix({ cuSeqlens: [0, 40, 68, 96, 128], prefixOf: [0, 0, 0, 0] }),
    ],
    ["blockDiffusion", blockDiffusion({ length: 64, block: 16 })],
    [
      "globalWindow",
      globalWindow({
        window: 12,
        isGlobal: Uint8Array.from(
          { length: 128 },
          (_, i) => i % 64 < 4 ? 1 : 0,
        ),
      }),
    ],
    [
      "neighborhood, dilated, causal",
      neighborhood({ canvas: [128], kernel: 7, dilation: 8, causal: true }),
    ],
  ],
];

const GAP = 24;

/** The README's picture: four masks. */
export function masksPicture(): string {
  return gridPicture([MASKS]);
}

/** Eight more. */
export function zooPicture(): string {
  return gridPicture(ZOO);
}

/** Rows of masks. */
function gridPicture(rows: readonly (readonly Titled[])[]): string {
  const pictures = rows.map((row) =>
    row.map(([title, mask]) => drawMask(mask, { title, keys: 128 }).svg)
  );
  const size = pictures[0][0].match(/width="(\d+)" height="(\d+)"/)!;
  const [width, height] = size.slice(1).map(Number);
  const total = rows[0].length * (width + GAP) - GAP;
  const high = rows.length * height;
  const placed = pictures.flatMap((row, j) =>
    row.map((svg, i) => {
      const x = i * (width + GAP);
      const y = j === 0 ? "" : ` y="${j * height}"`;
      return svg.trimEnd().replace("<svg ", `<svg x="${x}"${y} `);
    })
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${total}" height="${high}" viewBox="0 0 ${total} ${high}">
<rect width="${total}" height="${high}" fill="#ffffff"/>
${placed.join("\n")}
</svg>
`;
}
