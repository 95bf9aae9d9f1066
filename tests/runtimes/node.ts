// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task test:node`: what a user of Node gets. Packs the library for npm,
 * installs the tarball into a fresh project with Dawn (`npm:webgpu`),
 * type-checks, runs and bundles it there.
 *
 * Where there is no npm registry or no Vulkan driver that Dawn takes, it says
 * so and counts what it skips.
 *
 * @module
 */

import { readCommand } from "../../src/cli/arguments.ts";
import { pack } from "../../src/cli/pack.ts";
import { EXAMPLE_CHECKS } from "./example_checks.ts";
import { checkBundles } from "./node_bundles.ts";
import { output, run } from "./node_process.ts";
import { type VulkanDriver, vulkanDrivers } from "./vulkan_driver.ts";

const FILES = "tests/runtimes/node_project";

/**
 * What the project installs. TypeScript 5.9 is the last whose DOM library lacks
 * WebGPU.
 */
const PACKAGES = [
  "webgpu@^0.6.2",
  "esbuild@^0.28.2",
  "rolldown@^1.3.2",
  "ts59@npm:typescript@~5.9.0",
  "ts7@npm:typescript@~7.0.0",
];

interface CheckResult {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  readonly detail?: string;
  readonly milliseconds: number;
}

const results: CheckResult[] = [];

function add(result: CheckResult): void {
  results.push(result);
  const { name, outcome, detail, milliseconds } = result;
  console.log(`${name} ... ${outcome} (${Math.round(milliseconds)} ms)`);
  if (detail) console.log(detail.replace(/^/gm, "  "));
}

/** One check; what it returns is printed with it. */
async function check(
  name: string,
  test: () => Promise<string | void>,
): Promise<void> {
  const start = performance.now();
  const took = () => performance.now() - start;
  try {
    const detail = await test();
    add({
      name,
      outcome: "passed",
      ...(detail && { detail }),
      milliseconds: took(),
    });
  } catch (error) {
    const detail = (error as Error).message;
    add({ name, outcome: "failed", detail, milliseconds: took() });
  }
}

function skip(name: string, detail: string): void {
  add({ name, outcome: "skipped", detail, milliseconds: 0 });
}

/** Throws unless a condition holds. */
function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

