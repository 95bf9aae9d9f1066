/**
 * What a probe is, and what it finds.
 *
 * @module
 */

import type { KernelSource } from "../../core/kernel.ts";

/** What a probe found. */
export interface ProbeResult {
  /** The probe's name. */
  readonly name: string;
  /** Whether the device computed what WGSL says; `undefined`: it cannot run. */
  readonly ok: boolean | undefined;
  /** What was computed, or why it could not run. */
  readonly detail: string;
}

/** A few lines of WGSL, and what must come out. */
export interface Probe {
  /** A short name, `snake_case`. */
  readonly name: string;
  /** What is probed, in one sentence. */
  readonly description: string;
  /** Where the fault is reported, if it is. */
  readonly issue?: string;
  /** Features without which it cannot run. */
  readonly features?: KernelSource["features"];
  /** Words that the shader reads as `input`; unknown at compile time. */
  readonly input: Uint32Array;
  /** The WGSL that follows the declarations of `input` and `output`. */
  readonly code: string;
  /** The number of words that the shader writes to `output`. */
  readonly outputs: number;
  /** What is wrong with the output, or `undefined` where it is right. */
  readonly check: (output: Uint32Array) => string | undefined;
}
