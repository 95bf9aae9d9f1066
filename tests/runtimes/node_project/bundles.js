/**
 * Bundles what its first argument lists, `[{ name, path }]` as JSON, and prints
 * as JSON what became of each: its size, minified and gzipped, the files of the
 * package that are in it, and the files that a page would fetch later.
 */
import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { rolldown } from "rolldown";

const PACKAGE = /.*node_modules\/@quire\/attention\//;

const kB = (bytes) => bytes / 1000;
const gzipped = (code) => kB(gzipSync(code, { level: 9 }).length);

/** One file with all in it, as `esbuild --bundle --minify` makes it. */
async function asOne(file) {
  const { outputFiles, metafile } = await build({
    entryPoints: [file],
    bundle: true,
    minify: true,
    format: "esm",
    metafile: true,
    write: false,
    outdir: "out",
  });
  const [output] = Object.values(metafile.outputs);
  return {
    gzipped: gzipped(outputFiles[0].contents),
    files: Object.entries(output.inputs)
      .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
      .map(([path]) => path.replace(PACKAGE, "")),
  };
}

/** What Vite's bundler makes: what is loaded by `import()` is a file apart. */
async function asChunks(file) {
  const bundle = await rolldown({ input: file });
  const { output } = await bundle.generate({ format: "esm", minify: true });
  await bundle.close();
  const named = (chunk) => ({
    name: chunk.name,
    kB: kB(chunk.code.length),
    gzipped: gzipped(chunk.code),
  });
  const entry = output.find(({ isEntry }) => isEntry);
  const byFile = new Map(output.map((chunk) => [chunk.fileName, chunk]));
  const atOnce = new Set([entry]);
  for (const chunk of atOnce) {
    for (const other of chunk.imports) atOnce.add(byFile.get(other));
  }
  return {
    atOnce: [...atOnce].map(named),
    later: output.filter((chunk) => !atOnce.has(chunk)).map(named),
  };
}

const results = [];
for (const { name, path } of JSON.parse(process.argv[2])) {
  const file = `bundle.${name}.js`;
  const from = `@quire/attention${path}`;
  writeFileSync(
    file,
    `import { ${name} } from "${from}";\nconsole.log(${name});\n`,
  );
  results.push({ name, ...await asOne(file), ...await asChunks(file) });
}
console.log(JSON.stringify(results));
