/** What becomes of every score at one pair, as a curve. @module */

import type { JSX } from "preact";
import { scoreFunction } from "../../src/mods/mod.ts";
import type { Analysis } from "./analysis.ts";
import type { Pair } from "./drawing.tsx";

/** Scores from -REACH to REACH are drawn. */
const REACH = 8;

/** Points of the curve. */
const POINTS = 97;

const [WIDTH, HEIGHT] = [260, 120];

/** A curve of the scores that a pair's mods give. */
export function Curve(
  { analysis, at }: { analysis: Analysis; at: Pair },
): JSX.Element {
  const { scoreMods, settings: { queries, keys, head } } = analysis;
  const modify = scoreFunction(scoreMods);
  const query = at.query + keys - queries;
  const points = Array.from({ length: POINTS }, (_, i) => {
    const score = REACH * (2 * i / (POINTS - 1) - 1);
    return [score, modify(score, 0, head, query, at.key)] as const;
  });
  const all = points.flat();
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const x = (score: number) => WIDTH * (score + REACH) / (2 * REACH);
  const y = (score: number) => HEIGHT * (most - score) / (most - least);
  const path = points.map(([from, to]) =>
    `${x(from).toFixed(1)} ${y(to).toFixed(1)}`
  ).join("L");
  const short = (value: number) => Number(value.toPrecision(3));
  const [, first] = points[0];
  const [, last] = points[POINTS - 1];
  return (
    <figure class="curve">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={`Scores from ${-REACH} to ${REACH} become ${
          short(first)
        } to ${short(last)}`}
      >
        <path
          class="curve-axis"
          d={`M0 ${y(0)}H${WIDTH}M${x(0)} 0V${HEIGHT}`}
        />
        <path
          class="curve-same"
          d={`M${x(-REACH)} ${y(-REACH)}L${x(REACH)} ${y(REACH)}`}
        />
        <path class="curve-line" d={`M${path}`} />
      </svg>
      <figcaption>
        At query {at.query} and key {at.key}: scores from {-REACH} to {REACH}
        {" "}
        become <b>{short(first)}</b> to{" "}
        <b>{short(last)}</b>; dashed, as they were.
      </figcaption>
    </figure>
  );
}
