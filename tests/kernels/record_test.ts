/**
 * Records: what the CPU packs is what WGSL reads, by the same names.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { kernelOf } from "../../kernels/fragment.ts";
import {
  KEY_RUN,
  MERGE_TILE,
  QUERY,
  RUN_LIST,
  SEQUENCE,
  STATE,
  WORK_TILE,
} from "../../kernels/fragments/schedule.ts";
import { type RecordFields, WordRecord } from "../../kernels/record.ts";
import { Program } from "../../src/gpu/mod.ts";
import { gpuTest } from "../support/gpu.ts";
import { property } from "../support/property.ts";

const PAIR = new WordRecord("Pair", { first: "u32", second: "i32" });
const ROOMY = new WordRecord("Roomy", { only: "u32" }, 4);

Deno.test("WordRecord.pack() writes fields in their order", () => {
  assertEquals(PAIR.words, 2);
  assertEquals(PAIR.pack({ second: 7, first: 3 }), [3, 7]);
  assertEquals(ROOMY.pack({ only: 9 }), [9, 0, 0, 0]);
});

Deno.test("WordRecord.pack() has negative values that wrap", () => {
  const words = Uint32Array.from(PAIR.pack({ first: 1, second: -3 }));
  assertEquals([...words], [1, 2 ** 32 - 3]);
  assertEquals(words[1] | 0, -3);
});

Deno.test("WordRecord.declare() reads each field at its word", () => {
  assertEquals(
    PAIR.declare("one"),
    `struct Pair {
first: u32,
second: i32,
}

fn read_one(at: u32) -> Pair {
return Pair(
schedule[at + 0],
i32(schedule[at + 1]),
);
}`,
  );
});

const aRecord = fc.array(fc.constantFrom("u32" as const, "i32" as const), {
  minLength: 1,
  maxLength: 12,
}).chain((types) =>
  fc.record({
    record: fc.nat({ max: 4 }).map((room) =>
      new WordRecord(
        "Any",
        Object.fromEntries(types.map((type, i) => [`field_${i}`, type])),
        types.length + room,
      )
    ),
    values: fc.tuple(
      ...types.map((type) =>
        type === "u32"
          ? fc.nat({ max: 2 ** 32 - 1 })
          : fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
      ),
    ),
  })
);

property(
  "WordRecord: what is packed is what the declared reader takes",
  [aRecord, fc.nat({ max: 5 })],
  ({ record, values }, at) => {
    const names = Object.keys(record.fields);
    const packed = record.pack(
      Object.fromEntries(names.map((name, i) => [name, values[i]])),
    );
    assertEquals(packed.length, record.words);
    const schedule = new Uint32Array(at + record.words);
    schedule.set(packed, at);
    // The reader's arguments, in order, read as WGSL does.
    const read = record.declare("any").matchAll(
      /(i32\()?schedule\[at \+ (\d+)\]/g,
    ).map(([, signed, word]) => {
      const bits = schedule[at + Number(word)];
      return signed ? bits | 0 : bits;
    });
    assertEquals([...read], values);
  },
);

const RECORDS: readonly WordRecord<RecordFields>[] = [
  SEQUENCE,
  WORK_TILE,
  MERGE_TILE,
  RUN_LIST,
  KEY_RUN,
  STATE,
  QUERY,
];

/** `output[i]`: the i-th field, whose words are `schedule[1]` and on. */
function readerKernel(record: WordRecord<RecordFields>) {
  const copies = Object.keys(record.fields)
    .map((name, i) => `output[${i}] = f32(record.${name});`);
  return kernelOf({
    label: `test.read/${record.name}`,
    fragments: [{
      bindings: [
        { name: "schedule", type: "array<u32>", access: "read" },
        { name: "output", type: "array<f32>", access: "read_write" },
      ],
      code: record.declare("record"),
    }],
    main: `@compute @workgroup_size(1)
fn main() {
let record = read_record(1);
${copies.join("\n")}
}`,
  });
}

gpuTest("WordRecord is read on the device as packed", async (_, gpu) => {
  for (const record of RECORDS) {
    const values = Object.values(record.fields)
      .map((type, i) => type === "i32" ? -10 * i - 1 : 10 * i + 1);
    const words = record.pack(
      Object.fromEntries(
        Object.keys(record.fields).map((name, i) => [name, values[i]]),
      ),
    );
    using program = await Program.create(gpu, "test.record", {
      dispatches: [{
        source: readerKernel(record),
        uniforms: {},
        grid: [1, 1, 1],
      }],
      words: { schedule: Uint32Array.from([99, ...words]) },
    });
    using output = gpu.empty("f32", [values.length]);
    gpu.submit("test", (encoder) => program.encode(encoder, { output }));
    assertEquals([...await gpu.readOne(output)], values, record.name);
  }
});
