/**
 * How much of the library ends up in a bundle.
 *
 * @module
 */

import { run } from "./node_process.ts";

/**
 * What a bundle imports, and its size at most: kB (1000 bytes), gzipped.
 * Attention is to be below 35: of what it has, the caches are gone already;
 * the standard baseline, the kernels' indentation and the mods' float64 reading
 * are what a call may never need.
 */
const BUNDLES: Readonly<Record<string, number>> = {
  "causal": 3,
  "attention": 44,
};

async function gzipped(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
  const body = new Blob([bytes]).stream()
    .pipeThrough(new CompressionStream("gzip"));
  return (await new Response(body).arrayBuffer()).byteLength;
}

/** A check for each bundle, to be made in a project that has esbuild. */
export function bundleSizes(
  project: string,
): [name: string, test: () => Promise<string>][] {
  return Object.entries(BUNDLES).map(([name, most]) => [
    `a bundle with ${name} has at most ${most} kB`,
    async () => {
      const entry = `bundle.${name}.js`;
      await Deno.writeTextFile(
        `${project}/${entry}`,
        `import { ${name} } from "@quire/attention";\nconsole.log(${name});\n`,
      );
      const out = `${project}/out.${entry}`;
      await run(project, "node", [
        "node_modules/esbuild/bin/esbuild",
        entry,
        "--bundle",
        "--minify",
        "--format=esm",
        "--log-level=warning",
        `--outfile=${out}`,
      ]);
      const bytes = await Deno.readFile(out);
      const size = await gzipped(bytes) / 1000;
      const text = `${bytes.length / 1000} kB, gzipped ${size.toFixed(1)} kB`;
      if (size > most) throw new Error(`more than ${most} kB: ${text}`);
      return text;
    },
  ]);
}
