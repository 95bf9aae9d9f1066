/**
 * The device that tests share, and a test function that checks for errors and
 * leaks after each test.
 *
 * - `QUIRE_WEBGPU=dawn`: runs on Dawn (`npm:webgpu`) instead of Deno's wgpu.
 * - `QUIRE_WGSL_FAULT`: makes a fault in what is compiled, see `tests/mutants`.
 * - `QUIRE_REQUIRE_GPU=1`: fails where there is no adapter, instead of skipping.
 *
 * @module
 */

import { type Gpu, openGpu, UnsupportedError } from "../../src/gpu/mod.ts";
import { plantFault } from "../mutants/emitted.ts";

/** The WebGPU implementation under test: Deno's own, or an injected one. */
export async function webgpu(): Promise<GPU> {
  const name = Deno.env.get("QUIRE_WEBGPU") ?? "deno";
  if (name === "deno") return navigator.gpu;
  if (name !== "dawn") {
    throw new TypeError(
      `QUIRE_WEBGPU must be "deno" or "dawn": current value is "${name}"`,
    );
  }
  // Not a literal, so that type-checking and caching do not need the package.
  const specifier = "npm:webgpu@^0.6.2";
  const { create } = await import(specifier);
  // While anything is pending, Dawn asks for its next turn by setImmediate, and
  // each turn leaves Deno a finalizer to find and run. Without a pause between
  // turns, a long wait slows the event loop down until it stands still.
  Object.assign(globalThis, {
    setImmediate: (turn: () => void) => setTimeout(turn, 1),
  });
  // Dawn frees its instance with this object, so it must stay reachable.
  return (globalThis as unknown as { dawn: GPU }).dawn ??= create([]);
}

let opened: Promise<Gpu> | undefined;

/** The device of this process, opened at the first call. */
export function sharedGpu(): Promise<Gpu> {
  return opened ??= open();
}

async function open(): Promise<Gpu> {
  const gpu = await openGpu({ gpu: await webgpu(), label: "tests" });
  gpu.scratch.poison = true;
  plantFault(gpu);
  return gpu;
}

/** A device for one test alone, for those that lose or destroy it. */
export async function ownGpu(): Promise<Gpu> {
  const gpu = await openGpu({ gpu: await webgpu(), label: "tests.own" });
  plantFault(gpu);
  return gpu;
}

async function skipReason(): Promise<string | undefined> {
  try {
    await sharedGpu();
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    if (Deno.env.get("QUIRE_REQUIRE_GPU") === "1") throw error;
    return error.message;
  }
}

/** Why GPU tests are skipped here, or `undefined` where they run. */
export const SKIP_REASON: string | undefined = await skipReason();

/** What the shared device can do; empty where there is none. */
const available: ReadonlySet<string> = SKIP_REASON === undefined
  ? (await sharedGpu()).features
  : new Set();

/** How {@linkcode gpuTest} runs a test. */
export interface GpuTestOptions {
  /** Features without which the test is skipped. */
  readonly features?: readonly string[];
  /** Whether all device errors are caught and fail it. Defaults to true. */
  readonly scopes?: boolean;
}

/**
 * Registers a test on the shared device. It fails where the device reports an
 * error, or where a buffer that the test made is still alive after it.
 */
export function gpuTest(
  name: string,
  fn: (t: Deno.TestContext, gpu: Gpu) => void | Promise<void>,
  options: GpuTestOptions = {},
): void {
  const features = options.features ?? [];
  const lacking = features.filter((feature) => !available.has(feature));
  const why = SKIP_REASON ??
    (lacking.length > 0 ? `the device lacks ${lacking}` : undefined);
  Deno.test({
    name: why === undefined ? name : `${name} (skipped: ${why})`,
    ignore: why !== undefined,
    fn: async (t) => {
      const gpu = await sharedGpu();
      gpu.trim();
      const before = gpu.stats;
      const caught = await run(t, gpu, fn, options.scopes ?? true);
      await gpu.flushErrors();
      gpu.trim();
      checkNoLeak(before, gpu.stats);
      if (caught) throw new Error(`Device error in ${name}: ${caught.message}`);
    },
  });
}

async function run(
  t: Deno.TestContext,
  gpu: Gpu,
  fn: (t: Deno.TestContext, gpu: Gpu) => void | Promise<void>,
  scopes: boolean,
): Promise<GPUError | undefined> {
  const { device } = gpu;
  if (!scopes) return void await fn(t, gpu);
  device.pushErrorScope("out-of-memory");
  device.pushErrorScope("validation");
  let found: (GPUError | null)[] = [];
  try {
    await fn(t, gpu);
  } finally {
    found = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
  }
  return found.find((error) => error !== null) ?? undefined;
}

function checkNoLeak(
  before: { buffers: number; bytes: number },
  after: { buffers: number; bytes: number },
): void {
  if (after.buffers === before.buffers && after.bytes === before.bytes) return;
  throw new Error(
    `Leaked ${after.buffers - before.buffers} buffers and ${
      after.bytes - before.bytes
    } bytes`,
  );
}
