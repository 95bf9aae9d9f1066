// deno-lint-ignore-file no-console -- tells what it sets up
/**
 * Finds a Vulkan driver that Dawn accepts. Dawn refuses some that Deno's own
 * WebGPU takes, Mesa 22 of Debian 12 among them. Where the system's driver is
 * refused, Debian's backports have a newer Mesa, which is unpacked into a cache
 * folder: nothing is installed, and the packages of the system stay as they are.
 *
 * @module
 */

/** A Vulkan driver, as the environment variables that select it. */
export interface VulkanDriver {
  /** Where it comes from. */
  readonly origin: string;
  /** What a process that uses it gets, beside its own environment. */
  readonly environment: Readonly<Record<string, string>>;
}

const SWIFTSHADER = [
  "/usr/lib/chromium/vk_swiftshader_icd.json",
  "/usr/lib64/chromium-browser/vk_swiftshader_icd.json",
  "/opt/google/chrome/vk_swiftshader_icd.json",
];

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/**
 * Drivers to try, best first; each is set up only when it is asked for. Mesa
 * comes before SwiftShader as it has f16 and is faster.
 */
export async function* vulkanDrivers(): AsyncGenerator<VulkanDriver> {
  yield { origin: "this system's driver", environment: {} };
  if (Deno.build.os !== "linux") return;
  const mesa = await backportedMesa();
  if (mesa) yield mesa;
  for (const path of SWIFTSHADER.filter(exists)) {
    yield {
      origin: "Chromium's SwiftShader",
      environment: selecting(path),
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

async function backportedMesa(): Promise<VulkanDriver | undefined> {
  const source = await backportsSource();
  if (source === undefined) return undefined;
  const { suite } = source;
  const root = `${cacheFolder()}/mesa-${suite}-${Deno.build.arch}`;
  if (!exists(root)) {
    console.error(`Unpacking Mesa of ${suite} into ${root} ...`);
    try {
      await unpack(source, root);
    } catch (error) {
      console.error(`Cannot unpack it: ${(error as Error).message}`);
      return undefined;
    }
  }
  return driverIn(root, `Mesa of ${suite}`);
}

/** The unpacked driver and its libraries. */
function driverIn(root: string, origin: string): VulkanDriver | undefined {
  const names = (folder: string) =>
    exists(folder) ? [...Deno.readDirSync(folder)].map(({ name }) => name) : [];
  const drivers = `${root}/usr/share/vulkan/icd.d`;
  const driver = names(drivers).find((name) => name.startsWith("lvp_icd"));
  const libraries = names(`${root}/usr/lib`)
    .map((name) => `${root}/usr/lib/${name}`)
    .find((folder) => exists(`${folder}/libvulkan_lvp.so`));
  if (driver === undefined || libraries === undefined) return undefined;
  const own = Deno.env.get("LD_LIBRARY_PATH");
  return {
    origin,
    environment: {
      ...selecting(`${drivers}/${driver}`),
      LD_LIBRARY_PATH: own ? `${libraries}:${own}` : libraries,
    },
  };
}

function cacheFolder(): string {
  const get = (name: string) => Deno.env.get(name);
  return `${get("XDG_CACHE_HOME") ?? `${get("HOME") ?? "/tmp"}/.cache`}/quire`;
}

interface AptSource {
  readonly site: string;
  readonly suite: string;
}

/** The backports of the Debian release that apt here is set up for. */
async function backportsSource(): Promise<AptSource | undefined> {
  if (!exists(KEYRING)) return undefined;
  const format = "$(SITE) $(CODENAME) $(COMPONENT)";
  try {
    const text = await run("apt-get", ["indextargets", "--format", format]);
    for (const line of text.split("\n")) {
      const [site, codename, component] = line.split(" ");
      const release = /^[a-z]+$/.test(codename) && component === "main";
      if (release && /\/debian\/?$/.test(site)) {
        return { site, suite: `${codename}-backports` };
      }
    }
  } catch {
    // No apt here: there is nothing to unpack.
  }
  return undefined;
}

/** Downloads the driver and what it needs, with an apt state of its own. */
async function unpack(source: AptSource, root: string): Promise<void> {
  const state = `${root}.part`;
  if (exists(state)) await Deno.remove(state, { recursive: true });
  for (const folder of ["lists/partial", "cache/archives/partial", "root"]) {
    await Deno.mkdir(`${state}/${folder}`, { recursive: true });
  }
  const { site, suite } = source;
  await Deno.writeTextFile(
    `${state}/sources.list`,
    `deb [signed-by=${KEYRING}] ${site} ${suite} main\n`,
  );
  const options = [
    `Dir::Etc::sourcelist=${state}/sources.list`,
    `Dir::State::lists=${state}/lists`,
    `Dir::Cache=${state}/cache`,
    "APT::Sandbox::User=",
    "Debug::NoLocking=1",
  ].flatMap((option) => ["-o", option]);
  await run("apt-get", ["-qq", ...options, "update"]);
  await run("apt-get", [
    "-qq",
    ...options,
    "install",
    "--yes",
    "--download-only",
    "--no-install-recommends",
    `--target-release=${suite}`,
    "mesa-vulkan-drivers",
    "libvulkan1",
  ]);
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
