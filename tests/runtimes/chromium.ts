/** The Chromium that pages are tested in. @module */

import { mayInstall, runQuietly, systemInfo } from "../../src/cli/setup.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** What installs Debian's, for people to type. */
export const INSTALL = "apt-get update && apt-get install -y chromium";

/** Flags by which it has WebGPU on any machine: on its software adapter. */
export const FLAGS: readonly string[] = [
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  "--enable-unsafe-swiftshader",
  "--use-webgpu-adapter=swiftshader",
];

/** The system's, or the one that `CHROMIUM` names. */
export function findChromium(): string | undefined {
  const named = Deno.env.get("CHROMIUM");
  if (named) return named;
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  return NAMES.flatMap((name) => folders.map((folder) => `${folder}/${name}`))
    .find((path) => {
      try {
        return Deno.statSync(path).isFile;
      } catch {
        return false;
      }
    });
}

/** Installs Debian's package; Ubuntu's is no browser but a pointer to one. */
export async function installChromium(): Promise<string | undefined> {
  const system = systemInfo();
  if (!mayInstall(system) || system.distribution.includes("ubuntu")) return;
  // deno-lint-ignore no-console -- this is what a person waits for
  console.error("No Chromium: installing Debian's package ...");
  const options = ["-qq", "install", "-y", "--no-install-recommends"];
  await runQuietly("apt-get", ["-qq", "update"]) &&
    await runQuietly("apt-get", [...options, "chromium"]);
  return findChromium();
}
