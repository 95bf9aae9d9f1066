/**
 * The examples in Node, on Dawn: prints one JSON line each. They import the
 * library as the package that is installed here.
 */
import { create, globals } from "webgpu";
import { openGpu } from "@quire/attention";
import { EXAMPLE_CHECKS } from "../example_checks.ts";

// Flags and classes, which browsers have as globals.
Object.assign(globalThis, globals);

const gpu = await openGpu({ gpu: create([]) });
for (const { name, run } of EXAMPLE_CHECKS) {
  const start = performance.now();
  const ended = (rest) => {
    const milliseconds = performance.now() - start;
    console.log(JSON.stringify({ name, milliseconds, ...rest }));
  };
  await run(gpu).then(
    () => ended({ outcome: "passed" }),
    (error) => ended({ outcome: "failed", detail: error.stack }),
  );
}
gpu.destroy();
process.exit(0);
