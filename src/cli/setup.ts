// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * Sees to it that there is a WebGPU adapter, before anything asks for one.
 *
 * @module
 */

/** What a look for an adapter found. */
export interface AdapterState {
  /** Whether there is one. */
  readonly found: boolean;
  /** Its description. */
  readonly description: string;
}

/** Where a command is run on; read from the system, or made up by a test. */
export interface SystemInfo {
  /** `Deno.build.os`. */
  readonly os: string;
  /** The `ID` and `ID_LIKE` words of `/etc/os-release`. */
  readonly distribution: readonly string[];
  /** Whether packages may be installed without asking. */
  readonly root: boolean;
}

const DEBIAN_PACKAGES = ["mesa-vulkan-drivers", "libvulkan1"];

/** What installs a Vulkan driver, by the distribution's id. */
const INSTALL: Readonly<Record<string, string>> = {
  debian: `apt-get update && apt-get install -y ${DEBIAN_PACKAGES.join(" ")}`,
  fedora: "dnf install -y mesa-vulkan-drivers vulkan-loader",
  arch: "pacman -S --noconfirm vulkan-swrast vulkan-icd-loader",
  alpine: "apk add mesa-vulkan-swrast vulkan-loader",
  suse: "zypper install -y libvulkan_lvp libvulkan1",
};

const FAMILIES: Readonly<Record<string, string>> = {
  ubuntu: "debian",
  rhel: "fedora",
  centos: "fedora",
  opensuse: "suse",
};

function familyOf(system: SystemInfo): string | undefined {
  return system.distribution
    .map((id) => FAMILIES[id] ?? id)
    .find((id) => id in INSTALL);
}

/** What to type for a Vulkan driver on `system`, in one sentence. */
export function adviceFor(system: SystemInfo): string {
  if (system.os === "darwin" || system.os === "windows") {
    return "WebGPU uses this system's own graphics driver: update the system";
  }
  const family = familyOf(system);
  if (family === undefined) {
    return "Install Mesa's software Vulkan driver (lavapipe) and the Vulkan loader";
  }
  const sudo = system.root ? "" : "sudo ";
  const command = INSTALL[family].split(" && ").map((part) => sudo + part);
  return `Type: ${command.join(" && ")}`;
}

/** Whether {@linkcode ensureGpu} may install the driver itself. */
export function mayInstall(system: SystemInfo): boolean {
  return system.os === "linux" && system.root && familyOf(system) === "debian";
}

/** Reads what is known of this system. */
export function systemInfo(): SystemInfo {
  let release = "";
  try {
    release = Deno.readTextFileSync("/etc/os-release");
  } catch {
    // No such file on this system, so the advice stays general.
  }
  const distribution = [...release.matchAll(/^ID(?:_LIKE)?=(.*)$/gm)]
    .flatMap(([, value]) => value.replaceAll('"', "").split(/\s+/));
  return { os: Deno.build.os, distribution, root: Deno.uid() === 0 };
}

/**
 * The environment of a child that uses the GPU: wgpu's OpenGL fallback is
 * switched off, and Mesa gets the directory that it otherwise asks for on
 * standard error.
 */
export function gpuEnvironment(): Record<string, string> {
  const get = (name: string) => Deno.env.get(name);
  const env: Record<string, string> = {
    DENO_WEBGPU_BACKEND: get("DENO_WEBGPU_BACKEND") ?? "vulkan,metal,dx12",
    QUIRE_REQUIRE_GPU: "1",
  };
  if (Deno.build.os === "linux" && !get("XDG_RUNTIME_DIR")) {
    env.XDG_RUNTIME_DIR = get("TMPDIR") ?? "/tmp";
  }
  return env;
}

/**
 * Asks for an adapter in a child, as a process that has once looked for
 * Vulkan drivers does not see those installed later.
 */
export async function findAdapter(): Promise<AdapterState> {
  const script = `const a = await navigator.gpu?.requestAdapter();
console.log(JSON.stringify({ found: !!a, description: a?.info.description ?? "" }));`;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", script],
    env: gpuEnvironment(),
    stderr: "null",
  }).output();
  try {
    return JSON.parse(new TextDecoder().decode(stdout));
  } catch {
    return { found: false, description: "" };
  }
}

/**
 * Runs a command whose output is shown only where it fails.
 *
 * @returns Whether it succeeded.
 */
export async function runQuietly(
  command: string,
  args: string[],
): Promise<boolean> {
  try {
    const { success, stderr } = await new Deno.Command(command, {
      args,
      env: { DEBIAN_FRONTEND: "noninteractive" },
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) await Deno.stderr.write(stderr);
    return success;
  } catch (error) {
    console.error(`Cannot run ${command}: ${(error as Error).message}`);
    return false;
  }
}

async function install(): Promise<boolean> {
  console.error(
    `No WebGPU adapter: installing ${DEBIAN_PACKAGES.join(" and ")} ...`,
  );
  return await runQuietly("apt-get", ["-qq", "update"]) &&
    await runQuietly("apt-get", [
      "-qq",
      "install",
      "-y",
      "--no-install-recommends",
      ...DEBIAN_PACKAGES,
    ]);
}

/**
 * Makes sure that a child process finds an adapter: a real one where there is
 * one, else the software one, which is installed where that is possible.
 *
 * @returns Whether there is one. If not, what to do has been printed.
 */
export async function ensureGpu(): Promise<boolean> {
  if ((await findAdapter()).found) return true;
  const system = systemInfo();
  if (mayInstall(system) && await install() && (await findAdapter()).found) {
    return true;
  }
  console.error(
    `There is no WebGPU adapter here (OpenGL is not used, as compute shaders on it are not reliable).\n${
      adviceFor(system)
    }`,
  );
  return false;
}