async function checkTarball(folder: string): Promise<void> {
  const list = await run(folder, "find", ["package", "-type", "f"]);
  const files = list.trim().split("\n");
  must(
    !files.some((file) => /(?<!\.d)\.ts$|\/(cli|tests)\//.test(file)),
    "there are sources, tools or tests in the tarball",
  );
  const here = Deno.cwd();
  for (const file of files) {
    const text = await Deno.readTextFile(`${folder}/${file}`);
    must(!text.includes("sourceMappingURL="), `${file} has a source map`);
    must(!text.includes(here), `${file} holds the path ${here}`);
  }
  const manifest = JSON.parse(
    await Deno.readTextFile(`${folder}/package/package.json`),
  );
  must(manifest.sideEffects === false, "sideEffects is not false");
  for (const field of ["description", "keywords", "engines", "license"]) {
    must(field in manifest, `package.json lacks ${field}`);
  }
}

/** How a file of the project is type-checked. */
interface TypeCheck {
  readonly compiler: "ts59" | "ts7";
  readonly file: string;
  readonly resolution: "bundler" | "nodenext";
  /** Whether declarations of dependencies are not checked themselves. */
  readonly skipLibCheck: boolean;
  readonly types: readonly string[];
}

/**
 * A Node project has WebGPU's types from `webgpu`, which clash with those of
 * TypeScript 6's DOM library, so that its declarations are skipped. Without
 * `webgpu`, all of ours are checked: TypeScript 5 needs `@webgpu/types`.
 */
function typeChecks(): TypeCheck[] {
  return (["bundler", "nodenext"] as const).flatMap((resolution) =>
    (["ts59", "ts7"] as const).flatMap((compiler) => [{
      compiler,
      resolution,
      file: "with_webgpu.ts",
      skipLibCheck: true,
      types: [],
    }, {
      compiler,
      resolution,
      file: "all_paths.ts",
      skipLibCheck: false,
      types: compiler === "ts59" ? ["@webgpu/types"] : [],
    }])
  );
}

async function typeCheck(project: string, options: TypeCheck): Promise<void> {
  const { compiler, file, resolution, skipLibCheck, types } = options;
  const config = {
    compilerOptions: {
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      target: "esnext",
      lib: ["esnext", "dom"],
      module: resolution === "bundler" ? "esnext" : "nodenext",
      moduleResolution: resolution,
      types,
      skipLibCheck,
    },
    files: [file],
  };
  const name = `tsconfig.${compiler}.${resolution}.${file}.json`;
  await Deno.writeTextFile(`${project}/${name}`, JSON.stringify(config));
  const bin = `node_modules/${compiler}/bin/tsc`;
  await run(project, "node", [bin, "-p", name]);
}

/** A process of Node on a driver: Node itself, as a launcher runs no scripts. */
async function onDriver(
  project: string,
  driver: VulkanDriver,
  args: readonly string[],
): Promise<{ readonly code: number; readonly text: string }> {
  const node = await run(project, "node", ["-p", "process.execPath"]);
  const [command, ...rest] = [...driver.launcher, node.trim(), ...args];
  const { code, text } = await output(project, command, rest, {
    XDG_RUNTIME_DIR: Deno.env.get("XDG_RUNTIME_DIR") ?? "/tmp",
    ...driver.environment,
  });
  return { code, text };
}

/** The examples, with the installed package in the place of the sources. */
async function runExamples(
  project: string,
  driver: VulkanDriver,
): Promise<void> {
  await check("the examples bundle with the package", async () => {
    const script = ["bundle_examples.js", Deno.cwd()];
    const files = await run(project, "node", script);
    must(/^examples\/decode_loop\.ts$/m.test(files), files);
    must(!/^src\/(?!core\/)/m.test(files), `sources are in it:\n${files}`);
  });
  const { code, text } = await onDriver(project, driver, ["examples.js"]);
  const lines = text.split("\n").filter((line) => line.startsWith("{"));
  for (const line of lines) add(JSON.parse(line));
  await check("the examples end as they should", () => {
    must(code === 0 && lines.length === EXAMPLE_CHECKS.length, text);
    return Promise.resolve();
  });
  skip(
    "the worker example in Node",
    "Node has no Web Worker; it runs in Deno and in Chromium",
  );
}

async function runOnDawn(project: string): Promise<void> {
  for await (const driver of vulkanDrivers()) {
    const { text } = await onDriver(project, driver, ["refused.js", "dawn"]);
    if (!/^opened$/m.test(text)) {
      await check(`Dawn refuses ${driver.origin}: the error says so`, () => {
        must(/^UnsupportedError: .*VK_DRIVER_FILES/m.test(text), text);
        return Promise.resolve();
      });
      continue;
    }
    const args = ["--expose-gc", "run.js"];
    const { code, text: lines } = await onDriver(project, driver, args);
    for (const line of lines.split("\n")) {
      if (line.startsWith("{")) add(JSON.parse(line));
    }
    await runExamples(project, driver);
    await check("README's Node block runs", async () => {
      const readme = await Deno.readTextFile("README.md");
      const block = readme.match(/```js ignore\n(import .*?"webgpu".*?)```/s);
      must(block !== null, "there is none");
      await Deno.writeTextFile(`${project}/readme.js`, block![1]);
      const ran = await onDriver(project, driver, ["readme.js"]);
      must(ran.code === 0 && /1, 2, 3, 4/.test(ran.text), ran.text);
    });
    await check("the process ends as it should", () => {
      must(code === 0, `it ended with ${code}:\n${lines}`);
      return Promise.resolve();
    });
    return;
  }
  skip("run on Dawn", "Dawn accepts no Vulkan driver here");
}

async function checkAll(folder: string, given?: string): Promise<void> {
  const tarball = `${folder}/quire.tgz`;
  const name = given
    ? `${given} is a tarball for npm`
    : "deno task pack makes a tarball for npm";
  await check(name, async () => {
    if (given) await Deno.copyFile(given, tarball);
    else await pack({ out: tarball });
    await run(folder, "tar", ["-xzf", tarball]);
    await checkTarball(folder);
    const { size } = await Deno.stat(tarball);
    return `${Math.round(size / 1000)} kB`;
  });
  const project = `${folder}/project`;
  await Deno.mkdir(project);
  for await (const { name } of Deno.readDir(FILES)) {
    await Deno.copyFile(`${FILES}/${name}`, `${project}/${name}`);
  }
  const manifest = { private: true, type: "module" };
  await Deno.writeTextFile(
    `${project}/package.json`,
    JSON.stringify(manifest),
  );
  const quiet = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    .concat("--fetch-retries=1", "--fetch-timeout=60000");
  const npm = ["install", ...quiet];
  await check("the tarball installs", async () => {
    // Offline, as it has no dependencies.
    await run(project, "npm", [...npm, "--offline", tarball]);
  });
  await check(
    "Node without WebGPU: the error says what to install",
    async () => {
      const text = await run(project, "node", ["refused.js"]);
      must(text.includes("npm install webgpu"), text);
    },
  );
  const fetched = await output(project, "npm", [...npm, ...PACKAGES]);
  if (fetched.code !== 0) {
    const why = `npm cannot install ${PACKAGES.join(" ")}: ${fetched.text}`;
    for (const name of ["type-check", "bundle", "run on Dawn"]) skip(name, why);
    return;
  }
  for (const options of typeChecks()) {
    const { compiler, file, resolution } = options;
    await check(
      `${compiler} --strict takes ${file} under ${resolution}`,
      () => typeCheck(project, options),
    );
  }
  await check(
    "bundles have what they need, and no more",
    () => checkBundles(project),
  );
  await runOnDawn(project);
}

async function main(tarball?: string): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "quire-node." });
  try {
    const { code } = await output(folder, "npm", ["--version"]);
    if (code === 0) await checkAll(folder, tarball);
    else skip("a Node project", "there is no npm here");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  const count = (outcome: CheckResult["outcome"]) =>
    results.filter((result) => result.outcome === outcome).length;
  const skipped = count("skipped");
  console.log(
    `\n${count("passed")} passed, ${count("failed")} failed${
      skipped > 0 ? `, ${skipped} skipped` : ""
    }`,
  );
  Deno.exit(count("failed") > 0 ? 1 : 0);
}

const COMMAND = {
  usage: `Usage: deno task test:node [--tarball FILE]
  Packs for npm, installs into a fresh Node project, type-checks, runs and
  bundles there
  --tarball  installs this one, as deno task pack made it, instead`,
  flags: { tarball: { type: "string" } },
} as const;

if (import.meta.main) {
  await main(readCommand(COMMAND, ({ values }) => values.tarball));
}
