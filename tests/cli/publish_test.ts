/**
 * What goes out: the modules that JSR and npm get are those that the entry
 * points reach, and the workflow publishes what it has tested.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { parse } from "yaml";
import configuration from "../../deno.json" with { type: "json" };
import { pack } from "../../src/cli/pack.ts";
import { importSpecifiers } from "../support/import_graph.ts";

const ROOT = new URL("../../", import.meta.url);

/** What is published beside modules. */
const PAGES = ["CHANGELOG.md", "LICENSE", "README.md"];

const read = (path: string) => Deno.readTextFile(new URL(path, ROOT));

async function output(command: string, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args,
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) =>
    new TextDecoder().decode(bytes)
  );
  assertEquals(code, 0, out + err);
  return out + err;
}

/** Every module that an entry point reaches. */
async function reached(): Promise<string[]> {
  const found = new Set(
    Object.values(configuration.exports).map((path) => path.slice(2)),
  );
  for (const path of found) {
    for (const specifier of importSpecifiers(await read(path))) {
      const { pathname } = new URL(specifier, `file:///${path}`);
      found.add(pathname.slice(1));
    }
  }
  return [...found].sort();
}

/** The files of npm's tarball by their path, as text. */
async function packed(): Promise<Map<string, string>> {
  const folder = await Deno.makeTempDir();
  try {
    await pack({ out: `${folder}/quire.tgz` });
    await output("tar", ["-xzf", `${folder}/quire.tgz`, "-C", folder]);
    const paths = await output("find", [`${folder}/package`, "-type", "f"]);
    return new Map(
      await Promise.all(
        paths.trim().split("\n").map(async (path) =>
          [
            path.slice(`${folder}/package/`.length),
            await Deno.readTextFile(path),
          ] as const
        ),
      ),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const PACKED = packed();

Deno.test("JSR gets what the entry points reach, and no more", async () => {
  const args = ["publish", "--dry-run", "--allow-dirty", "--no-check"];
  const text = await output(Deno.execPath(), args);
  const listed = [...text.matchAll(/^ +file:\/\/(\S+) \(/gm)]
    .map(([, path]) => path.slice(ROOT.pathname.length));
  const modules = listed.filter((path) => path.endsWith(".ts"));
  // Tools and tests are left out by name: "publish" of deno.json.
  assertEquals(modules.sort(), await reached());
  assertEquals(
    listed.filter((path) => !path.endsWith(".ts")).sort(),
    [...PAGES, "deno.json"].sort(),
  );
});

Deno.test("npm gets the same modules, compiled, and no more", async () => {
  const files = await PACKED;
  const modules = [...files.keys()].filter((path) => path.endsWith(".js"));
  assertEquals(
    modules.map((path) => path.replace(/js$/, "ts")).sort(),
    await reached(),
  );
  const rest = [...files.keys()].filter((path) => !/\.(js|d\.ts)$/.test(path));
  assertEquals(rest.sort(), [...PAGES, "package.json"].sort());
  const manifest = JSON.parse(files.get("package.json")!);
  assertEquals(manifest.dependencies ?? {}, {});
  assertEquals(manifest.version, configuration.version);
  const targets = JSON.stringify(manifest.exports).matchAll(/"\.\/([^"*]+)"/g);
  const missing = [...targets].map(([, path]) => path)
    .filter((path) => /\.\w+$/.test(path) && !files.has(path));
  assertEquals(missing, []);
});

Deno.test("the Node project imports every entry point", async () => {
  const text = await read("tests/runtimes/node_project/all_paths.ts");
  const imported = [...text.matchAll(/ from "@quire\/attention([^"]*)"/g)]
    .map(([, path]) => `.${path}`);
  assertEquals(imported.sort(), Object.keys(configuration.exports).sort());
});

Deno.test("every file of the tarball finds what it imports", async () => {
  const files = await PACKED;
  const missing: string[] = [];
  for (const [path, text] of files) {
    if (!/\.(js|d\.ts)$/.test(path)) continue;
    for (const specifier of importSpecifiers(text)) {
      const { pathname } = new URL(specifier, `file:///${path}`);
      const target = pathname.slice(1);
      const types = target.replace(/\.(js|ts)$/, ".d.ts");
      const found = path.endsWith(".js") ? target : types;
      if (!files.has(found)) missing.push(`${path}: ${specifier}`);
    }
  }
  assertEquals(missing, []);
});

/** As much of a workflow as is used here. */
interface Workflow {
  readonly on: { readonly push: { readonly tags: readonly string[] } };
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

interface Job {
  readonly "runs-on": string;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly steps: readonly Step[];
}

interface Step {
  readonly name?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

const WORKFLOWS = new URL(".github/workflows/", ROOT);

async function workflow(name: string): Promise<Workflow> {
  const text = await Deno.readTextFile(new URL(name, WORKFLOWS));
  return parse(text, { strict: true, uniqueKeys: true });
}

Deno.test("every workflow is YAML whose steps can be run", async () => {
  for await (const { name } of Deno.readDir(WORKFLOWS)) {
    const { jobs } = await workflow(name);
    for (const [job, { steps, ...rest }] of Object.entries(jobs)) {
      assertEquals(rest["runs-on"], "ubuntu-24.04", `${name}: ${job}`);
      for (const { uses, run } of steps) {
        const where = `${name}: ${uses ?? run}`;
        assert((uses === undefined) !== (run === undefined), where);
        if (uses) assert(/^[\w-]+\/[\w-]+@v\d+$/.test(uses), where);
        if (run) await output("bash", ["-n", "-c", run]);
        const tasks = run?.matchAll(/deno task ([\w:]+)/g) ?? [];
        for (const [, task] of tasks) {
          assert(task in configuration.tasks, `${where}: no task ${task}`);
        }
      }
    }
  }
});

Deno.test("what is published is what was tested", async () => {
  const { on, permissions, jobs } = await workflow("publish.yml");
  assertEquals(on.push.tags, ["v*"]);
  assertEquals(permissions, { contents: "read" });
  const { steps, permissions: own } = jobs.publish;
  assertEquals(own, { contents: "read", "id-token": "write" });
  const runs = steps.map(({ run = "" }) => run.trim());
  const order = [
    /^test "\$GITHUB_REF_NAME" = "v\$\(jq -r \.version deno\.json\)"$/,
    /^deno task pack --clean --out package\.tgz$/,
    /\bQUIRE_TARBALL=package\.tgz bash \.ci\/run$/,
    /^git diff --exit-code$/,
    /^deno publish$/,
    /^npm publish package\.tgz --provenance --access public$/,
  ];
  const places = order.map((step) => runs.findIndex((run) => step.test(run)));
  assertEquals(places, places.toSorted((a, b) => a - b));
  assert(!places.includes(-1), `${places}`);
  const deno = steps.find(({ uses }) => uses?.startsWith("denoland/"))?.with;
  const script = await read(".ci/run");
  const [, version] = script.match(/^readonly DENO=(\S+)$/m)!;
  assertEquals(deno, { "deno-version": version });
  assert(script.includes('${QUIRE_TARBALL:+--tarball "$QUIRE_TARBALL"}'));
});
