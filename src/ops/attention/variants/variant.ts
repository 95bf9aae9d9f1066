/**
 * Kernel variants: each a kernel for a class of work, with what it needs of the
 * device. What runs is the first of a list that fits.
 *
 * @module
 */

import type { AttentionSpec } from "../../../../kernels/attention/spec.ts";
import type { KernelSource } from "../../../core/kernel.ts";
import type { LoopCounts } from "../work/loop_limit.ts";
import type { Tiles } from "./tiles.ts";

/** What planning needs to know of a device; a `Gpu` is one. */
export interface PlanDevice {
  /** Whether it computes on the CPU. */
  readonly software: boolean;
  /** Iterations after which an invocation's loops end, silently. */
  readonly maxLoopIterations: number;
  /** The names of the features that it has. */
  readonly features: ReadonlySet<string>;
  /** Its limits. */
  readonly limits: {
    readonly maxComputeWorkgroupStorageSize: number;
    readonly maxComputeWorkgroupsPerDimension: number;
    /** 8, as WebGPU promises, where it is not said. */
    readonly maxStorageBuffersPerShaderStage?: number;
    /** 128 MiB, as WebGPU promises, where it is not said. */
    readonly maxStorageBufferBindingSize?: number;
  };
}

/**
 * The device features that a kernel uses, beyond element types.
 *
 * @category Plans
 */
export type Profile = "portable" | "subgroups" | "matrix";

/** What a variant may take: rows that attend to the same keys. */
export interface Candidate {
  /** Packed query rows. */
  readonly rows: number;
  /** vec4s of a query or key row. */
  readonly headVecs: number;
  /** vec4s of a value row. */
  readonly valueVecs: number;
  /** Whether there are score mods. */
  readonly scoreMods: boolean;
  /** Whether weights are dropped; not by default. */
  readonly dropout?: boolean | undefined;
  /** Keys of a block, where scores of blocks are wanted. */
  readonly scoreBlock?: number | undefined;
}

/** A variant on its tile. */
export interface FittedVariant {
  /** Packed query rows of a row tile. */
  readonly rows: number;
  /** Keys of a step, and what its loops take. */
  readonly loops: LoopCounts;
  /** The kernel of a spec. */
  readonly kernel: (spec: AttentionSpec) => KernelSource;
}

/** One entry of a list of variants. */
export interface Variant {
  /** Its name. */
  readonly name: string;
  /** The features that it uses, in one word. */
  readonly profile: Profile;
  /** Device features that it needs. */
  readonly features: readonly string[];
  /** Why it does not take a candidate; `undefined` where it does. */
  readonly misfit: (candidate: Candidate, tiles: Tiles) => string | undefined;
  /**
   * Its tile for candidates of which this is the largest.
   *
   * @throws {UnsupportedError} if no tile fits the device
   */
  readonly tile: (
    largest: Candidate,
    tiles: Tiles,
    device: PlanDevice,
  ) => FittedVariant;
}

/**
 * A variant that comes before the one that runs, and why it does not run.
 *
 * @category Plans
 */
export interface PassedOver {
  /** Its name. */
  readonly variant: string;
  /** The reason. */
  readonly why: string;
}

/** What runs for a candidate, and what was passed over for it. */
export interface VariantChoice {
  /** The first that fits. */
  readonly variant: Variant;
  /** Those before it. */
  readonly passedOver: readonly PassedOver[];
}

/**
 * The first variant of a list that fits.
 *
 * @throws {Error} if none does: the last one of a list takes everything
 */
export function chooseVariant(
  variants: readonly Variant[],
  candidate: Candidate,
  { tiles, device }: { readonly tiles: Tiles; readonly device: PlanDevice },
): VariantChoice {
  const passedOver: PassedOver[] = [];
  for (const variant of variants) {
    const lacking = variant.features.find((name) => !device.features.has(name));
    const why = lacking !== undefined
      ? `the device lacks ${lacking}`
      : variant.misfit(candidate, tiles);
    if (why === undefined) return { variant, passedOver };
    passedOver.push({ variant: variant.name, why });
  }
  throw new Error(`No variant takes ${candidate.rows} packed rows`);
}
