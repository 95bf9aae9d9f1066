/** The colours of sequences. @module */

/** Different colours; later sequences have them again. */
const COLOURS = 8;

/** The colour of a sequence, as the style sheet has it. */
export function colourOf(index: number): string {
  return `var(--sequence-${index % COLOURS})`;
}

/** The colours of several side by side. */
export function stripes(owners: readonly number[]): string {
  if (owners.length === 1) return colourOf(owners[0]);
  const width = 100 / owners.length;
  const stops = owners.map((owner, i) =>
    `${colourOf(owner)} ${i * width}% ${(i + 1) * width}%`
  );
  return `linear-gradient(115deg, ${stops.join(", ")})`;
}
