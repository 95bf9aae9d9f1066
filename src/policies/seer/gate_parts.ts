/**
 * What a gate is to the selections that are made of it.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import type { Gpu, GpuTensor, ProgramParts } from "../../gpu/mod.ts";
import type { SeerShape } from "./gate_options.ts";
import type { SeerWeights } from "./weights.ts";

/** A gate on the device. */
export interface GateParts {
  readonly gpu: Gpu;
  readonly shape: SeerShape;
  readonly weights: SeerWeights<GpuTensor>;
}

/** Parts of one program, one after the other; names are apart. */
export function joined(...all: readonly ProgramParts[]): ProgramParts {
  return {
    dispatches: all.flatMap(({ dispatches }) => dispatches),
    words: Object.assign({}, ...all.map(({ words }) => words)),
    scratch: Object.assign({}, ...all.map(({ scratch }) => scratch)),
  };
}

/**
 * Throws unless a gate is for this layer.
 *
 * @throws {TypeError} naming both
 */
export function checkLayer(
  { layer: own }: SeerShape,
  layer: number | undefined,
): void {
  checkType(
    layer === own,
    "layer",
    own === undefined
      ? "must not be given, as the Seer gate is of no layer: give it one"
      : `must be that of the Seer gate (${own})`,
    layer,
  );
}

/** Cosines and sines at the positions where blocks begin. */
export function gateTurns(
  gpu: Gpu,
  { rotary, gateDim, block }: SeerShape,
  blocks: number,
): GpuTensor {
  const pairs = Math.floor(gateDim / 2);
  if (rotary === undefined || pairs === 0) {
    return gpu.tensor(Float32Array.of(1, 0), [1, 1, 2], "seer turns");
  }
  const table = new Float32Array(blocks * pairs * 2);
  for (let t = 0; t < pairs; t++) {
    const speed = block * rotary.base ** (-2 * t / (2 * pairs));
    for (let place = 0; place < blocks; place++) {
      table[2 * (place * pairs + t)] = Math.cos(place * speed);
      table[2 * (place * pairs + t) + 1] = Math.sin(place * speed);
    }
  }
  return gpu.tensor(table, [blocks, pairs, 2], "seer turns");
}
