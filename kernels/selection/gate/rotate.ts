/**
 * Rotates a gate's rows (RoPE), each at the position of its block, and puts
 * them where the rows of their sequence are.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { invocationEntry } from "../../entry.ts";
import { kernelOf } from "../../fragment.ts";
import { type RotaryPairing, rotatedRows } from "../../fragments/rotary.ts";
import { loadRow, rowBinding, rowFormat } from "../../fragments/rows.ts";
import { wgsl } from "../../wgsl.ts";
import { SPAN, spans } from "./spans.ts";

/**
 * What the source of the gate's rotation depends on.
 *
 * @category Kernels
 */
export interface GateRotationSpec {
  /** Which elements make a pair. */
  readonly pairing: RotaryPairing;
}

/** Invocations of a workgroup, with four elements of a row each. */
export const GATE_ROTATION_LANES = 64;

/** The kernel; an invocation each four elements of a row of blocks given. */
export function gateRotationKernel(
  { pairing }: GateRotationSpec,
): KernelSource {
  // Rows are whole vec4s, whose last is filled with zeros.
  const format = rowFormat("f32", 4);
  return kernelOf({
    label: `selection.gate.rotate/${pairing}`,
    fragments: [
      loadRow({
        name: "load_row",
        bindings: [rowBinding("projected", format)],
        format,
        dim: "gate_dim",
      }),
      rotatedRows("row", pairing),
      spans,
      {
        bindings: [{
          name: "gate",
          type: "array<vec4f>",
          access: "read_write",
        }],
        uniforms: { sequences: "u32", heads: "u32", gate_vecs: "u32" },
      },
    ],
    main: invocationEntry(
      GATE_ROTATION_LANES,
      wgsl(ROTATE, { spanWords: SPAN.words }),
    ),
  });
}

const ROTATE = `
let vec = index % params.gate_vecs;
let row = index / params.gate_vecs;
let i = row % params.given_blocks;
let plane = row / params.given_blocks;
let sequence = plane / params.heads;
if (sequence >= params.sequences) {
  return;
}
let span = read_span(sequence * $spanWords);
let own = span.first / params.block + i;
if (own * params.block >= span.first + span.count) {
  return;
}
let position = positions[sequence * params.given_blocks + i];
gate[(plane * params.blocks + own) * params.gate_vecs + vec]
  = rotate_row(row * params.gate_vecs, vec, position);
`;
