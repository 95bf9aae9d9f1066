/**
 * What programs call the arenas of a layer.
 *
 * @module
 */

import type { BindingResource, GpuBuffer } from "../gpu/mod.ts";

/** The arenas of a layer, in order. */
export type Arenas = readonly GpuBuffer[];

/** The name of an arena among a program's resources. */
export function arenaName(segment: number, layer?: number): string {
  return layer === undefined ? `arena.${segment}` : `arena.${layer}.${segment}`;
}

/** The arenas of a layer as a program's resources. */
export function arenasByName<T extends BindingResource>(
  arenas: readonly T[],
  layer?: number,
): Record<string, T> {
  return Object.fromEntries(
    arenas.map((arena, segment) => [arenaName(segment, layer), arena]),
  );
}
