import { assertEquals, assertThrows } from "@std/assert";
import { type Declaration, declarationsOf, SymbolIndex } from "./symbols.ts";

const TEXT = `/** A module. */
import { x } from "./x.ts";

export type Pair = { class: string; const: number };

const LIMIT = 3,
  OTHER = 4;

/** A class. */
export class Table<T extends { a: number }> {
  /** Public. */
  readonly blocks: number[] = [];
  #length = 0;
  static of({ a, b }: { a: number; b: number }): Table<{ a: number }> {
    return new Table(a + b);
  }

  constructor(
    readonly size: number,
  ) {
    this.#length = size;
  }
  get length(): number {
    return this.#length;
  }
  override async *reserve(
    count: number,
  ): AsyncGenerator<{ count: number }> {
    yield { count };
  }
  [Symbol.dispose](): void {}
}

export function pick(a: string): string;
export function pick(a: number): number;
export function pick(a: unknown): unknown {
  return a;
}

function* walk() {}
let state;
`;

const textOf = ([{ source, first, end }]: Declaration[]) =>
  source.text.slice(source.tokens[first].start, source.tokens[end - 1].end);

Deno.test("declarationsOf() lists what a file declares", () => {
  assertEquals(declarationsOf("a.ts", TEXT).map(({ symbol }) => symbol), [
    "LIMIT",
    "Table",
    "Table.blocks",
    "Table.#length",
    "Table.of",
    "Table.constructor",
    "Table.length",
    "Table.reserve",
    "Table.[Symbol.dispose]",
    "pick",
    "pick",
    "pick",
    "walk",
    "state",
  ]);
});

Deno.test("a declaration goes from its first word to its last", () => {
  const index = new SymbolIndex(declarationsOf("a.ts", TEXT));
  assertEquals(textOf(index.find("LIMIT")), "const LIMIT = 3,\n  OTHER = 4;");
  assertEquals(textOf(index.find("Table.#length")), "#length = 0;");
  assertEquals(
    textOf(index.find("Table.length")),
    "get length(): number {\n    return this.#length;\n  }",
  );
  const table = textOf(index.find("Table"));
  assertEquals(table.startsWith("export class Table"), true);
  assertEquals(table.endsWith("[Symbol.dispose](): void {}\n}"), true);
  assertEquals(textOf(index.find("pick")).split("export").length, 4);
});

Deno.test("find() gives a declaration for each file", () => {
  const index = new SymbolIndex([
    ...declarationsOf("a.ts", "const a = 1;\nconst b = 2;\n"),
    ...declarationsOf("b.ts", "const b = 3;\n"),
  ]);
  assertEquals(index.find("b").map((one) => textOf([one])), [
    "const b = 2;",
    "const b = 3;",
  ]);
  assertEquals(textOf(index.find("b", "b.ts")), "const b = 3;");
  assertThrows(() => index.find("c"), Error, "nothing declares c");
  assertThrows(
    () => index.find("a", "b.ts"),
    Error,
    "nothing declares a in b.ts",
  );
});
