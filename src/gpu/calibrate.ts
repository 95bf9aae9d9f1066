/**
 * What this adapter can do at most, measured: fused multiply-adds, and bytes
 * read. Times of kernels mean something only beside these two.
 *
 * @module
 */

import { checkInteger } from "../core/check.ts";
import type { KernelSource } from "../core/kernel.ts";
import type { GpuBuffer } from "./buffers/buffer.ts";
import type { Gpu } from "./gpu.ts";
import { Program } from "./program/program.ts";
import type { Dispatch } from "./program/program_parts.ts";
import { PassTimer, timingUnsupported } from "./timing.ts";
import { BufferUsage } from "./buffers/usage.ts";

/** A measured peak: the best of several ways to reach it. */
export interface Peak {
  /** The best rate, in `unit`. */
  readonly value: number;
  /** What `value` counts; G is 1e9. */
  readonly unit: "GFLOP/s" | "GB/s";
  /** The name of the variant that reached it. */
  readonly variant: string;
  /** The rate of every variant. */
  readonly variants: Readonly<Record<string, number>>;
  /** Which clock measured it: the device's timestamps or the host's. */
  readonly clock: "timestamps" | "wall";
}

/** One way to reach a peak, and what one run of it does. */
interface Variant {
  readonly name: string;
  readonly kernel: KernelSource;
  readonly grid: number;
  /** Floating-point operations or bytes per run and unit of `amount`. */
  readonly work: number;
  /** The shader's `amount` uniform in the first run. */
  readonly amount: number;
  /** Whether `amount` may grow to make a run long enough to be measured. */
  readonly scalable: boolean;
}

/** A run shorter than this tells little; one is stretched up to it. */
const TARGET_NS = 30e6;
const REPEATS = 3;

/**
 * Measures f32 fused multiply-adds: independent chains of `vec4f`, of several
 * numbers, written with `fma()` and with `*` and `+`. Counts 2 a lane.
 */
export function measureFmaPeak(gpu: Gpu): Promise<Peak> {
  const variants = [2, 4, 8, 16].flatMap((chains) =>
    [true, false].map((fused) => fmaVariant(chains, fused, gpu.software))
  );
  return measure(gpu, "GFLOP/s", variants, 16);
}

/**
 * Measures reads from storage, past what caches hold: lanes side by side,
 * lanes apart, and all lanes of a workgroup at the same index.
 *
 * @param bytes How much is read, at least 16 MiB; less where a binding cannot
 * be as large. Defaults to 64 MiB on a CPU and 512 MiB elsewhere.
 */
export async function measureReadBandwidth(
  gpu: Gpu,
  bytes: number = (gpu.software ? 64 : 512) * 1024 * 1024,
): Promise<Peak> {
  checkInteger("bytes", bytes, 2 ** 24);
  const limit = Math.min(bytes, gpu.limits.maxStorageBufferBindingSize);
  const vectors = 2 ** Math.floor(Math.log2(limit / 16));
  const variants = [
    readVariant("side by side", { vectors, unroll: 1 }),
    readVariant("side by side", { vectors, unroll: 4 }),
    readVariant("apart", { vectors, unroll: 4 }),
    readVariant("apart", { vectors, unroll: 8 }),
    // Slow where every lane fetches for itself, so it reads only a part.
    readVariant("same index", { vectors: vectors / 8, unroll: 8 }),
  ];
  return await measure(gpu, "GB/s", variants, vectors * 16);
}

const BINDINGS = [
  { name: "data", type: "array<vec4f>", access: "read" },
  { name: "output", type: "array<vec4f>", access: "read_write" },
  { name: "params", type: "Params", access: "uniform" },
] as const;

const DECLARATIONS = `
@group(0) @binding(0) var<storage, read> data: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4f>;
struct Params { amount: u32 }
@group(0) @binding(2) var<uniform> params: Params;
`;

function kernelOf(label: string, code: string): KernelSource {
  return {
    label,
    code: DECLARATIONS + code,
    bindings: BINDINGS,
    uniforms: { amount: "u32" },
    features: [],
  };
}

function fmaVariant(
  chains: number,
  fused: boolean,
  software: boolean,
): Variant {
  const workgroup = 64;
  const grid = software ? 64 : 4096;
  const each = (line: (i: number) => string) =>
    Array.from({ length: chains }, (_, i) => line(i)).join("\n  ");
  const step = (i: number) =>
    fused ? `a${i} = fma(a${i}, m, b);` : `a${i} = a${i} * m + b;`;
  const name = `${chains} chains, ${fused ? "fma()" : "a * b + c"}`;
  // The factor and the summand come from the buffer, so nothing is folded.
  const code = `
@compute @workgroup_size(${workgroup})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let m = data[0];
  let b = data[0] + vec4f(f32(id.x));
  ${each((i) => `var a${i} = b + ${i}.0;`)}
  for (var k = 0u; k < params.amount; k++) {
  ${each(step)}
  ${each(step)}
  ${each(step)}
  ${each(step)}
  }
  output[id.x] = ${
    Array.from({ length: chains }, (_, i) => `a${i}`).join(" + ")
  };
}`;
  return {
    name,
    kernel: kernelOf(`calibrate.fma/${name}`, code),
    grid,
    work: grid * workgroup * chains * 4 * 4 * 2,
    amount: 64,
    scalable: true,
  };
}

