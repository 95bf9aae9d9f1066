import { assertEquals } from "@std/assert";
import plugin, { importFault } from "./layers.ts";

Deno.test("importFault() allows leftward imports only", () => {
  const allowed = [
    ["src/gpu/gpu.ts", "../core/errors.ts"],
    ["src/gpu/gpu.ts", "./buffer.ts"],
    ["kernels/attention/forward.ts", "../wgsl.ts"],
    ["kernels/attention/forward.ts", "../../src/mods/mod.ts"],
    ["reference/attention.ts", "../src/core/check.ts"],
    ["src/kv/kv_cache.ts", "../gpu/mod.ts"],
    ["src/ops/attention/attention.ts", "../../kernels/mod.ts"],
    ["tests/gpu/gpu_test.ts", "../../reference/mod.ts"],
    ["demo/measure.ts", "../reference/mod.ts"],
  ];
  for (const [path, specifier] of allowed) {
    assertEquals(importFault(path, specifier), undefined, path);
  }
});

Deno.test("importFault() names what a file may import", () => {
  const forbidden = [
    ["src/gpu/gpu.ts", "../../kernels/mod.ts"],
    ["src/gpu/gpu.ts", "../ops/attention.ts"],
    ["src/core/check.ts", "../gpu/mod.ts"],
    ["src/ops/attention/attention.ts", "../../reference/mod.ts"],
    ["src/cache/block/block_pool.ts", "../gpu/mod.ts"],
    ["kernels/wgsl.ts", "../src/gpu/mod.ts"],
    ["reference/attention.ts", "../kernels/mod.ts"],
    ["src/mods/mod.ts", "npm:fast-check"],
    ["src/gpu/gpu.ts", "../../tests/support/gpu.ts"],
    ["src/cli/doctor.ts", "../../demo/view.ts"],
  ];
  for (const [path, specifier] of forbidden) {
    assertEquals(typeof importFault(path, specifier), "string", path);
  }
  assertEquals(
    importFault("src/gpu/gpu.ts", "../ops/attention.ts"),
    "src/gpu/gpu.ts may import src/core, src/mods, not src/ops",
  );
});

Deno.test("layers reports imports and the name Deno", () => {
  const root = new URL("../../", import.meta.url).pathname;
  const source = `import "../ops/mod.ts";
export * from "../../kernels/mod.ts";
await import("../ops/mod.ts");
Deno.exit(1);
`;
  const run = (path: string) =>
    Deno.lint.runPlugin(plugin, root + path, source).map(({ id }) => id);
  assertEquals(run("src/gpu/x.ts").sort(), [
    "layers/imports",
    "layers/imports",
    "layers/imports",
    "layers/no-deno",
  ]);
  assertEquals(run("tests/gpu/x.ts"), []);
});
