import { assert, assertEquals, assertThrows } from "@std/assert";
import { type BasedLayer, basedLayers } from "../../../src/model/mod.ts";
import { causal, maskFunction, slidingWindow } from "../../../src/mods/mod.ts";

const at = (layers: readonly BasedLayer[], kind: BasedLayer["kind"]) =>
  layers.flatMap((layer, i) => layer.kind === kind ? [i] : []);

Deno.test("basedLayers() is the paper's pattern", () => {
  const layers = basedLayers();
  assertEquals(layers.length, 27);
  assertEquals(at(layers, "linear"), [1, 6, 11, 16, 21]);
  assertEquals(at(layers, "window"), [2, 7, 12, 17, 22]);
  assertEquals(at(layers, "convolution").length, 17);
  assertEquals(layers[1], {
    kind: "linear",
    featureMap: "taylor",
    headDim: 16,
  });
  assertEquals(layers[2], { kind: "window", window: 64 });
  assertEquals(layers[0], { kind: "convolution", kernelSize: 3 });
});

Deno.test("basedLayers() takes other patterns, and refuses those that clash", () => {
  const layers = basedLayers({
    layers: 3,
    linear: [2],
    windows: [0],
    headDim: 8,
    window: 256,
    kernelSize: 4,
  });
  assertEquals(layers, [
    { kind: "window", window: 256 },
    { kind: "convolution", kernelSize: 4 },
    { kind: "linear", featureMap: "taylor", headDim: 8 },
  ]);
  assertThrows(
    () => basedLayers({ layers: 2 }),
    RangeError,
    "linear[1] must be an integer in 0..1: current value is 6",
  );
  assertThrows(
    () => basedLayers({ linear: [2] }),
    RangeError,
    "windows must not have a layer that linear has: current value is 2",
  );
  const sliding: object = { slidingWindow: 64 };
  assertThrows(
    () => basedLayers(sliding),
    TypeError,
    "write window",
  );
});

Deno.test("a window as long as the sequence hides nothing that causal shows", () => {
  const [layer] = basedLayers({
    layers: 1,
    linear: [],
    windows: [0],
    window: 9,
  });
  assert(layer.kind === "window");
  const sees = maskFunction([
    slidingWindow({ left: layer.window - 1, right: 0 }),
  ]);
  const causally = maskFunction([causal()]);
  for (let query = 0; query < 12; query++) {
    for (let key = 0; key < 12; key++) {
      const near = query - key < layer.window;
      assertEquals(sees(0, 0, query, key), causally(0, 0, query, key) && near);
    }
  }
});
