/**
 * The schedule: what workgroups read from `schedule: array<u32>` to learn their
 * work. A plan writes it on the CPU; lengths, masks and block tables may change
 * from step to step without another line of WGSL.
 *
 * A work tile is a row tile of a sequence against a key range. Its keys are
 * runs: ranges of steps that the mask does not rule out. Where a row's keys
 * are divided among work tiles, each writes a partial state, and a merge tile
 * lists them in the order of their keys.
 *
 * Workgroups go along x and z; y is added to a tile's kv head, so a tile is
 * for all kv heads or for its own. State row `state_row + kv_head *
 * state_stride + i` belongs to the tile's i-th row.
 *
 * Rows are packed over the query heads that share a kv head: row
 * `i * group + g` is query `i` of head `kv_head * group + g`, so that one read
 * of a key serves the whole group.
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import { WordRecord } from "../record.ts";
import { wgsl } from "../wgsl.ts";

const SEQUENCE_FIELDS = {
  /** Where its queries begin, in token strides. */
  query_start: "u32",
  /** Queries. */
  query_count: "u32",
  /** Where its keys begin, in token strides; paged: its first word in the table. */
  key_start: "u32",
  /** Written keys. */
  key_count: "u32",
  /** Position of query 0 in the keys' coordinate. */
  query_offset: "i32",
  /** Its number in the batch. */
  batch: "i32",
  /** First word of its queries, where they are listed. */
  queries_at: "u32",
} as const;

/** A sequence of the batch, or the rows of several that share a key range. */
export const SEQUENCE: WordRecord<typeof SEQUENCE_FIELDS> = new WordRecord(
  "Sequence",
  SEQUENCE_FIELDS,
  8,
);

const WORK_TILE_FIELDS = {
  /** Its sequence. */
  sequence: "u32",
  /** First packed row. */
  first_row: "u32",
  /** First word of its run lists: one, or one a kv head. */
  runs_at: "u32",
  /** The first row's partial state, of kv head 0 or of the only one. */
  state_row: "u32",
  /** State rows from one kv head to the next. */
  state_stride: "u32",
  /** Its kv head, or the first of all. */
  kv_head: "u32",
} as const;

/** What a workgroup does at a time: a row tile against a key range. */
export const WORK_TILE: WordRecord<typeof WORK_TILE_FIELDS> = new WordRecord(
  "WorkTile",
  WORK_TILE_FIELDS,
  8,
);

const SELECTED_TILE_FIELDS = {
  ...WORK_TILE_FIELDS,
  /** First word of what the device writes of its first run list. */
  selected_at: "u32",
  /** Words from that of one run list to the next. */
  selected_stride: "u32",
} as const;

/** A work tile whose runs the device narrows (`./selection.ts`). */
export const SELECTED_TILE: WordRecord<typeof SELECTED_TILE_FIELDS> =
  new WordRecord("WorkTile", SELECTED_TILE_FIELDS, WORK_TILE.words);

const MERGE_TILE_FIELDS = {
  /** Their sequence. */
  sequence: "u32",
  /** First packed row. */
  first_row: "u32",
  /** First word of the list of their states. */
  states_at: "u32",
  /** States of each row. */
  state_count: "u32",
  /** Rows. */
  row_count: "u32",
  /** Their kv head, or the first of all. */
  kv_head: "u32",
} as const;

/** Rows whose partial states are merged. */
export const MERGE_TILE: WordRecord<typeof MERGE_TILE_FIELDS> = new WordRecord(
  "MergeTile",
  MERGE_TILE_FIELDS,
  8,
);

const RUN_LIST_FIELDS = {
  /** First word of the first run. */
  runs_at: "u32",
  /** How many. */
  count: "u32",
} as const;

/** Where the runs of a work tile are. */
export const RUN_LIST: WordRecord<typeof RUN_LIST_FIELDS> = new WordRecord(
  "RunList",
  RUN_LIST_FIELDS,
);

const KEY_RUN_FIELDS = {
  /** First key, a multiple of the step. */
  first_key: "u32",
  /** One past the last key; maybe beyond the sequence's. */
  end_key: "u32",
  /** Whether every row sees every key: 1, or 0; or {@linkcode BLANK_RUN}. */
  full: "u32",
} as const;

/** `full` of a run without a pair, where something is written all the same. */
export const BLANK_RUN = 2;

/** Keys that a work tile visits one after the other. */
export const KEY_RUN: WordRecord<typeof KEY_RUN_FIELDS> = new WordRecord(
  "KeyRun",
  KEY_RUN_FIELDS,
);

const STATE_FIELDS = {
  /** The first row's, of kv head 0 or of the only one. */
  row: "u32",
  /** State rows from one kv head to the next. */
  stride: "u32",
} as const;

