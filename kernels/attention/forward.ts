/**
 * Tiled forward attention (FlashAttention-2, Alg. 1; packed query groups).
 *
 * ```text
 * S = scale Q K^T     P = exp(S - m)     O = P V / l     L = m + ln l
 * query, output [tokens, heads, dim]   key, value [tokens | blocks, kvHeads, dim]
 * ```
 *
 * Lanes go along packed query rows, `rowsPerLane` of them each; everything
 * else that a step reads has an index that is uniform over the workgroup, so
 * one load of a key or value serves `lanes * rowsPerLane` rows. A step takes
 * `keysPerStep` keys: scores stay in registers, the accumulator is in
 * workgroup memory and is read and written once a step.
 *
 * Workgroup memory: `lanes * rowsPerLane * accumulatorVecs * 16` bytes.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { eachStep, entryPoint, PARAMS } from "../fragments/schedule.ts";
import { accumulateDot, indent, unroll, wgsl } from "../wgsl.ts";
import {
  type LoopSizes,
  type LoopTurns,
  ownRows,
  type RowTile,
  scoreTile,
  tileRows,
} from "./score_tile.ts";
import {
  attentionBindings,
  attentionPrelude,
  type AttentionSpec,
  labelOf,
  outputRow,
  specFeatures,
} from "./spec.ts";

/** The register tile of the forward kernel. */
export interface ForwardTile extends RowTile {
  /** Room in the accumulator, in vec4s a row: at least `ceil(valueDim / 4)`. */
  readonly accumulatorVecs: number;
}

/** What the forward kernel's source depends on. */
export interface ForwardSpec extends AttentionSpec {
  /** The register tile. */
  readonly tile: ForwardTile;
}

/** Bytes of workgroup memory that a tile takes. */
export function forwardWorkgroupBytes(tile: ForwardTile): number {
  return tileRows(tile) * tile.accumulatorVecs * 16;
}

/** Turns of the forward kernel's loops. */
export function forwardTurns(
  { rowsPerLane, keysPerStep }: ForwardTile,
  { headVecs, valueVecs, scoreMods }: LoopSizes,
): LoopTurns {
  const step = headVecs + valueVecs + (scoreMods ? keysPerStep : 0) + 4;
  const guarded = keysPerStep *
      (valueVecs + 3 + rowsPerLane * (headVecs + valueVecs + 2)) +
    rowsPerLane * (valueVecs + 1);
  return {
    item: (rowsPerLane + 1) * (valueVecs + 1) + 4,
    fullStep: step + 6 * rowsPerLane + 8,
    maskedStep: step + keysPerStep + guarded + 4,
  };
}

