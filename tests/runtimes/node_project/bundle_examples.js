/**
 * Bundles the examples of the checkout that is named, with the library's entry
 * points as the package that is installed here, into `examples.js`.
 */
import { build } from "esbuild";
import { readFileSync } from "node:fs";
import { relative, resolve } from "node:path";

const root = resolve(process.argv[2]);
const { exports } = JSON.parse(readFileSync(`${root}/deno.json`, "utf8"));
const entries = new Map(
  Object.entries(exports).map(([name, path]) => [
    resolve(root, path),
    `@quire/attention${name.slice(1)}`,
  ]),
);

const { metafile } = await build({
  entryPoints: [`${root}/tests/runtimes/node_project/examples.ts`],
  outfile: "examples.js",
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  metafile: true,
  logLevel: "warning",
  external: ["webgpu"],
  plugins: [{
    name: "the package",
    setup({ onResolve }) {
      onResolve({ filter: /^\.{1,2}\// }, ({ path, resolveDir }) => {
        const name = entries.get(resolve(resolveDir, path));
        return name ? { path: name, external: true } : undefined;
      });
      onResolve({ filter: /^@quire\/attention/ }, ({ path }) => ({
        path,
        external: true,
      }));
    },
  }],
});
console.log(
  Object.keys(metafile.inputs).map((file) => relative(root, resolve(file)))
    .join("\n"),
);
