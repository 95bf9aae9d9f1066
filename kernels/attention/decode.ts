/**
 * Decode attention: few query rows, many keys (Flash-Decoding's mapping).
 *
 * The same online softmax as `forward`, with lanes along keys: each lane
 * scores four neighbouring keys at a time against all rows of the item, the
 * weights pass through workgroup memory, and for the values lanes go along
 * columns, several keys at a time where there are more lanes than columns.
 * Parts of the keys are reduced by different workgroups and merged.
 *
 * Workgroup memory: {@linkcode decodeWorkgroupBytes}.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { eachStep, entryPoint, PARAMS } from "../fragments/schedule.ts";
import { accumulateDot, indent, unroll, wgsl } from "../wgsl.ts";
import { type LoopSizes, type LoopTurns, nameRows } from "./score_tile.ts";
import {
  attentionBindings,
  attentionPrelude,
  type AttentionSpec,
  labelOf,
  outputRow,
  specFeatures,
} from "./spec.ts";

/** Neighbouring keys that a lane scores at once: one vec4 of weights. */
const KEYS = 4;

/** The register tile of the decode kernel. */
export interface DecodeTile {
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** Query rows of an item, all of them held by every lane. */
  readonly rows: number;
  /** Keys that each lane scores in a step; a multiple of 4. */
  readonly keysPerLane: number;
  /** Lanes along the value's columns; a divisor of `lanes`. */
  readonly columnLanes: number;
  /** vec4 columns that a lane owns: `columnLanes` of them cover the value. */
  readonly columnsPerLane: number;
}

/** What the decode kernel's source depends on. */
export interface DecodeSpec extends AttentionSpec {
  /** The register tile. */
  readonly tile: DecodeTile;
}

/** Keys of one step of a workgroup. */
export function decodeStep({ lanes, keysPerLane }: DecodeTile): number {
  return lanes * keysPerLane;
}

/**
 * Bytes of workgroup memory that a tile takes: weights and one value a lane,
 * and the last reduction over lanes that share columns.
 */
export function decodeWorkgroupBytes(tile: DecodeTile): number {
  const { lanes, rows, columnLanes, columnsPerLane } = tile;
  const reduction = lanes === columnLanes ? 0 : lanes * rows * columnsPerLane;
  return 4 * rows * (decodeStep(tile) + lanes) + 16 * reduction;
}

/** Turns of the decode kernel's loops. */
export function decodeTurns(
  { lanes, rows, keysPerLane, columnLanes, columnsPerLane }: DecodeTile,
  { headVecs }: LoopSizes,
): LoopTurns {
  const keyLanes = lanes / columnLanes;
  const own = keysPerLane / KEYS;
  const quads = lanes * own / keyLanes;
  const step = own * (headVecs + KEYS + 3) + rows * (lanes + own + 2) + 8;
  return {
    item: rows * (lanes + columnsPerLane * (keyLanes + 1) + 1) + 4,
    fullStep: step + quads,
    maskedStep: step + quads * (KEYS + 2),
  };
}

/**
 * Places of neighbouring keys, `name_0` and so on; the first is `first`. Where
 * there are no `more`, the last one there is stands for those that follow.
 */
function neighbours(
  { quads }: AttentionSpec,
  { name, place, stride, first, more }: {
    readonly name: string;
    readonly place: string;
    readonly stride: string;
    readonly first: string;
    readonly more: (j: number) => string;
  },
): string {
  const cursor = `var ${name}_cursor = seek(sequence, ${first});
let ${name}_0 = ${place}(${name}_cursor, kv_head);`;
  const next = (j: number) =>
    quads
      ? `let ${name}_${j} = ${name}_${
        j - 1
      } + select(0u, params.kv_heads * params.${stride}, ${more(j)});`
      : `${name}_cursor = advance(${name}_cursor, ${more(j)});
let ${name}_${j} = ${place}(${name}_cursor, kv_head);`;
  return [cursor, ...Array.from({ length: KEYS - 1 }, (_, j) => next(j + 1))]
    .join("\n");
}

