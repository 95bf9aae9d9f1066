/**
 * Parts of a plot, as Vega-Lite takes them. A panel's title says what is
 * measured and its subtitle in what; so the vertical axis needs no title, and
 * panels beside each other begin at the same height.
 *
 * @module
 */

import type { Chart } from "./experiment.ts";

/** A channel: a field of the data, and how it is shown. */
export type Channel = Readonly<Record<string, unknown>>;

/** How large a panel is. */
export const PANEL = { width: 320, height: 240 } as const;

/** One panel of a plot. */
export interface Panel {
  /** What is measured. */
  readonly title: string;
  /** In what, along the vertical axis. */
  readonly subtitle: string;
  /** Its marks, or layers or facets of them. */
  readonly marks: Channel;
}

/** Panels side by side, each with its own legend below. */
export function panels(...all: readonly Panel[]): Chart {
  return {
    hconcat: all.map(({ title, subtitle, marks }) => ({
      title: { text: title, subtitle },
      ...marks,
    })),
    spacing: 40,
    resolve: { scale: { color: "independent", strokeDash: "independent" } },
  };
}

/** Numbers on an axis, which begins at zero. */
export function numbers(
  field: string,
  title: string | null,
  more: Channel = {},
): Channel {
  return { field, type: "quantitative", title, ...more };
}

/** Numbers of which each is twice the one before; each has its label. */
export function doublings(
  field: string,
  title: string | null,
  values: readonly number[],
): Channel {
  const domain = [values[0], values[values.length - 1]];
  return numbers(field, title, {
    scale: { type: "log", base: 2, domain, nice: false },
    axis: { values, labelOverlap: false },
  });
}

/** Fractions on an axis, of at most all. */
export function fractions(field: string, more: Channel = {}): Channel {
  return numbers(field, null, {
    axis: { format: "%", tickCount: 5 },
    scale: { domain: [0, 1] },
    ...more,
  });
}

/** A colour for each name, in the order given; the legend needs no title. */
export function colours(field: string, order: readonly string[]): Channel {
  return { field, type: "nominal", title: null, sort: order };
}

/** A dash for each name: of lines that lie on each other, each can be seen. */
export function dashes(
  field: string,
  of: Readonly<Record<string, readonly number[]>>,
): Channel {
  const domain = Object.keys(of);
  const range = Object.values(of);
  return {
    field,
    type: "nominal",
    title: null,
    sort: domain,
    scale: { domain, range },
  };
}
