/**
 * The gradient with respect to floats that score mods capture: a table of
 * relative biases, learned slopes. By dQ's mapping, what a query row and a key
 * give is
 *
 * ```text
 * table[place(i, j)] += dS_ij slope(i, j)
 * ```
 *
 * for each place where a mod reads it. Many pairs give to one element, and there
 * are no atomic floats, so workgroups have tables of their own, and each lane
 * owns the elements `lane`, `lane + lanes`, ...: a step's contributions go
 * through workgroup memory, every lane looks through all of them in order, and
 * takes what is its own. The sum over tables, in order, is the gradient, and
 * repeats bit by bit.
 *
 * The price: each lane reads `lanes * rowsPerLane * keysPerStep` places a step,
 * about as many words as its dot products take for a head dim of `lanes / 2`.
 *
 * Workgroup memory: {@linkcode captureTileBytes}.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { CLEAR_LANES, clearKernel } from "../../clear.ts";
import { type Fragment, kernelOf } from "../../fragment.ts";
import { entryPoint } from "../../fragments/schedule.ts";
import { wgsl } from "../../wgsl.ts";
import { type RegisterTile, tileRows } from "../score_tile.ts";
import { eachOwnStep } from "../spec.ts";
import { beginRows, gradientStep, type RowSpec } from "./row_step.ts";
import { backwardFragments, backwardLabel } from "./spec.ts";

/** What the kernel's source depends on. */
export interface CaptureGradientSpec extends RowSpec {
  /** Which of the emitted captures it is for. */
  readonly capture: number;
  /** In how many places mods read it. */
  readonly terms: number;
}

/** Bytes of workgroup memory that a tile takes. */
export function captureTileBytes(tile: RegisterTile): number {
  return 8 * tileRows(tile) * tile.keysPerStep;
}

/** Private tables: `[worker, element]`. */
function tables(access: "read" | "read_write"): Fragment {
  return {
    bindings: [{ name: "tables", type: "array<f32>", access }],
    uniforms: { elements: "u32" },
  };
}

/** The kernel: a workgroup a work tile and kv head, each with a table. */
export function captureGradientKernel(spec: CaptureGradientSpec): KernelSource {
  const { tile, capture, terms } = spec;
  const { lanes, rowsPerLane: rows, keysPerStep: keys } = tile;
  const step = wgsl(STEP, {
    rows,
    keys,
    size: rows * keys,
    gradients: gradientStep(spec, {
      derivatives: false,
      products: wgsl(PRODUCTS, { rows, keys, size: rows * keys }),
    }),
    give: Array.from({ length: terms }, (_, t) =>
      wgsl(GIVE, {
        rows,
        keys,
        lanes,
        size: tileRows(tile) * keys,
        term: `${capture}_${t}`,
      })).join("\n"),
  });
  return kernelOf({
    label: backwardLabel(
      `capture_${capture}`,
      `${tileRows(tile)}x${keys}`,
      spec,
    ),
    fragments: [
      ...backwardFragments(spec),
      tables("read_write"),
      {
        uniforms: { kv_heads: "u32" },
        code: wgsl(DECLARATIONS, { size: tileRows(tile) * keys }),
      },
    ],
    main: entryPoint(
      lanes,
      [
        beginRows(spec),
        BEGIN,
        eachOwnStep(spec, keys, step, {
          before: "var cursor = seek(sequence, run.first_key);",
        }),
      ].join("\n\n"),
    ),
  });
}

const DECLARATIONS = `
// Of no element.
const NOWHERE = 0xffffffffu;

var<workgroup> given: array<f32, $size>;
var<workgroup> places: array<u32, $size>;
`;

const BEGIN =
  "let table_at = (group_index * params.kv_heads + group_id.y) * params.elements;";

const PRODUCTS = `
var products: array<f32, $size>;
@each r in rows
@each j in keys
products[$r * $keys + $j] = s_$r_$j;
@end
@end
`;

const STEP = `
$gradients
var gradients: array<f32, $size>;
@each r in rows
@each j in keys
gradients[$r * $keys + $j] = ds_$r_$j;
@end
@end
$give
`;

// Rows past the end repeat the last one, and give nothing.
const GIVE = `
for (var j = 0u; j < $keys; j++) {
  let key = i32(first_key + j);
  @each r in rows
  {
    let slot = (j * $rows + $r) * $lanes + lane;
    let gradient = gradients[$r * $keys + j];
    places[slot] = NOWHERE;
    if (gradient != 0.0 && packed_$r < row_count) {
      let product = products[$r * $keys + j];
      given[slot] = gradient * mod_capture_slope_$term(product, batch_$r, i32(head_$r), position_$r, key);
      places[slot] = mod_capture_place_$term(product, batch_$r, i32(head_$r), position_$r, key);
    }
  }
  @end
}
workgroupBarrier();
{
  // Neighbours that give to one element are summed first.
  var place = NOWHERE;
  var sum = 0.0;
  for (var slot = 0u; slot < $size; slot++) {
    let next = places[slot];
    if (next != NOWHERE && next % $lanes == lane) {
      if (next != place) {
        if (place != NOWHERE) {
          tables[table_at + place] += sum;
        }
        place = next;
        sum = 0.0;
      }
      sum += given[slot];
    }
  }
  if (place != NOWHERE) {
    tables[table_at + place] += sum;
  }
}
workgroupBarrier();
`;

/** Invocations of a workgroup of the kernels over elements. */
export const TABLE_LANES = CLEAR_LANES;

/** Sets all tables to 0; one invocation a word. */
export function clearTablesKernel(): KernelSource {
  return clearKernel({
    label: "attention.backward.capture.clear/f32",
    binding: "tables",
  });
}

/** The sum over tables, in order; one invocation an element. */
export function sumTablesKernel(): KernelSource {
  return kernelOf({
    label: "attention.backward.capture.sum/f32",
    fragments: [
      tables("read"),
      {
        bindings: [{
          name: "capture_gradient",
          type: "array<f32>",
          access: "read_write",
        }],
        uniforms: { table_count: "u32", grid_width: "u32" },
      },
    ],
    main: wgsl(
      `
      @compute @workgroup_size($lanes)
      fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
        let element = (group_id.z * params.grid_width + group_id.x) * $lanes + lane;
        if (element >= params.elements) {
          return;
        }
        var sum = 0.0;
        for (var i = 0u; i < params.table_count; i++) {
          sum += tables[i * params.elements + element];
        }
        capture_gradient[element] = sum;
      }
      `,
      { lanes: TABLE_LANES },
    ),
  });
}
