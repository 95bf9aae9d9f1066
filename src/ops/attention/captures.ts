/**
 * Captured tensors of a problem: bound to the kernels that read them, or, where
 * the device has not so many bindings, copied into one buffer at each run.
 *
 * @module
 */

import { bytesPerElement } from "../../core/dtype.ts";
import type { ProgramCopy } from "../../gpu/mod.ts";
import type {
  DeviceData,
  EmitOptions,
  EmittedMods,
  TensorBinding,
  TensorPlacement,
} from "../../mods/mod.ts";
import { emitForward } from "../../mods/wgsl/wgsl.ts";
import { isOnDevice } from "../../mods/captures/device_data.ts";
import { evaluationOrder } from "../../mods/nodes.ts";
import type { ExplainedCapture } from "./explanation.ts";
import type { AttentionProblem } from "./problem.ts";
import type { PlanDevice } from "./variants/variant.ts";

/** What WebGPU promises of a stage. */
export const STORAGE_BUFFERS = 8;

/** The emitted mods of a problem. */
export interface PlacedMods {
  /** None where there are no mods. */
  readonly mods: EmittedMods | undefined;
  /** How captured tensors are read. */
  readonly placement: TensorPlacement;
}

/** What kernels take of mods, and what else they bind. */
export interface PlacementOptions {
  /** What emits them; by default what forward needs, without gradients. */
  readonly emit?: (options: EmitOptions) => EmittedMods;
  /**
   * Storage buffers besides captured tensors, keys and values. By default those
   * of forward: query, schedule, captures, output, log-sum-exp and maxima of
   * blocks; what a split or a baseline has is less.
   */
  readonly others?: number;
}

/** Query, schedule, captures and output; what is asked for besides. */
function defaultOthers(
  { lse, selection, blockScores }: AttentionProblem,
): number {
  return 4 + (lse ? 1 : 0) + (selection ? 1 : 0) + (blockScores ? 1 : 0);
}

/** Emits a problem's mods as the device has bindings for their tensors. */
export function placedMods(
  problem: AttentionProblem,
  { limits: { maxStorageBuffersPerShaderStage: most = STORAGE_BUFFERS } }:
    PlanDevice,
  { emit = emitForward, others = defaultOthers(problem) }: PlacementOptions =
    {},
): PlacedMods {
  const { scoreMods, maskMods, keys } = problem;
  if (scoreMods.length + maskMods.length === 0) {
    return { mods: undefined, placement: "bound" };
  }
  const options = { scoreMods, maskMods };
  const mods = emit(options);
  const bound = others + (keys.segments || 2);
  if (mods.tensors.length <= Math.max(1, most - bound)) {
    return { mods, placement: "bound" };
  }
  return {
    mods: emit({ ...options, tensors: "gathered" }),
    placement: "gathered",
  };
}

/** What captured tensors are to a program. */
export interface CaptureParts {
  /** By the name of its resource. */
  readonly captures: Readonly<Record<string, TensorBinding>>;
  /** Room to gather them. */
  readonly scratch: Readonly<Record<string, number>>;
  /** How they get there. */
  readonly copies: readonly ProgramCopy[];
}

/** What captured tensors are to a program. */
export function captureParts(
  tensors: readonly TensorBinding[],
  placement: TensorPlacement,
): CaptureParts {
  if (placement === "bound") {
    return {
      captures: Object.fromEntries(tensors.map((own) => [own.binding, own])),
      scratch: {},
      copies: [],
    };
  }
  const named = tensors.map((own, i) => ({ ...own, from: `captured_${i}` }));
  const ends = named.map(({ word, tensor: { size, dtype } }) =>
    4 * word + Math.ceil(size * bytesPerElement(dtype) / 16) * 16
  );
  const [{ binding: to }] = named;
  return {
    captures: Object.fromEntries(named.map((own) => [own.from, own])),
    scratch: { [to]: Math.max(...ends) },
    copies: named.map(({ from, word }) => ({ from, to, at: 4 * word })),
  };
}

/** What a plan says of captured tensors. */
export function explainCaptures(
  tensors: readonly TensorBinding[],
  placement: TensorPlacement,
  { maskMods }: AttentionProblem,
): ExplainedCapture[] {
  const masks = maskMods.flatMap(({ expression }) =>
    evaluationOrder(expression).flatMap((node): DeviceData[] =>
      node.kind === "load" && isOnDevice(node.buffer.data)
        ? [node.buffer.data]
        : []
    )
  );
  return tensors.map(({ tensor, names }) => ({
    names,
    placement,
    skipsTiles: masks.every((data) =>
      data.tensor !== tensor || data.range !== undefined
    ),
  }));
}
