/**
 * Times of recorded work on the device: by its own clock where it has one.
 *
 * @module
 */

import { type Gpu, PassTimer, timingUnsupported } from "../../src/gpu/mod.ts";
import type {
  AttentionPlan,
  AttentionTensors,
  PassDescriptor,
} from "../../src/ops/mod.ts";

/** A plan and what it runs on. */
export interface Contestant {
  /** What is timed. */
  readonly plan: AttentionPlan;
  /** What it reads and writes. */
  readonly tensors: AttentionTensors;
}

/** The same of a plan of any kind. */
export interface Timed<T> {
  /** What is timed. */
  readonly plan: {
    explain(): { readonly dispatches: readonly unknown[] };
    encode(
      encoder: GPUCommandEncoder,
      tensors: T,
      describe?: PassDescriptor,
    ): void;
  };
  /** What it reads and writes. */
  readonly tensors: T;
}

/** Calls of a burst, where the device has no clock. */
const BURST = 8;

/**
 * Milliseconds of `repeats` runs of each contestant, which take turns, so that
 * what else the machine does hits all alike; and each turn begins with another
 * one, as the first finds the device idle. One more run comes first, unseen: it
 * may compile.
 */
export async function timeInTurns<T>(
  gpu: Gpu,
  contestants: readonly Timed<T>[],
  repeats: number,
): Promise<number[][]> {
  const once = timingUnsupported(gpu) ? byWall<T> : byTimestamps<T>;
  await once(gpu, contestants);
  const times: number[][] = contestants.map(() => []);
  for (let i = 0; i < repeats; i++) {
    const order = contestants.map((_, c) => (c + i) % contestants.length);
    const turn = await once(gpu, order.map((c) => contestants[c]));
    turn.forEach((ms, n) => times[order[n]].push(ms));
  }
  return times;
}

/** The sum of each plan's passes. */
async function byTimestamps<T>(
  gpu: Gpu,
  contestants: readonly Timed<T>[],
): Promise<number[]> {
  const passes = contestants.map(({ plan }) =>
    plan.explain().dispatches.length
  );
  const timer = new PassTimer(gpu, passes.reduce((a, b) => a + b));
  try {
    gpu.submit("bench", (encoder) => {
      for (const { plan, tensors } of contestants) {
        plan.encode(encoder, tensors, (label) => timer.pass(label));
      }
      timer.resolve(encoder);
    });
    const ns = await timer.read();
    return passes.map((count) =>
      ns.splice(0, count).reduce((a, b) => a + b, 0) / 1e6
    );
  } finally {
    timer.destroy();
  }
}

/** Milliseconds of each by the wall: a burst, and one wait. */
export async function byWall<T>(
  gpu: Gpu,
  contestants: readonly Timed<T>[],
): Promise<number[]> {
  const times: number[] = [];
  for (const { plan, tensors } of contestants) {
    await gpu.queue.onSubmittedWorkDone();
    const start = performance.now();
    gpu.submit("bench", (encoder) => {
      for (let i = 0; i < BURST; i++) plan.encode(encoder, tensors);
    });
    await gpu.queue.onSubmittedWorkDone();
    times.push((performance.now() - start) / BURST);
  }
  return times;
}
