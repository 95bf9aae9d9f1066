// deno-lint-ignore-file no-console -- tells what it sets up
/**
 * Finds a Vulkan driver that Dawn accepts. Dawn refuses some that Deno's own
 * WebGPU takes, Mesa 22 of Debian 12 among them. Where the system's driver is
 * refused, that of a newer Debian is unpacked into a cache folder, with all the
 * libraries that it needs, the C library included. Nothing is installed, root
 * is not needed, and the system's packages stay as they are.
 *
 * @module
 */

/** A Vulkan driver, and how a process is started that uses it. */
export interface VulkanDriver {
  /** Where it comes from. */
  readonly origin: string;
  /** What the process gets, beside its own environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** What is put before its command. */
  readonly launcher: readonly string[];
}

const SWIFTSHADER = [
  "/usr/lib/chromium/vk_swiftshader_icd.json",
  "/usr/lib64/chromium-browser/vk_swiftshader_icd.json",
  "/opt/google/chrome/vk_swiftshader_icd.json",
];

/**
 * The Debian release whose backports are unpacked: their Mesa 26 compiles our
 * shaders ten times faster than Mesa 25 does.
 */
const RELEASE = "trixie";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/**
 * Drivers to try, best first; each is set up only when it is asked for. Mesa
 * comes before SwiftShader as it has f16 and is faster.
 */
export async function* vulkanDrivers(): AsyncGenerator<VulkanDriver> {
  yield { origin: "this system's driver", environment: {}, launcher: [] };
  if (Deno.build.os !== "linux") return;
  const mesa = await newerMesa();
  if (mesa) yield mesa;
  for (const path of SWIFTSHADER.filter(exists)) {
    yield {
      origin: "Chromium's SwiftShader",
      environment: selecting(path),
      launcher: [],
    };
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Older loaders know the second name only. */
function selecting(path: string): Record<string, string> {
  return { VK_DRIVER_FILES: path, VK_ICD_FILENAMES: path };
}

async function newerMesa(): Promise<VulkanDriver | undefined> {
  const mirror = await debianMirror();
  if (mirror === undefined) return undefined;
  const root = `${cacheFolder()}/mesa-${RELEASE}-${Deno.build.arch}`;
  if (!exists(root)) {
    console.error(`Unpacking Mesa of Debian ${RELEASE} into ${root} ...`);
    try {
      await unpack(mirror, root);
    } catch (error) {
      console.error(`Cannot unpack it: ${(error as Error).message}`);
      return undefined;
    }
  }
  return driverIn(root);
}

/**
 * The unpacked driver. Its libraries need their own C library, so a process
 * that is to use it starts through their own loader.
 */
function driverIn(root: string): VulkanDriver | undefined {
  const find = (folder: string, pattern: RegExp) => {
    if (!exists(folder)) return undefined;
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
    const name = names.find((name) => pattern.test(name));
    return name && `${folder}/${name}`;
  };
  const driver = find(`${root}/usr/share/vulkan/icd.d`, /^lvp_icd.*json$/);
  const libraries = find(`${root}/usr/lib`, /-linux-gnu$/);
  const loader = libraries && find(libraries, /^ld-linux.*\.so/);
  if (!driver || !libraries || !loader) return undefined;
  return {
    origin: `Mesa of Debian ${RELEASE}`,
    environment: selecting(driver),
    launcher: [loader, "--library-path", libraries],
  };
}

function cacheFolder(): string {
  const get = (name: string) => Deno.env.get(name);
  return `${get("XDG_CACHE_HOME") ?? `${get("HOME") ?? "/tmp"}/.cache`}/quire`;
}

/** The mirror that apt here is set up for, where this is a Debian. */
async function debianMirror(): Promise<string | undefined> {
  if (!exists(KEYRING)) return undefined;
  try {
    const format = "$(SITE) $(COMPONENT)";
    const text = await run("apt-get", ["indextargets", "--format", format]);
    return text.match(/^(\S+\/debian\/?) main$/m)?.[1];
  } catch {
    return undefined; // No apt here: there is nothing to unpack.
  }
}

/**
 * Downloads the driver and all that it needs, with a state of apt's own in
 * which nothing is installed yet.
 */
async function unpack(mirror: string, root: string): Promise<void> {
  const state = `${root}.part`;
  if (exists(state)) await Deno.remove(state, { recursive: true });
  for (const folder of ["lists/partial", "cache/archives/partial", "root"]) {
    await Deno.mkdir(`${state}/${folder}`, { recursive: true });
  }
  const suites = [RELEASE, `${RELEASE}-backports`];
  const sources = suites.map((suite) =>
    `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`
  );
  await Deno.writeTextFile(`${state}/sources.list`, sources.join(""));
  await Deno.writeTextFile(`${state}/status`, "");
  const apt = (...args: string[]) => {
    const options = [
      `Dir::Etc::sourcelist=${state}/sources.list`,
      "Dir::Etc::sourceparts=-",
      `Dir::State::lists=${state}/lists`,
      `Dir::State::status=${state}/status`,
      `Dir::Cache=${state}/cache`,
      "APT::Sandbox::User=",
      "Debug::NoLocking=1",
    ].flatMap((option) => ["-o", option]);
    return run("apt-get", ["-qq", ...options, ...args]);
  };
  await apt("update");
  await apt(
    "install",
    "--yes",
    "--download-only",
    "--no-install-recommends",
    `--target-release=${RELEASE}-backports`,
    "mesa-vulkan-drivers",
    "libvulkan1",
    "libgcc-s1",
    "libstdc++6",
  );
  for await (const { name } of Deno.readDir(`${state}/cache/archives`)) {
    if (!name.endsWith(".deb")) continue;
    const archive = `${state}/cache/archives/${name}`;
    await run("dpkg-deb", ["-x", archive, `${state}/root`]);
  }
  await Deno.rename(`${state}/root`, root);
  await Deno.remove(state, { recursive: true });
}

async function run(command: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    env: { LC_ALL: "C" },
  }).output();
  const text = new TextDecoder();
  if (!success) throw new Error(`${command}: ${text.decode(stderr).trim()}`);
  return text.decode(stdout);
}
