/**
 * The schedule: what each workgroup reads from `schedule: array<u32>` to learn
 * its share. A plan writes it on the CPU; lengths, masks and block tables may
 * change from step to step without another line of WGSL.
 *
 * ```text
 * sequence  query_start query_count key_start key_count query_offset batch queries -
 * item      sequence first_row runs state_row state_stride kv_head - -
 * runs      per item: one (offset, count) pair, or one a kv head
 * run       first_key key_end full          (keys; first_key is tile aligned)
 * merge     sequence first_row parts part_count row_count kv_head - -
 * part      state_row state_stride          (of a merge, in the order of keys)
 * worker    first item of each, and the end of the last one's (stream-K only)
 * query     token position batch            (sequences with a list of queries)
 * table     block ids, one row a sequence (paged sources only)
 * ```
 *
 * Workgroups go along x and z; y is added to an item's kv head, so an item is
 * for all kv heads or for its own. State row `state_row + kv_head *
 * state_stride + i` belongs to the item's i-th row.
 *
 * Rows are packed over the query heads that share a kv head: row
 * `i * group + g` is query `i` of head `kv_head * group + g`, so that one read
 * of a key serves the whole group.
 *
 * @module
 */

/** Words of one sequence record. */
export const SEQUENCE_WORDS = 8;
/** Words of one work item. */
export const ITEM_WORDS = 8;
/** Words of one run of key tiles. */
export const RUN_WORDS = 3;
/** Words of one query of a sequence whose queries are listed. */
export const QUERY_WORDS = 3;

/** The sequence record, which every kernel reads. */
const sequenceFragment = `struct Sequence {
  query_start: u32,
  query_count: u32,
  key_start: u32,
  key_count: u32,
  query_offset: i32,
  batch: i32,
  queries: u32,
}

fn read_sequence(index: u32) -> Sequence {
  let at = params.sequences_at + index * ${SEQUENCE_WORDS}u;
  return Sequence(schedule[at], schedule[at + 1u], schedule[at + 2u], schedule[at + 3u],
    bitcast<i32>(schedule[at + 4u]), i32(schedule[at + 5u]), schedule[at + 6u]);
}`;

/** A record of `ITEM_WORDS` words, the first of them with these names. */
function recordFragment(fields: readonly string[]): string {
  return `struct Item {
${fields.map((field) => `  ${field}: u32,`).join("\n")}
}

fn read_item(index: u32) -> Item {
  let at = params.items_at + index * ${ITEM_WORDS}u;
  return Item(${fields.map((_, i) => `schedule[at + ${i}u]`).join(", ")});
}`;
}

/** The structs and readers that every attention kernel starts from. */
export const scheduleFragment: string = `${sequenceFragment}

${
  recordFragment([
    "sequence",
    "first_row",
    "runs",
    "state_row",
    "state_stride",
    "kv_head",
  ])
}`;

/** The same for the merge. */
export const mergeScheduleFragment: string = `${sequenceFragment}

${
  recordFragment([
    "sequence",
    "first_row",
    "parts",
    "part_count",
    "row_count",
    "kv_head",
  ])
}

fn part_row(item: Item, part: u32, kv_head: u32) -> u32 {
  let at = item.parts + 2u * part;
  return schedule[at] + kv_head * schedule[at + 1u];
}`;

/** Which items a workgroup does. */
export type Workers =
  /** One item. */
  | "items"
  /** A stretch of the items, one after the other: a stream-K worker. */
  | "stretches";

/**
 * The entry point of a kernel. Its body, which must not return, finds `item`,
 * `sequence`, `row_count`, `kv_head`, `item_index` and `lane`.
 */
export function entryPoint(
  lanes: number,
  body: string,
  workers: Workers = "items",
): string {
  const work = `let item = read_item(item_index);
let kv_head = item.kv_head + group_id.y;
let sequence = read_sequence(item.sequence);
let row_count = sequence.query_count * params.group;
${body}`;
  return `@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
let group_index = group_id.z * params.grid_width + group_id.x;
if (group_index >= params.group_count) {
return;
}
${
    workers === "items"
      ? `let item_index = group_index;
${work}`
      : `let end_item = schedule[params.workers_at + group_index + 1u];
for (var item_index = schedule[params.workers_at + group_index]; item_index < end_item; item_index++) {
${work}
// The next item uses the same workgroup memory.
workgroupBarrier();
}`
  }
}
`;
}

/**
 * The loop over an item's keys, `step` at a time, through its runs. The body
 * finds `first_key`, the run's `end_key`, and whether the step is `masked`;
 * `before` stands at the start of each run.
 */
export function eachStep(step: number, body: string, before = ""): string {
  return `let runs_at = item.runs + 2u * kv_head * params.runs_per_head;
let first_run = schedule[runs_at];
let end_run = first_run + ${RUN_WORDS}u * schedule[runs_at + 1u];
for (var run = first_run; run < end_run; run += ${RUN_WORDS}u) {
let end_key = min(schedule[run + 1u], sequence.key_count);
let masked = schedule[run + 2u] == 0u;
${
    before === ""
      ? ""
      : `${before}\n`
  }for (var first_key = schedule[run]; first_key < end_key; first_key += ${step}u) {
${body}
}
}`;
}

/** Uniform fields that every attention kernel takes. */
export const PARAMS = {
  query_heads: "u32",
  kv_heads: "u32",
  group: "u32",
  head_dim: "u32",
  head_vecs: "u32",
  head_stride: "u32",
  value_dim: "u32",
  value_vecs: "u32",
  value_stride: "u32",
  value_at: "u32",
  block_size: "u32",
  block_shift: "u32",
  segment_blocks: "u32",
  scale: "f32",
  sequences_at: "u32",
  items_at: "u32",
  workers_at: "u32",
  group_count: "u32",
  grid_width: "u32",
  runs_per_head: "u32",
  stats_at: "u32",
  scratch_keys: "u32",
} as const;
