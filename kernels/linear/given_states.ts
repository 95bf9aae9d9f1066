/**
 * States of the caller's, `[slots, stateHeads, headDim, valueHeadDim]` in f32:
 * those that sequences begin with, and those that they end with.
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import { loadRow, type RowFormat, storeRow } from "../fragments/rows.ts";
import { wgsl } from "../wgsl.ts";

/**
 * Which states a kernel reads and writes.
 *
 * @category Kernels
 */
export interface GivenStatesSpec {
  /** The format of a state's rows, f32. */
  readonly stateFormat: RowFormat;
  /** Whether sequences begin with a state. */
  readonly initial: boolean;
  /** Whether the states that they end with are written. */
  readonly final: boolean;
  /** Whether both are in one buffer. */
  readonly pool: boolean;
}

/** Where a row of a caller's state is. */
const statePlaces: Fragment = {
  uniforms: { state_heads: "u32", state_rows: "u32", state_stride: "u32" },
  code: wgsl(`
    fn given_state_at(slot: u32, state_head: u32, row: u32) -> u32 {
      return ((slot * params.state_heads + state_head) * params.state_rows + row) * params.state_stride;
    }
  `),
};

/** `load_initial` and `store_final`, where there are such states. */
export function givenStates(
  { stateFormat: format, initial, final, pool }: GivenStatesSpec,
): Fragment[] {
  const binding = (name: string, access: "read" | "read_write") => ({
    name: pool ? "state_pool" : name,
    type: format.vector ? "array<vec4<f32>>" : "array<f32>",
    access: pool ? "read_write" as const : access,
  });
  return [
    ...initial
      ? [{
        needs: [
          statePlaces,
          loadRow({
            name: "load_initial",
            bindings: [binding("initial_state", "read")],
            format,
            dim: "value_dim",
          }),
        ],
      }]
      : [],
    ...final
      ? [{
        needs: [
          statePlaces,
          storeRow({
            name: "store_final",
            bindings: [binding("final_state", "read_write")],
            format,
            dim: "value_dim",
          }),
        ],
      }]
      : [],
  ];
}
