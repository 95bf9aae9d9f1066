import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Gpu, PassTimer, UnsupportedError } from "../../src/gpu/mod.ts";
import { gpuTest } from "../support/gpu.ts";

gpuTest("PassTimer times each pass, and can be used again", async (_t, gpu) => {
  using timer = new PassTimer(gpu, 3);
  assertEquals(await timer.read(), []);
  for (const count of [3, 1]) {
    gpu.submit("timed", (encoder) => {
      for (let i = 0; i < count; i++) {
        encoder.beginComputePass(timer.pass(`pass ${i}`)).end();
      }
      timer.resolve(encoder);
    });
    const times = await timer.read();
    assertEquals(times.length, count);
    assert(times.every((ns) => ns >= 0 && ns < 60e9));
  }
}, { features: ["timestamp-query"] });

gpuTest("PassTimer throws for one pass too many", (_t, gpu) => {
  using timer = new PassTimer(gpu, 1);
  timer.pass("first");
  assertThrows(() => timer.pass("second"), RangeError, "must be one of 1");
  assertThrows(() => new PassTimer(gpu, 0), RangeError, "capacity");
}, { features: ["timestamp-query"] });

Deno.test("PassTimer() throws where the device has no timestamps", () => {
  const gpu = { check() {}, features: new Set() } as unknown as Gpu;
  assertThrows(
    () => new PassTimer(gpu, 1),
    UnsupportedError,
    "lacks timestamp-query",
  );
});
