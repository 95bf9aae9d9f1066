/** Three forks of a prompt and the blocks that they share. @module */

import { BlockPool, BlockTable } from "../src/cache/mod.ts";

const CELL = { width: 62, height: 26 };
const LEFT = 116;

/** Blocks of the pool, the null block included. */
const BLOCKS = 10;
const STYLE = {
  shared: ["#1e3a8a", "#ffffff"],
  own: ["#3b82f6", "#ffffff"],
  free: ["#f3f4f6", "#9ca3af"],
} as const;

/** A fork, and what has become of it. */
interface Row {
  readonly name: string;
  readonly table: BlockTable;
}

/** What a pool really hands out: a prompt of 40 tokens, forked, one added. */
function forks(): Row[] {
  const pool = new BlockPool({ numBlocks: BLOCKS, blockSize: 16 });
  const prompt = new BlockTable(pool);
  prompt.reserve(40);
  prompt.commit(40);
  const rows = [
    { name: "prompt", table: prompt },
    { name: "fork A", table: prompt.fork() },
    { name: "fork B", table: prompt.fork() },
  ];
  // A goes on by one token, B by twelve: each needs a last block of its own.
  for (const [i, count] of [[1, 1], [2, 12]]) {
    rows[i].table.reserve(count);
    rows[i].table.commit(40 + count);
  }
  return rows;
}

function cell(
  x: number,
  y: number,
  text: string,
  [fill, ink]: readonly [string, string],
): string {
  return `<rect x="${x}" y="${y}" width="${
    CELL.width - 4
  }" height="${CELL.height}" rx="4" fill="${fill}"/>
<text x="${x + CELL.width / 2 - 2}" y="${
    y + 17.5
  }" text-anchor="middle" fill="${ink}">${text}</text>`;
}

/** The picture. */
export function sharingPicture(): string {
  const rows = forks();
  const holders = new Map<number, number>();
  for (const { table } of rows) {
    for (const block of table.blocks) {
      holders.set(block, (holders.get(block) ?? 0) + 1);
    }
  }
  const parts: string[] = [];
  const styleOf = (block: number) => {
    const count = holders.get(block) ?? 0;
    return STYLE[count === 0 ? "free" : count === 1 ? "own" : "shared"];
  };
  for (const [i, { name, table }] of rows.entries()) {
    const y = 34 + 38 * i;
    parts.push(`<text x="0" y="${y + 17.5}">${name}, ${table.length}</text>`);
    for (const [column, block] of [...table.blocks].entries()) {
      const x = LEFT + column * CELL.width;
      parts.push(cell(x, y, `block ${block}`, styleOf(block)));
    }
  }
  const top = 34 + 38 * rows.length + 26;
  parts.push(`<text x="0" y="${top + 17.5}">the pool</text>`);
  for (let block = 1; block < BLOCKS; block++) {
    const count = holders.get(block) ?? 0;
    const text = count === 0 ? "free" : `${block}: ${count}x`;
    const x = LEFT + (block - 1) * CELL.width;
    parts.push(cell(x, top, text, styleOf(block)));
  }
  const width = LEFT + (BLOCKS - 1) * CELL.width + 8;
  const height = top + CELL.height + 34;
  const used = holders.size;
  const unshared = rows.reduce(
    (sum, { table }) => sum + table.blocks.length,
    0,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${
    width + 16
  }" height="${height + 8}" viewBox="-12 0 ${width + 16} ${
    height + 8
  }" font-family="system-ui, sans-serif" font-size="12" fill="#374151">
<title>Blocks of 16 tokens, shared by forks and copied when written</title>
<rect x="-12" width="${width + 16}" height="${height + 8}" fill="#ffffff"/>
<text x="0" y="20" font-weight="600">tokens of each</text>
<text x="${LEFT}" y="20" font-weight="600">its block table</text>
${parts.join("\n")}
<text x="0" y="${
    height - 4
  }">${used} blocks in use, ${unshared} without sharing. A full block stays shared; the last one is copied by who writes it.</text>
</svg>
`;
}
