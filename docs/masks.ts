/** Four masks side by side, as `drawMask()` draws them. @module */

import {
  and,
  causal,
  dilated,
  document,
  drawMask,
  type MaskMod,
  sinkWindow,
} from "../src/mods/mod.ts";

/** Tokens of five documents, one after the other. */
const DOCUMENTS = Int32Array.from(
  { length: 128 },
  (_, i) => [20, 56, 70, 108].filter((end) => i >= end).length,
);

const MASKS: readonly (readonly [title: string, mask: MaskMod])[] = [
  ["causal", causal()],
  ["sinkWindow", sinkWindow({ sinks: 6, window: 20 })],
  ["document and causal", and(document(DOCUMENTS), causal())],
  [
    "dilated and causal",
    and(dilated({ window: 40, dilation: 4 }), causal()),
  ],
];

const GAP = 24;

/** The picture. */
export function masksPicture(): string {
  const pictures = MASKS.map(([title, mask]) =>
    drawMask(mask, { title, keys: 128 }).svg
  );
  const [, width, height] = pictures[0].match(/width="(\d+)" height="(\d+)"/)!;
  const step = Number(width) + GAP;
  const total = pictures.length * step - GAP;
  const placed = pictures.map((svg, i) =>
    svg.trimEnd().replace("<svg ", `<svg x="${i * step}" `)
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${total}" height="${height}" viewBox="0 0 ${total} ${height}">
<rect width="${total}" height="${height}" fill="#ffffff"/>
${placed.join("\n")}
</svg>
`;
}