/** The forward kernel. */
export function forwardKernel(spec: ForwardSpec): KernelSource {
  const { lanes, rowsPerLane, keysPerStep, accumulatorVecs } = spec.tile;
  const rows = tileRows(spec.tile);
  const eachRow = (fragment: (r: number) => string) =>
    unroll(rowsPerLane, fragment);
  const eachKey = (fragment: (j: number) => string) =>
    unroll(keysPerStep, fragment);
  const accumulator = (r: number) =>
    `accumulator[(vec * ${rowsPerLane}u + ${r}u) * ${lanes}u + lane]`;
  const eachVec = (body: string) =>
    `for (var vec = 0u; vec < params.value_vecs; vec++) {\n${body}\n}`;

  // A step is summed by itself first: the error grows with steps, not keys.
  const weigh = eachVec(`${eachRow((r) => `var x_${r} = vec4f(0.0);`)}
${
    eachKey((j) =>
      `{
let v = load_value(value_${j}, vec);
${eachRow((r) => `x_${r} = fma(vec4f(s_${r}_${j}), v, x_${r});`)}
}`
    )
  }
${
    eachRow((r) =>
      `${accumulator(r)} = fma(${accumulator(r)}, vec4f(alpha_${r}), x_${r});`
    )
  }`);

  // A masked key's value may be NaN or Inf, whose product with a weight of 0 is
  // not 0. Only steps that have such a value take this slow way, which scores
  // its keys once more, one by one, rather than keep an array of weights.
  const weighGuarded = `${
    eachRow((r) => eachVec(`${accumulator(r)} *= alpha_${r};`))
  }
for (var j = 0u; j < ${keysPerStep}u; j++) {
let guarded_cursor = seek(sequence, min(first_key + j, sequence.key_count - 1u));
let guarded_key = key_place(guarded_cursor, kv_head);
let guarded_value = value_place(guarded_cursor, kv_head);
let key = i32(first_key + j);
${
    eachRow((r) =>
      `if (extractBits(hidden_${r}, j, 1u) == 0u) {
var s = 0.0;
for (var vec = 0u; vec < params.head_vecs; vec++) {
let q = load_query(query_at_${r}, vec);
let k = load_key(guarded_key, vec);
${accumulateDot("s", "q", "k")}
}
let p = weight(modify(s * params.scale, batch_${r}, i32(head_${r}), position_${r}, key), m_${r});
${
        eachVec(
          `${accumulator(r)} = fma(vec4f(p), load_value(guarded_value, vec), ${
            accumulator(r)
          });`,
        )
      }
}`
    )
  }
}`;

  const code = wgsl`${attentionPrelude(spec)}

var<workgroup> accumulator: array<vec4f, ${rows * accumulatorVecs}>;

fn step_value(sequence: Sequence, key: u32, kv_head: u32) -> u32 {
return value_place(seek(sequence, min(key, sequence.key_count - 1u)), kv_head);
}

fn step_has_non_finite(sequence: Sequence, first_key: u32, kv_head: u32) -> bool {
var found = vec4<bool>(false);
for (var j = 0u; j < ${keysPerStep}u; j++) {
let at = step_value(sequence, first_key + j, kv_head);
for (var vec = 0u; vec < params.value_vecs; vec++) {
found |= non_finite(load_value(at, vec));
}
}
return any(found);
}

${
    entryPoint(
      lanes,
      `${ownRows(spec.tile, spec.queries)}
${
        eachRow((r) =>
          `var m_${r} = SENTINEL;
var l_${r} = 0.0;`
        )
      }
for (var vec = 0u; vec < params.value_vecs; vec++) {
${eachRow((r) => `${accumulator(r)} = vec4f(0.0);`)}
}

${
        eachStep(
          keysPerStep,
          `${scoreTile(spec)}
${
            eachRow((r) =>
              `let max_${r} = ${
                Array.from({ length: keysPerStep }, (_, j) => `s_${r}_${j}`)
                  .reduce(
                    (all, s) => `max(${all}, ${s})`,
                    `m_${r}`,
                  )
              };
let alpha_${r} = exp(m_${r} - max_${r});
m_${r} = max_${r};
${eachKey((j) => `s_${r}_${j} = weight(s_${r}_${j}, max_${r});`)}
l_${r} = fma(l_${r}, alpha_${r}, ${
                Array.from({ length: keysPerStep }, (_, j) => `s_${r}_${j}`)
                  .join(
                    " + ",
                  )
              });`
            )
          }
if (masked && step_has_non_finite(sequence, first_key, kv_head)) {
${weighGuarded}
} else {
${weigh}
}`,
          "var cursor = seek(sequence, schedule[run]);",
        )
      }

${
        eachRow((r) =>
          `if (packed_${r} < row_count) {
let out_${r} = ${outputRow(spec, `${r * lanes}u + lane`, `token_${r}`)};
for (var vec = 0u; vec < params.value_vecs; vec++) {
write_row(out_${r}, vec, ${accumulator(r)}, l_${r});
}
write_stats(out_${r}, m_${r}, l_${r});
}`
        )
      }`,
      spec.workers,
    )
  }`;
  return {
    label:
      `attention.forward/${spec.source}.${spec.queryFormat.dtype}.${rows}x${keysPerStep}${
        labelOf(spec)
      }`,
    code: indent(code),
    bindings: attentionBindings(spec),
    uniforms: PARAMS,
    features: specFeatures(spec),
  };
}
