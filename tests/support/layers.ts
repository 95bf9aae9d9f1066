/**
 * A lint plugin that holds the architecture's import rule, and keeps `Deno`
 * out of library code.
 *
 * @module
 */

/** What the kernels and the reference may import. */
const KERNEL_IMPORTS = ["src/core", "src/mods"];

/** Whom a layer of the library may import besides itself: those left of it. */
const LEFTWARDS = [
  "core",
  "mods",
  "gpu",
  "kv",
  "ops",
  "policies",
  "model",
  "engine",
] as const;

/**
 * Headless folders: they import `src/core` alone, and whoever stands right of
 * `src/gpu` may import them.
 */
const HEADLESS = ["src/cache", "src/planning"];

/** What a layer of the library may import. */
function leftOf(layer: typeof LEFTWARDS[number]): string[] {
  const left = LEFTWARDS.slice(0, LEFTWARDS.indexOf(layer));
  const beyondGpu = (left as string[]).includes("gpu");
  return [
    ...left.map((name) => `src/${name}`),
    ...(beyondGpu ? [...HEADLESS, "kernels"] : []),
  ];
}

/** What stands right of every layer. */
const RIGHTMOST = [...leftOf("engine"), "src/engine"];

/**
 * What each folder may import besides itself. Nothing else is allowed. Some of
 * these folders do not exist yet; where they go is settled.
 */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  "kernels": KERNEL_IMPORTS,
  "reference": KERNEL_IMPORTS,
  ...Object.fromEntries(HEADLESS.map((folder) => [folder, ["src/core"]])),
  ...Object.fromEntries(
    LEFTWARDS.map((layer) => [`src/${layer}`, leftOf(layer)]),
  ),
  "src/serve": RIGHTMOST,
  "src/cli": [...RIGHTMOST, "mod.ts"],
  "mod.ts": RIGHTMOST,
};

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
 * may. Outside of the library (tests, benches, reproductions, examples, the
 * demo) there are no layers: anything may be imported.
 */
export function importFault(
  path: string,
  specifier: string,
): string | undefined {
  const layer = layerOf(path);
  if (layer === undefined) {
    return path.startsWith("src/")
      ? `${path} is in no layer: give its folder one in tests/support/layers.ts`
      : undefined;
  }
  if (!specifier.startsWith(".")) {
    if (layer === "src/cli") return undefined;
    return `${layer} imports no packages`;
  }
  const target = new URL(specifier, `file:///${path}`).pathname.slice(1);
  const other = layerOf(target);
  if (other === layer) return undefined;
  const allowed = LAYERS[layer];
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
