/**
 * WebGPU's flag values. They are spelled out here as an injected
 * implementation (Dawn in Node, say) need not define the browser's globals.
 *
 * @module
 */

/**
 * The flags of `GPUBufferUsage`.
 *
 * @category Device
 */
export const BufferUsage = {
  /** May be mapped for reading. */
  mapRead: 0x0001,
  /** May be the source of a copy. */
  copySrc: 0x0004,
  /** May be the target of a copy or of `writeBuffer`. */
  copyDst: 0x0008,
  /** May be bound as a uniform. */
  uniform: 0x0040,
  /** May be bound as storage. */
  storage: 0x0080,
  /** May hold the arguments of an indirect dispatch. */
  indirect: 0x0100,
  /** May receive resolved queries. */
  queryResolve: 0x0200,
} as const;

/** What tensors and scratch are made with: bound, copied and written. */
export const TENSOR_USAGE: number = BufferUsage.storage | BufferUsage.copySrc |
  BufferUsage.copyDst;

/** `GPUMapMode.READ`. */
export const MAP_READ = 0x1;

/** `GPUShaderStage.COMPUTE`. */
export const STAGE_COMPUTE = 0x4;

/** `bytes` rounded up to a multiple of `multiple`. */
export function roundUp(bytes: number, multiple: number): number {
  return Math.ceil(bytes / multiple) * multiple;
}
