/**
 * Scores of a tile of query rows against a step of keys, in registers
 * `s_{row}_{key}`: what `forward` and the standard baseline start from.
 *
 * @module
 */

import { QUERY_WORDS } from "../fragments/schedule.ts";
import type { ModSource } from "../fragments/score.ts";
import { accumulateDot, unroll } from "../wgsl.ts";

/** A register tile with lanes along query rows. */
export interface RowTile {
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** Query rows that each lane owns. */
  readonly rowsPerLane: number;
  /** Keys that are scored in one step. */
  readonly keysPerStep: number;
}

/**
 * Turns of loops that an invocation takes at most, each loop's last look at its
 * condition among them; a branch not taken counts as one turn of its loops.
 */
export interface LoopTurns {
  /** For an item, besides its steps. */
  readonly item: number;
  /** For a step whose mask is skipped. */
  readonly fullStep: number;
  /** For any other step. */
  readonly maskedStep: number;
}

/** The sizes on which turns depend. */
export interface LoopSizes {
  /** vec4s of a query or key row. */
  readonly headVecs: number;
  /** vec4s of a value row. */
  readonly valueVecs: number;
  /** Whether there are score mods. */
  readonly scoreMods: boolean;
}

/** Query rows of one work item. */
export function tileRows({ lanes, rowsPerLane }: RowTile): number {
  return lanes * rowsPerLane;
}

/** Where the queries of a sequence are, and where they stand. */
export type Queries =
  /** One after the other, from the sequence's first on. */
  | "consecutive"
  /** Anywhere: the schedule has a list of them, of several sequences maybe. */
  | "listed";

const QUERY: Readonly<Record<Queries, (r: number) => string>> = {
  consecutive: (r) =>
    `let batch_${r} = sequence.batch;
let position_${r} = i32(query_${r}) + sequence.query_offset;
let token_${r} = (sequence.query_start + query_${r}) * params.query_heads + head_${r};`,
  listed: (r) =>
    `let listed_${r} = sequence.queries + ${QUERY_WORDS}u * query_${r};
let batch_${r} = i32(schedule[listed_${r} + 2u]);
let position_${r} = bitcast<i32>(schedule[listed_${r} + 1u]);
let token_${r} = schedule[listed_${r}] * params.query_heads + head_${r};`,
};

/**
 * Names for `count` packed rows of an item, `offset(r)` from its first. Rows
 * past the sequence's end repeat its last row, so that every load stays in
 * range; they are never written.
 */
export function nameRows(
  count: number,
  offset: (r: number) => string,
  queries: Queries,
): string {
  return unroll(count, (r) =>
    `let packed_${r} = item.first_row + ${offset(r)};
let row_${r} = min(packed_${r}, row_count - 1u);
let query_${r} = row_${r} / params.group;
let head_${r} = kv_head * params.group + row_${r} - query_${r} * params.group;
${QUERY[queries](r)}
let query_at_${r} = token_${r} * params.head_stride;`);
}

/** The rows that a lane owns: neighbouring lanes have neighbouring rows. */
export function ownRows(
  { lanes, rowsPerLane }: RowTile,
  queries: Queries,
): string {
  return nameRows(rowsPerLane, (r) => `${r * lanes}u + lane`, queries);
}

/**
 * Places of the step's keys and values, dot products, scale, mods and mask.
 * Expects `cursor` at `first_key`, and `masked`.
 */
export function scoreTile(
  spec: { readonly tile: RowTile; readonly mods?: ModSource | undefined },
): string {
  const { rowsPerLane, keysPerStep } = spec.tile;
  const eachRow = (fragment: (r: number) => string) =>
    unroll(rowsPerLane, fragment);
  const eachKey = (fragment: (j: number) => string) =>
    unroll(keysPerStep, fragment);
  return `${
    eachKey((j) =>
      `let key_${j} = key_place(cursor, kv_head);
let value_${j} = value_place(cursor, kv_head);
cursor = advance(cursor, first_key + ${j + 1}u < sequence.key_count);`
    )
  }
${eachRow((r) => eachKey((j) => `var s_${r}_${j} = 0.0;`))}
for (var vec = 0u; vec < params.head_vecs; vec++) {
${eachRow((r) => `let q_${r} = load_query(query_at_${r}, vec);`)}
${
    eachKey((j) =>
      `{
let k = load_key(key_${j}, vec);
${eachRow((r) => accumulateDot(`s_${r}_${j}`, `q_${r}`, "k"))}
}`
    )
  }
}
${hiddenKeys(spec.tile)}
${
    eachRow((r) =>
      eachKey((j) =>
        `s_${r}_${j} = select(s_${r}_${j} * params.scale, SENTINEL, extractBits(hidden_${r}, ${j}u, 1u) != 0u);`
      )
    )
  }
${spec.mods?.hasScore ? modifyScores(spec.tile) : ""}`;
}

/**
 * One bit a key that a row does not see. A loop at run time: unrolled, the
 * mask would be inlined once a score, and compiling would take seconds.
 */
function hiddenKeys({ rowsPerLane, keysPerStep }: RowTile): string {
  return `${unroll(rowsPerLane, (r) => `var hidden_${r} = 0u;`)}
if (masked) {
for (var j = 0u; j < ${keysPerStep}u; j++) {
let key = i32(first_key + j);
${
    unroll(rowsPerLane, (r) =>
      `hidden_${r} |= select(1u << j, 0u, sees(batch_${r}, i32(head_${r}), position_${r}, key,
i32(sequence.key_count)));`)
  }
}
}`;
}

/** Score mods, in a loop at run time over a copy of the tile. */
function modifyScores({ rowsPerLane, keysPerStep }: RowTile): string {
  const each = (fragment: (at: number, s: string) => string) =>
    unroll(
      rowsPerLane,
      (r) =>
        unroll(
          keysPerStep,
          (j) => fragment(r * keysPerStep + j, `s_${r}_${j}`),
        ),
    );
  return `var tile: array<f32, ${rowsPerLane * keysPerStep}>;
${each((at, s) => `tile[${at}] = ${s};`)}
for (var j = 0u; j < ${keysPerStep}u; j++) {
let key = i32(first_key + j);
${
    unroll(rowsPerLane, (r) => {
      const at = `tile[${r * keysPerStep}u + j]`;
      return `if (extractBits(hidden_${r}, j, 1u) == 0u) {
${at} = modify(${at}, batch_${r}, i32(head_${r}), position_${r}, key);
}`;
    })
  }
}
${each((at, s) => `${s} = tile[${at}];`)}`;
}
