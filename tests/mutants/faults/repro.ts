/**
 * One-line faults in the reproductions.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../fault.ts";

const MAPPER = ["repro/paging/mapper_simulator"];

/** Every fault listed for it. */
export const REPRO_FAULTS: readonly SourceFault[] = [
  ...faultsIn("MapperSimulator", MAPPER, [
    [
      "best fit takes the largest",
      "enough.reduce(least)",
      "enough.reduce(most)",
    ],
    [
      "pages are taken from slots that need them",
      "slot.mapped > this.#pagesFor(slot.length)",
      "slot.mapped > 0",
    ],
    [
      "pages are taken from the lowest slot up",
      "this.#slots.findLast((s) => !s.active && surplus(s))",
      "this.#slots.find((s) => !s.active && surplus(s))",
    ],
    [
      "maps ahead count as waited for",
      "this.#map(slot, 1)",
      "this.#map(slot, 1); this.#counters.criticalMapCalls += this.#tensors",
    ],
    ["one tensor is counted", "return count * this.#tensors", "return count"],
    [
      "a step that does not fit has changed lengths",
      "if (needed > this.#rows) {",
      "if (needed > this.#rows + 1) {",
    ],
    [
      "a freed slot loses its pages",
      "this.#slots[slot].active = false",
      "this.#slots[slot].active = false; this.#slots[slot].mapped = 0",
    ],
  ]),
];
