/**
 * Records of named words: one table of fields, from which the CPU's writer and
 * the WGSL reader both come.
 *
 * @module
 */

import { wgsl } from "./wgsl.ts";

/** The fields of a record in order, each a word: its name and WGSL type. */
export type RecordFields = Readonly<Record<string, "u32" | "i32">>;

/** A number for each field of a record. */
export type RecordValues<F extends RecordFields> = {
  readonly [K in keyof F]: number;
};

/** A record of `schedule: array<u32>`, or of another array of words. */
export class WordRecord<F extends RecordFields> {
  /** Its name as a WGSL struct. */
  readonly name: string;
  /** Its fields. */
  readonly fields: F;
  /** Words from one record to the next. */
  readonly words: number;

  /** Makes a record; `words` may leave room behind the fields. */
  constructor(
    name: string,
    fields: F,
    words: number = Object.keys(fields).length,
  ) {
    this.name = name;
    this.fields = fields;
    this.words = words;
  }

  /** Its words; those of negative values wrap when they are stored. */
  pack(values: RecordValues<F>): number[] {
    const packed = new Array<number>(this.words).fill(0);
    Object.keys(this.fields).forEach((field, i) => packed[i] = values[field]);
    return packed;
  }

  /**
   * The WGSL struct, and `fn read_{reader}(at: u32)`, which reads the record
   * whose first word is `schedule[at]`, or that of another array of words.
   */
  declare(reader: string, from = "schedule"): string {
    const fields = Object.entries(this.fields).map(([field, type]) =>
      `${field}: ${type},`
    );
    const words = Object.values(this.fields).map((type, i) =>
      type === "u32" ? `${from}[at + ${i}],` : `i32(${from}[at + ${i}]),`
    );
    return wgsl(
      `
      struct $name {
        $fields
      }

      fn read_$reader(at: u32) -> $name {
        return $name(
          $words
        );
      }
      `,
      {
        name: this.name,
        reader,
        fields: fields.join("\n"),
        words: words.join("\n"),
      },
    );
  }
}