/** One of the states of a merge tile's rows. */
export const STATE: WordRecord<typeof STATE_FIELDS> = new WordRecord(
  "State",
  STATE_FIELDS,
);

const QUERY_FIELDS = {
  /** Where it is, in token strides. */
  token: "u32",
  /** Its position in the keys' coordinate. */
  position: "i32",
  /** Its sequence's number in the batch. */
  batch: "i32",
} as const;

/** One query of a sequence whose queries are listed. */
export const QUERY: WordRecord<typeof QUERY_FIELDS> = new WordRecord(
  "Query",
  QUERY_FIELDS,
);

/** The `schedule` binding, and sequence records. */
export const schedule: Fragment = {
  bindings: [{ name: "schedule", type: "array<u32>", access: "read" }],
  uniforms: { sequences_at: "u32" },
  code: SEQUENCE.declare("sequence"),
};

/** How rows are packed over heads. */
const heads: Fragment = {
  uniforms: { group: "u32" },
};

/**
 * Which work tiles a workgroup does.
 *
 * @category Kernels
 */
export interface Partitioning {
  /**
   * Whether a workgroup does a range of work tiles, one after the other, as a
   * stream-K worker does; else it does one.
   */
  readonly persistent: boolean;
}

/** What {@linkcode entryPoint} needs for tiles of a kind. */
export function tiles(
  record: typeof WORK_TILE | typeof SELECTED_TILE | typeof MERGE_TILE,
  { persistent }: Partitioning = { persistent: false },
): Fragment {
  return {
    needs: [schedule, heads],
    uniforms: {
      tiles_at: "u32",
      group_count: "u32",
      grid_width: "u32",
      ...(persistent && { workers_at: "u32" }),
    },
    code: record.declare("tile"),
  };
}

/**
 * The entry point of a kernel. Its body, which must not return, finds `tile`,
 * `sequence`, `row_count`, `kv_head`, `tile_index` and `lane`.
 */
export function entryPoint(
  lanes: number,
  body: string,
  { persistent }: Partitioning = { persistent: false },
): string {
  const work = wgsl(
    `
    let tile = read_tile(params.tiles_at + tile_index * $words);
    let kv_head = tile.kv_head + group_id.y;
    let sequence = read_sequence(params.sequences_at + tile.sequence * $sequenceWords);
    let row_count = sequence.query_count * params.group;
    $body
    `,
    { body, words: WORK_TILE.words, sequenceWords: SEQUENCE.words },
  );
  return wgsl(
    `
    @compute @workgroup_size($lanes)
    fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
      let group_index = group_id.z * params.grid_width + group_id.x;
      if (group_index >= params.group_count) {
        return;
      }
      @if persistent
      let end_tile = schedule[params.workers_at + group_index + 1u];
      for (var tile_index = schedule[params.workers_at + group_index]; tile_index < end_tile; tile_index++) {
        $work
        // The next tile uses the same workgroup memory.
        workgroupBarrier();
      }
      @else
      let tile_index = group_index;
      $work
      @end
    }
    `,
    { lanes, persistent, work },
  );
}

/** What {@linkcode eachStep} needs. */
export const keyRuns: Fragment = {
  needs: [schedule],
  uniforms: { runs_per_head: "u32" },
  code: `${RUN_LIST.declare("run_list")}\n\n${KEY_RUN.declare("key_run")}`,
};

/** Where the run list of a work tile and kv head is, as the CPU wrote it. */
export const OWN_LIST: string =
  `tile.runs_at + ${RUN_LIST.words} * kv_head * params.runs_per_head`;

/** How {@linkcode eachStep} goes. */
export interface StepOptions {
  /** What stands at the start of each run. */
  readonly before?: string;
  /** What runs are of. */
  readonly along?: "key" | "row";
  /** Where the run list is; by default where the CPU wrote it. */
  readonly list?: string;
}

/**
 * The loop over a work tile's keys, `step` at a time, through its runs. The
 * body finds `first_key`, the run's `end_key`, and whether the step is
 * `masked`. Along rows, a tile's runs are packed rows, and the names are
 * `first_row` and `end_row`.
 */
export function eachStep(
  step: number,
  body: string,
  { before = "", along = "key", list = OWN_LIST }: StepOptions = {},
): string {
  return wgsl(
    `
    let runs = read_run_list($list);
    for (var run_index = 0u; run_index < runs.count; run_index++) {
      let run = read_key_run(runs.runs_at + run_index * $runWords);
      let end_$along = min(run.end_key, $count);
      let masked = run.full == 0u;
      $before
      for (var first_$along = run.first_key; first_$along < end_$along; first_$along += $step) {
        $body
      }
    }
    `,
    {
      step,
      body,
      before,
      list,
      along,
      count: along === "key" ? "sequence.key_count" : "row_count",
      runWords: KEY_RUN.words,
    },
  );
}
