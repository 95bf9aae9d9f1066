import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { adviceFor, mayInstall } from "../../src/cli/setup.ts";

const linux = (distribution: string[], root: boolean) => ({
  os: "linux",
  distribution,
  root,
});

Deno.test("adviceFor() gives the exact command for each system", () => {
  assertEquals(
    adviceFor(linux(["ubuntu", "debian"], false)),
    "Type: sudo apt-get update && sudo apt-get install -y mesa-vulkan-drivers libvulkan1",
  );
  assertEquals(
    adviceFor(linux(["fedora"], true)),
    "Type: dnf install -y mesa-vulkan-drivers vulkan-loader",
  );
  assertStringIncludes(adviceFor(linux(["arch"], false)), "sudo pacman -S");
  assertStringIncludes(adviceFor(linux(["alpine"], false)), "sudo apk add");
  assertStringIncludes(adviceFor(linux(["nixos"], false)), "lavapipe");
  for (const os of ["darwin", "windows"]) {
    const advice = adviceFor({ os, distribution: [], root: false });
    assertStringIncludes(advice, "update the system");
  }
});

Deno.test("mayInstall() is for root on Debian and its kin only", () => {
  assert(mayInstall(linux(["debian"], true)));
  assert(mayInstall(linux(["ubuntu", "debian"], true)));
  assert(!mayInstall(linux(["debian"], false)));
  assert(!mayInstall(linux(["fedora"], true)));
});
