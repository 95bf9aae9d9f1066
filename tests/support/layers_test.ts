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
    ["src/ops/attention/attention.ts", "../../../kernels/mod.ts"],
    ["src/ops/attention/plan.ts", "../../planning/traffic.ts"],
    ["src/policies/window.ts", "../cache/mod.ts"],
    ["src/model/decoder.ts", "../policies/window.ts"],
    ["src/engine/engine.ts", "../model/decoder.ts"],
    ["src/serve/http.ts", "../engine/mod.ts"],
    ["src/cli/generate.ts", "../../mod.ts"],
    ["src/planning/traffic.ts", "../core/check.ts"],
    ["tests/gpu/gpu_test.ts", "../../reference/mod.ts"],
    ["demo/measure.ts", "../reference/mod.ts"],
    ["repro/paging/flex.ts", "../bench/support/results.ts"],
    ["examples/decode.ts", "../src/engine/mod.ts"],
  ];
  for (const [path, specifier] of allowed) {
    assertEquals(importFault(path, specifier), undefined, path);
  }
});

Deno.test("importFault() names what a file may import", () => {
  const forbidden = [
    ["src/gpu/gpu.ts", "../../kernels/mod.ts"],
    ["src/gpu/gpu.ts", "../ops/attention/attention.ts"],
    ["src/core/check.ts", "../gpu/mod.ts"],
    ["src/ops/attention/attention.ts", "../../../reference/mod.ts"],
    ["src/ops/attention/attention.ts", "../../engine/mod.ts"],
    ["src/gpu/gpu.ts", "../planning/traffic.ts"],
    ["src/kv/arenas.ts", "../policies/window.ts"],
    ["src/model/decoder.ts", "../engine/mod.ts"],
    ["src/engine/engine.ts", "../serve/http.ts"],
    ["src/serve/http.ts", "../cli/doctor.ts"],
    ["src/planning/traffic.ts", "../cache/mod.ts"],
    ["src/elsewhere/file.ts", "../core/check.ts"],
    ["src/cache/block/block_pool.ts", "../../gpu/mod.ts"],
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
    importFault("src/gpu/gpu.ts", "../ops/mod.ts"),
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
