// deno-lint-ignore-file no-console -- `deno bench` does not list ignored benches
/**
 * The device of a bench process, or why there is none.
 *
 * @module
 */

import { type Gpu, openGpu, UnsupportedError } from "../../src/gpu/mod.ts";

async function open(): Promise<Gpu | string> {
  try {
    return await openGpu({ label: "bench" });
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    console.error(`GPU benches are skipped: ${error.message}`);
    return error.message;
  }
}

/** The device, or the reason why there is none. */
export const DEVICE: Gpu | string = await open();