/** Where lane `lane` finds its vector number `K`. */
const READ_INDEX = {
  "side by side": "K * lanes + lane",
  "apart": "lane * count + K",
  "same index": "group * count + K",
} as const;

function readVariant(
  pattern: keyof typeof READ_INDEX,
  { vectors, unroll }: { vectors: number; unroll: number },
): Variant {
  const shared = pattern === "same index";
  const grid = 1024;
  const workgroup = shared ? 8 : 64;
  const lanes = shared ? grid : grid * workgroup;
  const sums = Array.from({ length: unroll }, (_, i) => `sum${i}`);
  const index = (i: number) => READ_INDEX[pattern].replace("K", `(k + ${i}u)`);
  const code = `
@compute @workgroup_size(${workgroup})
fn main(
  @builtin(global_invocation_id) id: vec3u,
  @builtin(workgroup_id) workgroup: vec3u,
) {
  let lane = id.x;
  let group = workgroup.x;
  let lanes = ${lanes}u;
  let count = params.amount / lanes;
  ${sums.map((sum) => `var ${sum} = vec4f(0.0);`).join("\n  ")}
  for (var k = 0u; k < count; k += ${unroll}u) {
    ${sums.map((sum, i) => `${sum} += data[${index(i)}];`).join("\n    ")}
  }
  output[lane] = ${sums.join(" + ")};
}`;
  const name = `${pattern}, ${unroll} at a time`;
  return {
    name,
    kernel: kernelOf(`calibrate.read/${name}`, code),
    grid,
    work: 16,
    amount: vectors,
    scalable: false,
  };
}

/** Compiles all variants, runs each once to size it, then takes its best. */
async function measure(
  gpu: Gpu,
  unit: Peak["unit"],
  variants: readonly Variant[],
  dataBytes: number,
): Promise<Peak> {
  const lanes = Math.max(...variants.map((variant) => variant.grid)) * 64;
  const make = (label: string, size: number) =>
    gpu.createBuffer({ label, size, usage: BufferUsage.storage });
  const program = new Program(gpu, "calibrate");
  const data = make("calibrate.data", dataBytes);
  const output = make("calibrate.output", lanes * 16);
  try {
    await program.compile(variants.map((variant) => variant.kernel));
    const run = (amounts: readonly number[], times: number) =>
      time(gpu, program, { data, output }, runsOf(variants, amounts, times));
    const once = variants.map((variant) => variant.amount);
    // Twice: the first dispatch also compiles and clears.
    const first = (await run(once, 2)).slice(variants.length);
    const amounts = variants.map((variant, i) =>
      variant.scalable ? stretched(variant.amount, first[i]) : variant.amount
    );
    const times = await run(amounts, REPEATS);
    return best(gpu, unit, variants, amounts, times);
  } finally {
    program.destroy();
    data.destroy();
    output.destroy();
  }
}

/** Every variant once, and that so many times. */
function runsOf(
  variants: readonly Variant[],
  amounts: readonly number[],
  times: number,
): Dispatch[] {
  const round = variants.map(({ kernel, grid }, i): Dispatch => ({
    source: kernel,
    uniforms: { amount: amounts[i] },
    grid: [grid, 1, 1],
  }));
  return Array.from({ length: times }, () => round).flat();
}

function stretched(amount: number, ns: number): number {
  const factor = Math.min(1024, Math.max(1, TARGET_NS / Math.max(ns, 1e3)));
  return Math.round(amount * factor);
}

function best(
  gpu: Gpu,
  unit: Peak["unit"],
  variants: readonly Variant[],
  counts: readonly number[],
  times: readonly number[],
): Peak {
  const rates: Record<string, number> = {};
  variants.forEach(({ name, work }, i) => {
    const own = times.filter((_, k) => k % variants.length === i);
    rates[name] = work * counts[i] / Math.max(1, Math.min(...own));
  });
  const [variant, value] = Object.entries(rates).reduce((a, b) =>
    b[1] > a[1] ? b : a
  );
  const clock = timingUnsupported(gpu) ? "wall" : "timestamps";
  return { value, unit, variant, variants: rates, clock };
}

type Resources = Readonly<Record<"data" | "output", GpuBuffer>>;

/** Nanoseconds of each run. */
async function time(
  gpu: Gpu,
  program: Program,
  resources: Resources,
  runs: readonly Dispatch[],
): Promise<number[]> {
  if (timingUnsupported(gpu)) {
    return await timeByWall(gpu, program, resources, runs);
  }
  const timer = new PassTimer(gpu, runs.length);
  try {
    program.update({ dispatches: runs });
    gpu.submit("calibrate", (encoder) => {
      program.encode(encoder, resources, {
        describe: () => timer.pass("calibrate"),
      });
      timer.resolve(encoder);
    });
    return await timer.read();
  } finally {
    timer.destroy();
  }
}

/** Without timestamps, a burst of each; the wait itself is a part of it. */
async function timeByWall(
  gpu: Gpu,
  program: Program,
  resources: Resources,
  runs: readonly Dispatch[],
): Promise<number[]> {
  const burst = 4;
  const times: number[] = [];
  for (const run of runs) {
    program.update({ dispatches: new Array<Dispatch>(burst).fill(run) });
    const start = performance.now();
    gpu.submit("calibrate", (encoder) => program.encode(encoder, resources));
    await gpu.queue.onSubmittedWorkDone();
    times.push((performance.now() - start) * 1e6 / burst);
  }
  return times;
}
