/**
 * Devices to plan for, where there need not be one.
 *
 * @module
 */

import type { PlanDevice } from "../../src/ops/attention/variants/variant.ts";

/** What differs from a software device with the default limits of WebGPU. */
export interface PlanDeviceOptions {
  readonly software?: boolean;
  readonly maxLoopIterations?: number;
  readonly features?: readonly string[];
  /** Bytes of a workgroup's memory. */
  readonly workgroupBytes?: number;
}

/** A device, as plans look at it. */
export function planDevice(
  {
    software = true,
    maxLoopIterations = Infinity,
    features = [],
    workgroupBytes = 16384,
  }: PlanDeviceOptions = {},
): PlanDevice {
  return {
    software,
    maxLoopIterations,
    features: new Set(features),
    limits: {
      maxComputeWorkgroupStorageSize: workgroupBytes,
      maxComputeWorkgroupsPerDimension: 65535,
      maxStorageBuffersPerShaderStage: 8,
    },
  };
}
