import { assertEquals } from "@std/assert";
import { HostBlocks } from "../../../src/cache/swap/host_blocks.ts";

Deno.test("HostBlocks keeps bytes by slot", () => {
  const host = new HostBlocks(3);
  assertEquals([host.slotBytes, host.byteLength, host.has(5)], [3, 0, false]);
  host.open([5, 2]);
  assertEquals([host.byteLength, host.has(5), host.has(2)], [6, false, false]);
  host.write([5], Uint8Array.of(1, 2, 3));
  host.write([2], Uint8Array.of(4, 5, 6, 0));
  host.seal([5, 2]);
  assertEquals([host.has(5), host.has(2), host.has(3)], [true, true, false]);
  const packed = new Uint8Array(8).fill(9);
  host.read([2, 5], packed);
  assertEquals([...packed], [4, 5, 6, 1, 2, 3, 9, 9]);
});

Deno.test("HostBlocks.open() empties slots and uses their memory again", () => {
  const host = new HostBlocks(2);
  host.open([1, 2]);
  host.seal([1, 2]);
  host.open([2, 3]);
  assertEquals([1, 2, 3].map((slot) => host.has(slot)), [true, false, false]);
  assertEquals(host.byteLength, 6);
  host.clear();
  assertEquals([host.byteLength, host.has(1)], [0, false]);
});