/** The decode kernel. */
export function decodeKernel(spec: DecodeSpec): KernelSource {
  const { lanes, rows, columnLanes, columnsPerLane } = spec.tile;
  const step = decodeStep(spec.tile);
  const groups = step / KEYS;
  const keyLanes = lanes / columnLanes;
  const eachRow = (fragment: (r: number) => string) => unroll(rows, fragment);
  const eachColumn = (fragment: (c: number) => string) =>
    unroll(columnsPerLane, fragment);
  const eachKey = (fragment: (j: number) => string) => unroll(KEYS, fragment);
  const each = (count: number, name: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => name(i)).join(", ");

  const weigh =
    `for (var i = key_lane; i * ${KEYS}u < count; i += ${keyLanes}u) {
${eachRow((r) => `let p_${r} = weights[${r * groups}u + i];`)}
${
      neighbours(spec, {
        name: "at",
        place: "value_place",
        stride: "value_stride",
        first: `first_key + i * ${KEYS}u`,
        more: (j) => `i * ${KEYS}u + ${j}u < count`,
      })
    }
${
      eachKey((j) =>
        `{
${
          eachColumn((c) =>
            `let v_${c} = load_value(at_${j}, column_${c});
${
              eachRow((r) =>
                `x_${r}_${c} = fma(vec4f(p_${r}[${j}]), v_${c}, x_${r}_${c});`
              )
            }`
          )
        }
}`
      )
    }
}`;

  // A masked key's value may be NaN, so its term is left out, not added as 0.
  // Few steps are masked, so this loop is the short one, not the fast one.
  const weighGuarded =
    `for (var i = key_lane; i * ${KEYS}u < count; i += ${keyLanes}u) {
for (var j = 0u; j < min(${KEYS}u, count - i * ${KEYS}u); j++) {
let at = value_place(seek(sequence, first_key + i * ${KEYS}u + j), kv_head);
${eachColumn((c) => `let v_${c} = load_value(at, column_${c});`)}
${
      eachRow((r) =>
        `let p_${r} = weights[${r * groups}u + i][j];
${
          eachColumn((c) =>
            `x_${r}_${c} = select(fma(vec4f(p_${r}), v_${c}, x_${r}_${c}), x_${r}_${c}, p_${r} == 0.0);`
          )
        }`
      )
    }
}
}`;

  const code = wgsl`${attentionPrelude(spec)}

var<workgroup> weights: array<vec4f, ${rows * groups}>;
var<workgroup> lane_values: array<f32, ${rows * lanes}>;
${
    keyLanes > 1
      ? `var<workgroup> partials: array<vec4f, ${
        lanes * rows * columnsPerLane
      }>;`
      : ""
  }

${
    entryPoint(
      lanes,
      `${
        keyLanes > 1
          ? `let key_lane = lane / ${columnLanes}u;
let column_lane = lane % ${columnLanes}u;`
          : `let key_lane = 0u;
let column_lane = lane;`
      }
${
        eachColumn((c) =>
          `let column_${c} = min(${
            c * columnLanes
          }u + column_lane, params.value_vecs - 1u);`
        )
      }

${nameRows(rows, (r) => `${r}u`, spec.queries)}
${
        eachRow((r) =>
          `var m_${r} = SENTINEL;
var l_${r} = 0.0;
${eachColumn((c) => `var a_${r}_${c} = vec4f(0.0);`)}`
        )
      }

${
        eachStep(
          step,
          `let count = min(${step}u, end_key - first_key);
${eachRow((r) => `var max_${r} = SENTINEL;`)}
for (var i = lane; i < ${groups}u; i += ${lanes}u) {
let own_key = first_key + i * ${KEYS}u;
${
            neighbours(spec, {
              name: "key",
              place: "key_place",
              stride: "head_stride",
              first: "min(own_key, sequence.key_count - 1u)",
              more: (j) => `own_key + ${j}u < sequence.key_count`,
            })
          }
${eachKey((j) => eachRow((r) => `var s_${r}_${j} = 0.0;`))}
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
${
            eachRow((r) =>
              `var s_${r} = vec4f(${
                each(KEYS, (j) => `s_${r}_${j}`)
              }) * params.scale;`
            )
          }
for (var j = 0u; j < ${KEYS}u; j++) {
let key = i32(own_key + j);
let in_step = i * ${KEYS}u + j < count;
${
            eachRow((r) =>
              `s_${r}[j] = select(SENTINEL, modify(s_${r}[j], batch_${r}, i32(head_${r}), position_${r}, key),
in_step && (!masked || sees(batch_${r}, i32(head_${r}), position_${r}, key, i32(sequence.key_count))));
max_${r} = max(max_${r}, s_${r}[j]);`
            )
          }
}
${eachRow((r) => `weights[${r * groups}u + i] = s_${r};`)}
}
${eachRow((r) => `lane_values[${r * lanes}u + lane] = max_${r};`)}
workgroupBarrier();
${
            eachRow((r) =>
              `var all_${r} = m_${r};
for (var i = 0u; i < ${lanes}u; i++) {
all_${r} = max(all_${r}, lane_values[${r * lanes}u + i]);
}
let alpha_${r} = exp(m_${r} - all_${r});
m_${r} = all_${r};
var sum_${r} = 0.0;
${eachColumn((c) => `var x_${r}_${c} = vec4f(0.0);`)}
for (var i = lane; i < ${groups}u; i += ${lanes}u) {
let s = weights[${r * groups}u + i];
let p = vec4f(${each(KEYS, (j) => `weight(s[${j}], m_${r})`)});
weights[${
                r * groups
              }u + i] = p;
sum_${r} += (p.x + p.y) + (p.z + p.w);
}
l_${r} = fma(l_${r}, alpha_${r}, sum_${r});`
            )
          }
workgroupBarrier();
if (masked) {
${weighGuarded}
} else {
${weigh}
}
${
            eachRow((r) =>
              eachColumn((c) =>
                `a_${r}_${c} = fma(a_${r}_${c}, vec4f(alpha_${r}), x_${r}_${c});`
              )
            )
          }
workgroupBarrier();`,
        )
      }

${
        keyLanes > 1
          ? eachRow((r) =>
            eachColumn((c) =>
              `partials[${
                (r * columnsPerLane + c) * lanes
              }u + lane] = a_${r}_${c};`
            )
          )
          : ""
      }
${eachRow((r) => `lane_values[${r * lanes}u + lane] = l_${r};`)}
workgroupBarrier();
if (key_lane == 0u) {
${
        eachRow((r) =>
          `if (packed_${r} < row_count) {
var sum = 0.0;
for (var i = 0u; i < ${lanes}u; i++) {
sum += lane_values[${r * lanes}u + i];
}
let out = ${outputRow(spec, `${r}u`, `token_${r}`)};
${
            eachColumn((c) =>
              `if (${c * columnLanes}u + column_lane < params.value_vecs) {
${
                keyLanes > 1
                  ? `for (var i = 1u; i < ${keyLanes}u; i++) {
a_${r}_${c} += partials[${
                    (r * columnsPerLane + c) * lanes
                  }u + i * ${columnLanes}u + column_lane];
}`
                  : ""
              }
write_row(out, ${c * columnLanes}u + column_lane, a_${r}_${c}, sum);
}`
            )
          }
if (lane == 0u) {
write_stats(out, m_${r}, sum);
}
}`
        )
      }
}`,
      spec.workers,
    )
  }`;
  return {
    label:
      `attention.decode/${spec.source}.${spec.queryFormat.dtype}.${rows}x${step}${
        labelOf(spec)
      }`,
    code: indent(code),
    bindings: attentionBindings(spec),
    uniforms: PARAMS,
    features: specFeatures(spec),
  };
}
