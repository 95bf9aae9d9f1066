/**
 * Captured data that stays on a device, and what readings on the CPU do with
 * it: nothing but to say so.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import {
  type CapturedBuffer,
  type CapturedData,
  type DeviceData,
  evaluationOrder,
  type ExpressionNode,
} from "../nodes.ts";

/** Whether data is on a device. */
export function isOnDevice(
  data: CapturedData | DeviceData,
): data is DeviceData {
  return !ArrayBuffer.isView(data);
}

/**
 * The elements of a buffer.
 *
 * @throws {TypeError} If they are on a device.
 */
export function hostDataOf({ data, name }: CapturedBuffer): CapturedData {
  checkType(
    !isOnDevice(data),
    `capture ${JSON.stringify(name)}`,
    "must have its data on the host to be evaluated there: read it back with hostMods(gpu, mods)",
    isOnDevice(data) ? data.tensor : data,
  );
  return data;
}

/**
 * Throws where a tree reads what is on a device.
 *
 * @throws {TypeError} Naming the capture.
 */
export function checkOnHost(expression: ExpressionNode): void {
  for (const node of evaluationOrder(expression)) {
    if (node.kind === "load") hostDataOf(node.buffer);
  }
}
