/**
 * A lint plugin that holds the architecture's import rule, and keeps `Deno`
 * out of library code.
 *
 * @module
 */

const KERNEL_IMPORTS = ["src/core", "src/mods"];

/** What each folder may import besides itself. Nothing else is allowed. */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  "kernels": KERNEL_IMPORTS,
  "reference": KERNEL_IMPORTS,
  "src/core": [],
  "src/mods": ["src/core"],
  "src/gpu": ["src/core", "src/mods"],
  "src/cache": ["src/core", "src/mods", "src/gpu", "kernels"],
  "src/ops": ["src/core", "src/mods", "src/gpu", "src/cache", "kernels"],
  "src/engine": ["src/core", "src/mods", "src/gpu", "src/cache", "src/ops"],
  "src/cli": [
    "src/core",
    "src/mods",
    "src/gpu",
    "src/cache",
    "src/ops",
    "src/engine",
    "kernels",
    "mod.ts",
  ],
  "mod.ts": ["src/core", "src/mods", "src/gpu", "src/cache", "src/ops"],
};

/** Files of `src/cache` that may import the device; the others are pure. */
const CACHE_ON_GPU = /^src\/cache\/kv_/;
const PURE_CACHE = ["src/core"];

/** Folders whose files run in browsers, so that `Deno` is not theirs. */
const LIBRARY = /^(kernels|reference|src\/(?!cli\/)|mod\.ts$)/;

/** The path of a file within the repository, or `undefined` outside of it. */
export function repositoryPath(filename: string): string | undefined {
  const root = new URL("../../", import.meta.url).pathname;
  const path = filename.replaceAll("\\", "/");
  const start = path.startsWith("file://") ? new URL(path).pathname : path;
  return start.startsWith(root) ? start.slice(root.length) : undefined;
}

/** The layer of a repository path: a key of {@linkcode LAYERS}. */
export function layerOf(path: string): string | undefined {
  return Object.keys(LAYERS).find((layer) =>
    path === layer || path.startsWith(layer + "/")
  );
}

/**
 * Why the file at `path` may not import `specifier`, or `undefined` where it
 * may. Tests, benches and the demo have no layer: they may import anything.
 */
export function importFault(
  path: string,
  specifier: string,
): string | undefined {
  const layer = layerOf(path);
  if (layer === undefined) return undefined;
  if (!specifier.startsWith(".")) {
    if (layer === "src/cli") return undefined;
    return `${layer} imports no packages`;
  }
  const target = new URL(specifier, `file:///${path}`).pathname.slice(1);
  const other = layerOf(target);
  if (other === layer) return undefined;
  const pure = layer === "src/cache" && !CACHE_ON_GPU.test(path);
  const allowed = pure ? PURE_CACHE : LAYERS[layer];
  if (other !== undefined && allowed.includes(other)) return undefined;
  return `${path} may import ${
    allowed.length > 0 ? allowed.join(", ") : "nothing of ours"
  }, not ${other ?? target}`;
}

const plugin: Deno.lint.Plugin = {
  name: "layers",
  rules: {
    "imports": {
      create(context) {
        const path = repositoryPath(context.filename);
        if (path === undefined) return {};
        const check = (
          node:
            | Deno.lint.ImportDeclaration
            | Deno.lint.ExportNamedDeclaration
            | Deno.lint.ExportAllDeclaration,
        ) => {
          const specifier = node.source?.value;
          if (typeof specifier !== "string") return;
          const fault = importFault(path, specifier);
          if (fault) context.report({ node, message: fault });
        };
        return {
          ImportDeclaration: check,
          ExportNamedDeclaration: check,
          ExportAllDeclaration: check,
          ImportExpression(node) {
            if (node.source.type !== "Literal") return;
            const fault = importFault(path, String(node.source.value));
            if (fault) context.report({ node, message: fault });
          },
        };
      },
    },
    "no-deno": {
      create(context) {
        const path = repositoryPath(context.filename);
        if (path === undefined || !LIBRARY.test(path)) return {};
        return {
          Identifier(node) {
            if (node.name !== "Deno") return;
            context.report({
              node,
              message: "Deno is for src/cli only: this file runs in browsers",
            });
          },
        };
      },
    },
  },
};

export default plugin;
