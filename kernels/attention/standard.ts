/**
 * Standard attention (FlashAttention, Alg. 0): three dispatches that write
 * S = Q K^T, then P = softmax(S), to memory, then read it for O = P V. It takes
 * `4 N S` bytes of scratch a head, and it is the baseline of every ratio.
 *
 * It shares every fragment with the fused kernels. Scratch is
 * `[item, kvHead, key, row]`, so that lanes, which go along rows, touch
 * neighbouring words.
 *
 * @module
 */

import type { Binding, KernelSource } from "../../src/core/kernel.ts";
import { keyBindings, valueBindings } from "../fragments/key_value_source.ts";
import { storageType } from "../fragments/rows.ts";
import { entryPoint, PARAMS } from "../fragments/schedule.ts";
import { modBindings } from "../fragments/score.ts";
import { indent, unroll, wgsl } from "../wgsl.ts";
import {
  type LoopSizes,
  ownRows,
  type RowTile,
  scoreTile,
  tileRows,
} from "./score_tile.ts";
import {
  attentionPrelude,
  type AttentionSpec,
  outputBindings,
  paramsBinding,
  specFeatures,
} from "./spec.ts";

/** What the standard kernels' sources depend on. */
export interface StandardSpec extends AttentionSpec {
  /** The register tile. */
  readonly tile: RowTile;
}

/** The three kernels, in the order of their dispatches. */
export interface StandardKernels {
  /** S = scale Q K^T, through mods and mask. */
  readonly scores: KernelSource;
  /** P = softmax(S) in place, and the log-sum-exp. */
  readonly softmax: KernelSource;
  /** O = P V. */
  readonly values: KernelSource;
}

/** Turns of the loops of whichever of the three kernels takes most. */
export function standardTurns(
  { rowsPerLane, keysPerStep }: RowTile,
  { headVecs, valueVecs, scoreMods }: LoopSizes,
  keys: number,
): number {
  const steps = Math.ceil(keys / keysPerStep);
  const score = headVecs + keysPerStep * (scoreMods ? 2 : 1) + 6;
  return 4 + Math.max(
    steps * score,
    rowsPerLane * (3 * keys + 2 * steps + 4),
    Math.ceil(valueVecs / COLUMNS) * (keys + 2 * steps + 2),
  );
}

/** vec4 columns that the P V product keeps in registers a row. */
const COLUMNS = 4;

/** The standard kernels; grid: (items, kv heads). */
export function standardKernels(spec: StandardSpec): StandardKernels {
  const { lanes, rowsPerLane, keysPerStep } = spec.tile;
  const rows = tileRows(spec.tile);
  const eachRow = (fragment: (r: number) => string) =>
    unroll(rowsPerLane, fragment);
  const scratch = (access: "read" | "read_write"): Binding => ({
    name: "scratch",
    type: "array<f32>",
    access,
  });
  const [output, ...lse] = outputBindings({ ...spec, partial: false });
  const at = (r: number, key: string) =>
    `scratch[(scratch_at + ${key}) * ${rows}u + ${r * lanes}u + lane]`;
  // Sums go in steps, as in the fused kernels: the error grows with their
  // number, not with that of the keys.
  const inSteps = (before: string, each: string, after: string) =>
    `for (var first_key = 0u; first_key < sequence.key_count; first_key += ${keysPerStep}u) {
${before}
for (var key = first_key; key < min(first_key + ${keysPerStep}u, sequence.key_count); key++) {
${each}
}
${after}
}`;
  const kernel = (
    name: string,
    bindings: readonly Binding[],
    body: string,
  ): KernelSource => ({
    label: `attention.standard.${name}/${spec.queryFormat.dtype}.${rows}`,
    bindings,
    uniforms: PARAMS,
    features: specFeatures(spec),
    code: indent(wgsl`${
      attentionPrelude(
        { ...spec, partial: false, lse: false },
        bindings,
      )
    }

${
      entryPoint(
        lanes,
        `let scratch_at = (item_index * params.kv_heads + kv_head) * params.scratch_keys;
${ownRows(spec.tile, "consecutive")}
${body}`,
      )
    }`),
  });

  return {
    scores: kernel(
      "scores",
      [
        { name: "query", type: storageType(spec.queryFormat), access: "read" },
        ...keyBindings(spec),
        { name: "schedule", type: "array<u32>", access: "read" },
        ...modBindings(spec.mods),
        scratch("read_write"),
        paramsBinding,
      ],
      wgsl`let masked = true;
if (sequence.key_count > 0u) {
var cursor = seek(sequence, 0u);
for (var first_key = 0u; first_key < sequence.key_count; first_key += ${keysPerStep}u) {
${scoreTile(spec)}
${
        eachRow((r) =>
          unroll(keysPerStep, (j) =>
            `if (first_key + ${j}u < sequence.key_count) {
${at(r, `first_key + ${j}u`)} = s_${r}_${j};
}`)
        )
      }
}
}`,
    ),
    softmax: kernel(
      "softmax",
      [
        { name: "schedule", type: "array<u32>", access: "read" },
        scratch("read_write"),
        ...lse,
        paramsBinding,
      ],
      eachRow((r) => {
        const own = at(r, "key");
        return `{
var maximum = SENTINEL;
for (var key = 0u; key < sequence.key_count; key++) {
maximum = max(maximum, ${own});
}
var sum = 0.0;
${
          inSteps(
            "var step_sum = 0.0;",
            `let p = weight(${own}, maximum);
${own} = p;
step_sum += p;`,
            "sum += step_sum;",
          )
        }
let divisor = select(sum, 1.0, sum == 0.0);
for (var key = 0u; key < sequence.key_count; key++) {
${own} /= divisor;
}
if (packed_${r} < row_count) {
${spec.lse ? `lse[token_${r}] = log_sum_exp(maximum, sum);` : ""}
}
}`;
      }),
    ),
    values: kernel(
      "values",
      [
        scratch("read"),
        ...valueBindings(spec),
        { name: "schedule", type: "array<u32>", access: "read" },
        output,
        paramsBinding,
      ],
      wgsl`for (var vec = 0u; vec < params.value_vecs; vec += ${COLUMNS}u) {
${
        unroll(COLUMNS, (c) =>
          `let column_${c} = min(vec + ${c}u, params.value_vecs - 1u);
${
            eachRow((r) => `var x_${r}_${c} = vec4f(0.0);`)
          }`)
      }
if (sequence.key_count > 0u) {
var cursor = seek(sequence, 0u);
${
        inSteps(
          unroll(COLUMNS, (c) =>
            eachRow((r) => `var step_${r}_${c} = vec4f(0.0);`)),
          `let value_at = value_place(cursor, kv_head);
cursor = advance(cursor, key + 1u < sequence.key_count);
${
            eachRow((r) => `let p_${r} = ${at(r, "key")};`)
          }
${
            unroll(COLUMNS, (c) =>
              `{
let v = load_value(value_at, column_${c});
${
                eachRow((r) =>
                  `step_${r}_${c} = select(fma(vec4f(p_${r}), v, step_${r}_${c}), step_${r}_${c}, p_${r} == 0.0);`
                )
              }
}`)
          }`,
          unroll(COLUMNS, (c) =>
            eachRow((r) => `x_${r}_${c} += step_${r}_${c};`)),
        )
      }
}
${
        eachRow((r) =>
          `if (packed_${r} < row_count) {
${
            unroll(COLUMNS, (c) =>
              `if (vec + ${c}u < params.value_vecs) {
store_output(token_${r} * params.value_stride, vec + ${c}u, x_${r}_${c});
}`)
          }
}`
        )
      }
}`,
    ),
  };
}
