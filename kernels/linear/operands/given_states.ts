/**
 * The states that runs begin with, and those that they end with: the caller's,
 * `[slots, stateHeads, headDim, valueHeadDim]` in f32, and those that scans keep
 * for each other. With a feature map rows are features, and where outputs are
 * divided by the sum of their weights there is a column more.
 *
 * @module
 */

import type { Fragment } from "../../fragment.ts";
import { loadRow, type RowFormat, storeRow } from "../../fragments/rows.ts";
import type { FeatureMap } from "../../../src/core/features.ts";
import { wgsl } from "../../wgsl.ts";
import { KEPT_STATE, NO_STATE, stateRuns } from "../chunks.ts";
import { chunkStates } from "./operands.ts";
import { featurePlaces } from "./features.ts";

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
  /** What keys became; `"identity"` by default. */
  readonly featureMap?: FeatureMap;
}

/** Where a row of a caller's state is. */
const statePlaces: Fragment = {
  uniforms: { state_heads: "u32", given_rows: "u32", state_stride: "u32" },
  code: wgsl(`
    fn given_state_at(slot: u32, state_head: u32, row: u32) -> u32 {
      return ((slot * params.state_heads + state_head) * params.given_rows + row) * params.state_stride;
    }
  `),
};

/** `load_initial` and `store_final`, where there are such states. */
function givenStates(
  { stateFormat: format, initial, final, pool, featureMap }: GivenStatesSpec,
): Fragment[] {
  const binding = (name: string, access: "read" | "read_write") => ({
    name: pool ? "state_pool" : name,
    type: format.vector ? "array<vec4<f32>>" : "array<f32>",
    access: pool ? "read_write" as const : access,
  });
  return [
    ...featureMap === "taylor" && (initial || final) ? [featurePlaces] : [],
    ...initial
      ? [{
        needs: [
          statePlaces,
          loadRow({
            name: "load_initial",
            bindings: [binding("initial_state", "read")],
            format,
            dim: "state_dim",
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
            dim: "state_dim",
          }),
        ],
      }]
      : [],
  ];
}

/** Where states are kept: in scratch of their own, or that of states. */
export type KeptStates = "kept_states" | "states";

/**
 * `entering_state(run, state_head, row, vec)`, four elements of the state that a
 * run begins with, zeros where it has none, and `leave_state(run, state_head,
 * row, vec, state)`, which writes those of the one that it ends with. In reverse a
 * run begins with its final slot.
 */
export function runStates(
  spec: GivenStatesSpec,
  { kept, reverse = false }: {
    readonly kept?: KeptStates | undefined;
    readonly reverse?: boolean;
  } = {},
): Fragment {
  return {
    needs: [
      stateRuns,
      ...givenStates(spec),
      ...kept === undefined ? [] : [chunkStates("read_write")],
    ],
    bindings: kept === "kept_states"
      ? [{ name: kept, type: "array<vec4f>", access: "read_write" }]
      : [],
    code: wgsl(
      `
      fn entering_state(run: StateRun, state_head: u32, row: u32, vec: u32) -> vec4f {
        @if initial
        if (run.$begin < $keptState) {
          @if places
          let given_row = feature_row(row);
          if (given_row == NO_ROW) {
            return vec4f(0.0);
          }
          @else
          let given_row = row;
          @end
          return load_initial(given_state_at(run.$begin, state_head, given_row), vec);
        }
        @end
        @if keeps
        if (run.$begin >= $keptState && run.$begin != $none) {
          return $kept[state_at(run.$begin - $keptState, state_head, row) + vec];
        }
        @end
        return vec4f(0.0);
      }

      fn leave_state(run: StateRun, state_head: u32, row: u32, vec: u32, state: vec4f) {
        @if final
        if (run.$end < $keptState) {
          @if places
          let given_row = feature_row(row);
          if (given_row == NO_ROW) {
            return;
          }
          @else
          let given_row = row;
          @end
          store_final(given_state_at(run.$end, state_head, given_row), vec, state);
        }
        @end
        @if keeps
        if (run.$end >= $keptState && run.$end != $none) {
          $kept[state_at(run.$end - $keptState, state_head, row) + vec] = state;
        }
        @end
      }
      `,
      {
        initial: spec.initial,
        final: spec.final,
        places: spec.featureMap === "taylor",
        keeps: kept !== undefined,
        kept: kept ?? "",
        begin: reverse ? "final_slot" : "initial_slot",
        end: reverse ? "initial_slot" : "final_slot",
        none: `${NO_STATE}u`,
        keptState: `${KEPT_STATE}u`,
      },
    ),
  };
}
