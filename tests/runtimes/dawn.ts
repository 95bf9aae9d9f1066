// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task test:dawn`: the tests that use a GPU, on Dawn (`npm:webgpu`)
 * instead of Deno's own WebGPU. Further arguments go to `deno test`; paths
 * among them take the place of all tests.
 *
 * Where no driver will do, it says so, counts one skipped test and succeeds.
 *
 * @module
 */

import { asksForHelp } from "../../src/cli/arguments.ts";
import { type VulkanDriver, vulkanDrivers } from "./vulkan_driver.ts";

/** Folders whose tests do not use the shared device. */
const WITHOUT_GPU = [
  "cli",
  "demo",
  "mutants",
  "reference",
  "runtimes",
  "snapshots",
  "support",
];

/** Apart from `deno.lock`, so that only those who run this fetch Dawn. */
const LOCK = "--lock=tests/runtimes/deno.lock";

/** The environment of a process whose tests run on Dawn. */
function environmentOf(driver: VulkanDriver): Record<string, string> {
  const env: Record<string, string> = {
    QUIRE_WEBGPU: "dawn",
    ...driver.environment,
  };
  if (!Deno.env.get("XDG_RUNTIME_DIR")) env.XDG_RUNTIME_DIR = "/tmp";
  return env;
}

/** `deno <args>` on a driver. */
function denoOn(
  driver: VulkanDriver,
  args: readonly string[],
  options: Deno.CommandOptions,
): Deno.Command {
  const [command, ...rest] = [...driver.launcher, Deno.execPath(), ...args];
  const env = { ...environmentOf(driver), ...options.env };
  return new Deno.Command(command, { ...options, args: rest, env });
}

/** What Dawn says of a driver; throws where it finds no adapter. */
async function adapterOn(driver: VulkanDriver): Promise<string> {
  const args = ["run", "-A", "--quiet", LOCK, "tests/runtimes/dawn_probe.ts"];
  const { success, stdout, stderr } = await denoOn(driver, args, {}).output();
  const text = new TextDecoder();
  if (!success) throw new Error(text.decode(stderr).trim());
  return text.decode(stdout).trim();
}

async function findDriver(): Promise<VulkanDriver | undefined> {
  for await (const driver of vulkanDrivers()) {
    try {
      const adapter = await adapterOn(driver);
      console.error(`Dawn on ${driver.origin}: ${adapter}`);
      return driver;
    } catch (error) {
      console.error(`Dawn refuses ${driver.origin}:
${(error as Error).message.replace(/^/gm, "  ")}`);
    }
  }
  return undefined;
}

function testFolders(): string[] {
  return [...Deno.readDirSync("tests")]
    .filter(({ isDirectory, name }) =>
      isDirectory && !WITHOUT_GPU.includes(name)
    )
    .map(({ name }) => `tests/${name}/`).sort();
}

async function main(): Promise<void> {
  const driver = await findDriver();
  if (driver === undefined) {
    console.log("Skipped: Dawn accepts no Vulkan driver here");
    console.log("0 passed, 0 failed, 1 skipped");
    return;
  }
  const paths = Deno.args.some((arg) => arg.startsWith("tests/"))
    ? []
    : testFolders();
  const args = ["test", "-A", LOCK, ...Deno.args, ...paths];
  const { code } = await denoOn(driver, args, {
    env: { QUIRE_REQUIRE_GPU: "1" },
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  }).spawn().status;
  Deno.exit(code);
}

const USAGE = `Usage: deno task test:dawn [ARGUMENT]...
  Runs the tests that use a GPU on Dawn instead of Deno's WebGPU; arguments go
  to deno test, and paths among them take the place of all tests`;

if (import.meta.main) {
  if (asksForHelp(Deno.args)) console.log(USAGE);
  else await main();
}
