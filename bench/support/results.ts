/**
 * The results files: one a machine, with a section for each command.
 *
 * @module
 */

import type { Gpu, GpuInfo } from "../../src/gpu/mod.ts";

/** Where and when something was measured. */
export interface HostProvenance {
  /** ISO 8601, in UTC. */
  readonly date: string;
  /** Logical CPU cores; a software adapter runs on them. */
  readonly cores: number;
  /** Operating system and processor. */
  readonly platform: string;
  /** The runtime and its version. */
  readonly runtime: string;
  /** This library's version. */
  readonly quire: string;
}

/** The same of something that ran on a device. */
export interface Provenance extends HostProvenance {
  /** Who made the adapter; the driver's own words are its description. */
  readonly adapter: GpuInfo;
}

const FOLDER = new URL("../results/", import.meta.url);

/** Says where and when a run without a device is being made. */
export async function hostProvenance(): Promise<HostProvenance> {
  const manifest = new URL("../../deno.json", import.meta.url);
  const { version } = JSON.parse(await Deno.readTextFile(manifest));
  return {
    date: new Date().toISOString(),
    cores: navigator.hardwareConcurrency,
    platform: `${Deno.build.os} ${Deno.build.arch}`,
    runtime: `Deno ${Deno.version.deno}`,
    quire: version,
  };
}

/** Says where and when a run on a device is being made. */
export async function provenance(gpu: Gpu): Promise<Provenance> {
  return { ...await hostProvenance(), adapter: gpu.info };
}

/**
 * The name of this machine's file: the adapter's first words, and the number
 * of cores where it computes on them.
 */
export function resultName(gpu: Gpu): string {
  const { description, vendor, device } = gpu.info;
  const words = description.replace(/\(.*$/, "").trim() ||
    `${vendor} ${device}`;
  const slug = words.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "") || "adapter";
  const cores = gpu.software ? `-${navigator.hardwareConcurrency}-cores` : "";
  return `${slug}${cores}.json`;
}

/** Replaces one section of this machine's file; returns the file's path. */
export async function writeSection(
  gpu: Gpu,
  section: "kernels" | "linear" | "policies" | "peers" | "serving",
  content: object,
): Promise<string> {
  const file = new URL(resultName(gpu), FOLDER);
  let all: Record<string, unknown> = {};
  try {
    all = JSON.parse(await Deno.readTextFile(file));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  all[section] = { ...await provenance(gpu), ...content };
  await Deno.mkdir(FOLDER, { recursive: true });
  await Deno.writeTextFile(file, JSON.stringify(all, null, 2) + "\n");
  return `bench/results/${resultName(gpu)}`;
}
