/**
 * Adds up the partial gradients of rows whose work was divided, in the order of
 * the parts, so that the result is repeatable.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { kernelOf } from "../../fragment.ts";
import { placeOf } from "../../fragments/rows.ts";
import {
  entryPoint,
  MERGE_TILE,
  STATE,
  tiles,
} from "../../fragments/schedule.ts";
import { wgsl } from "../../wgsl.ts";
import {
  type GradientRows,
  gradientRows,
  keyGradients,
  partialSums,
} from "./spec.ts";

/** What the kernel's source depends on. */
export interface SumSpec {
  /** What a partial sum holds, one behind the other. */
  readonly gradients: readonly GradientRows[];
  /** Whether its rows are keys, or packed query rows. */
  readonly rows: "key" | "query";
  /** Invocations of a workgroup. */
  readonly lanes: number;
}

/** The kernel: one workgroup a merge tile and kv head. */
export function sumKernel({ gradients, rows, lanes }: SumSpec): KernelSource {
  const keys = rows === "key";
  const names = gradients.map(({ name }) => name).join(".");
  const [first, second] = gradients;
  return kernelOf({
    label: `attention.backward.sum/${first.format.dtype}.${names}`,
    fragments: [
      partialSums("read"),
      tiles(MERGE_TILE),
      { code: STATE.declare("state") },
      ...gradients.map(gradientRows),
      ...(keys ? [keyGradients] : []),
      { uniforms: { head_vecs: "u32" } },
    ],
    main: entryPoint(
      lanes,
      wgsl(SUM, {
        lanes,
        keys,
        words: STATE.words,
        two: second !== undefined,
        first: first.name,
        firstPlace: placeOf(first, ROW),
        second: second?.name ?? "",
        secondPlace: second ? placeOf(second, ROW) : "",
      }),
    ),
  });
}

/** The names of what a row is of. */
const ROW = { batch: "sequence.batch", token: "token", head: "head" };

const SUM = `
@if keys
let gradients = key_gradients_of(tile.sequence);
@end
for (var index = lane; index < tile.row_count * params.row_vecs; index += $lanes) {
  let local = index / params.row_vecs;
  let vec = index - local * params.row_vecs;
  let row = tile.first_row + local;
  @if keys
  let token = gradients.start + row;
  let head = kv_head;
  @else
  let query = row / params.group;
  let head = kv_head * params.group + row - query * params.group;
  let token = sequence.query_start + query;
  @end
  var gradient = vec4f(0.0);
  for (var i = 0u; i < tile.state_count; i++) {
    let state = read_state(tile.states_at + i * $words);
    let at = state.row + kv_head * state.stride + local;
    gradient += sums[at * params.row_vecs + vec];
  }
  @if two
  if (vec >= params.head_vecs) {
    store_$second($secondPlace, vec - params.head_vecs, gradient);
  } else {
    store_$first($firstPlace, vec, gradient);
  }
  @else
  store_$first($firstPlace, vec, gradient);
  @end
}
`;
