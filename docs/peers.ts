/** Quire beside other libraries, as `deno task bench:peers` timed them. @module */

import results from "../bench/results/llvmpipe-2-cores.json" with {
  type: "json",
};

const { peers } = results;

/** Of the palette of Okabe and Ito, which everyone can tell apart. */
const COLOURS = ["#d55e00", "#009e73", "#e69f00"];

const LEFT = 276;
const WIDTH = 500;
const BAR = 9;
const TOP = 74;

/** Times of Quire's time up to which there is room. */
const MOST = 20;

/** The other libraries, in the order of their columns. */
const NAMES = Object.keys(peers.versions).filter((name) => name !== "quire");

/** A peer's time over Quire's in a case, where it was timed. */
interface Bar {
  readonly peer: number;
  readonly ratio: number;
}

/** A case, and its bars. */
interface Group {
  readonly name: string;
  readonly ms: number;
  readonly bars: readonly Bar[];
}

function groups(): Group[] {
  return peers.rows.map((row) => {
    const timed = row.entries.flatMap((entry) =>
      "ratio" in entry && entry.ratio !== undefined && entry.ms
        ? [{ name: entry.name, ratio: entry.ratio, ms: entry.ms.median }]
        : []
    );
    const own = timed.find(({ name }) => name === "quire")!;
    return {
      name: row.case,
      ms: own.ms,
      bars: timed.filter(({ name }) => name !== "quire")
        .map(({ name, ratio }) => ({ peer: NAMES.indexOf(name), ratio })),
    };
  });
}

/** Where a ratio is. */
function xOf(ratio: number): number {
  return LEFT + Math.round(WIDTH * Math.min(ratio, MOST) / MOST);
}

function text(x: number, y: number, content: string, more = ""): string {
  return `<text x="${x}" y="${y}"${more}>${content}</text>`;
}

function drawGroup({ name, ms, bars }: Group, y: number): string {
  const middle = y + bars.length * BAR / 2 + 4;
  return [
    text(LEFT - 8, middle, `${name}, ${ms} ms`, ' text-anchor="end"'),
    ...bars.map(({ peer, ratio }, i) => {
      const at = y + i * BAR;
      const end = xOf(ratio);
      return `<rect x="${LEFT}" y="${at}" width="${end - LEFT}" height="${
        BAR - 1
      }" fill="${COLOURS[peer]}"/>
${text(end + 4, at + 8, `${ratio.toFixed(1)}x`, ' font-size="9"')}`;
    }),
  ].join("\n");
}

/** The picture. */
export function peersPicture(): string {
  const parts: string[] = [];
  let y = TOP;
  for (const group of groups()) {
    parts.push(drawGroup(group, y));
    y += Math.max(2, group.bars.length) * BAR + 8;
  }
  const legend = NAMES.map((name, i) => {
    const version = (peers.versions as Record<string, string>)[name];
    const x = LEFT + i * 186;
    return `<rect x="${x}" y="46" width="10" height="10" fill="${COLOURS[i]}"/>
${text(x + 15, 55, `${name} ${version}`)}`;
  });
  const [right, height] = [LEFT + WIDTH + 44, y + 16];
  const one = xOf(1);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${right}" height="${height}" viewBox="0 0 ${right} ${height}" font-family="system-ui, sans-serif" font-size="11" fill="#374151">
<title>Times of other libraries over Quire's on one adapter</title>
<rect width="${right}" height="${height}" fill="#ffffff"/>
${
    text(
      LEFT,
      18,
      "Times of other libraries over Quire's; its own in ms",
      ' font-size="13" font-weight="600"',
    )
  }
${
    text(
      LEFT,
      35,
      `${peers.adapter.description}, ${peers.cores} cores, a software adapter; ${peers.rounds} rounds, ${
        peers.date.slice(0, 10)
      }`,
      ' fill="#6b7280"',
    )
  }
${legend.join("\n")}
${parts.join("\n")}
<path d="M${one} ${TOP - 8}V${
    y - 4
  }" stroke="#111827" stroke-dasharray="3 3" fill="none"/>
${text(one, y + 8, "as fast as Quire", ' text-anchor="middle"')}
</svg>
`;
}
