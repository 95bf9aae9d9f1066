/**
 * A service in small. A scheduler decides, a paged cache keeps keys and values
 * on the device, `attention()` reads them there, and a tiny decoder of random
 * weights makes tokens of it.
 *
 * @module
 */

import type { FinishedRequest, Scheduler, Step } from "../src/engine/mod.ts";
import { runStep, type StepRunner } from "./run_step.ts";

/** Runs a scheduler until all of its requests are finished. */
export async function generate(
  scheduler: Scheduler,
  runner: StepRunner,
  onStep: (step: Step) => void = () => {},
): Promise<FinishedRequest[]> {
  const finished: FinishedRequest[] = [];
  while (scheduler.size > 0) {
    const step = scheduler.schedule();
    const results = await runStep(step, runner);
    finished.push(...step.finished, ...scheduler.commit({ results }));
    onStep(step);
  }
  return finished;
}
