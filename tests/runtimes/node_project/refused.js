/** Prints what a user reads where there is nothing to run on. */
import { openGpu } from "@quire/attention";

const withDawn = process.argv[2] === "dawn";
try {
  const gpu = withDawn ? (await import("webgpu")).create([]) : undefined;
  await openGpu(gpu ? { gpu } : {});
  console.log("opened");
} catch (error) {
  console.log(`${error.name}: ${error.message}`);
}
process.exit(0);
