/**
 * Channels of a plot, as Vega-Lite takes them.
 *
 * @module
 */

/** A channel: a field of the data, and how it is shown. */
export type Channel = Readonly<Record<string, unknown>>;

/** Numbers on an axis. */
export function numbers(
  field: string,
  title: string,
  more: Channel = {},
): Channel {
  return { field, type: "quantitative", title, ...more };
}

/** Numbers of which each mark on the axis is twice the one before. */
export function doublings(field: string, title: string): Channel {
  return numbers(field, title, { scale: { type: "log", base: 2 } });
}

/** Fractions on an axis. */
export function fractions(
  field: string,
  title: string,
  more: Channel = {},
): Channel {
  return numbers(field, title, { axis: { format: "%" }, ...more });
}

/** A colour, or dash, for each name; the legend needs no title. */
export function names(field: string, more: Channel = {}): Channel {
  return { field, type: "nominal", title: null, ...more };
}
