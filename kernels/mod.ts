/**
 * The kernels as pure functions: a spec in; WGSL, bindings and features out.
 * Nothing here touches a GPU.
 *
 * @module
 */

export * from "./attention/decode.ts";
export * from "./attention/forward.ts";
export * from "./attention/merge.ts";
export * from "./attention/merge_states.ts";
export * from "./attention/score_tile.ts";
export * from "./attention/query_rows.ts";
export * from "./attention/epilogue.ts";
export * from "./attention/spec.ts";
export * from "./attention/standard.ts";
export * from "./cache/append.ts";
export * from "./cache/copy_blocks.ts";
export * from "./fragments/key_value.ts";
export * from "./fragments/online_softmax.ts";
export * from "./fragments/rows.ts";
export * from "./fragments/schedule.ts";
export * from "./fragments/score.ts";
export * from "./fragment.ts";
export * from "./record.ts";
export * from "./wgsl.ts";
