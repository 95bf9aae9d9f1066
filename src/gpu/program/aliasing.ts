/**
 * What the bindings of one dispatch may not have in common: what one of them
 * writes.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import type { Binding } from "../../core/kernel.ts";

interface Range {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

/**
 * Checks every pair of what is written and what is bound. WebGPU looks at whole
 * buffers where the other one is only read; two that are written must not have
 * a byte in common.
 *
 * @param nameOf What errors call a binding's resource.
 * @throws {TypeError} Naming both.
 */
export function checkAliasing(
  bindings: readonly Binding[],
  ranges: readonly Range[],
  nameOf: (binding: Binding) => string,
): void {
  bindings.forEach((written, i) => {
    if (written.access !== "read_write") return;
    bindings.forEach((other, k) => {
      if (k === i || ranges[k].buffer !== ranges[i].buffer) return;
      const apart = other.access === "read_write" &&
        !overlap(ranges[i], ranges[k]);
      checkType(
        apart,
        nameOf(written),
        other.access === "read_write"
          ? `must not overlap ${nameOf(other)}`
          : `must not share a buffer with ${nameOf(other)}`,
        ranges[i].buffer.label,
      );
    });
  });
}

function overlap(a: Range, b: Range): boolean {
  return a.offset < b.offset + b.size && b.offset < a.offset + a.size;
}
