/**
 * The words behind emitted mods, and the WGSL that reads them.
 *
 * @module
 */

import { isOnDevice } from "./device_data.ts";
import {
  DeviceTable,
  type TensorBinding,
  type TensorPlacement,
} from "./device_table.ts";
import type {
  CapturedBuffer,
  CapturedData,
  LiteralNode,
  LoadNode,
} from "../nodes.ts";

/** Gives literals and captured buffers their place in `captures`. */
export class CaptureTable {
  readonly #prefix: string;
  readonly #base: number;
  readonly #header: number[] = [];
  readonly #buffers = new Map<CapturedBuffer, number>();
  readonly #ranks = new Set<number>();
  readonly #devices: DeviceTable;
  #usesBits = false;
  #usesTanh = false;

  /** A table whose first word is word `base` of `captures`. */
  constructor(
    prefix: string,
    base: number,
    placement: TensorPlacement = "bound",
  ) {
    this.#prefix = prefix;
    this.#base = base;
    this.#devices = new DeviceTable(prefix, placement);
  }

  /** Where data on a device is read from. */
  get tensors(): readonly TensorBinding[] {
    return this.#devices.tensors;
  }

  /** The WGSL of a literal, which takes a word of its own. */
  literal(node: LiteralNode): string {
    if (node.type === "bool") return node.value === 1 ? "true" : "false";
    const at = this.#reserve([bitsOf(node)]);
    return `bitcast<${node.type}>(captures[${at}u])`;
  }

  /** The WGSL of an element, given that of its indices. */
  load({ buffer, type }: LoadNode, indices: readonly string[]): string {
    const at = this.#place(buffer);
    const flat = this.index(buffer, indices);
    if (isOnDevice(buffer.data)) {
      return this.#devices.load(buffer.data, `captures[${at}u]`, flat);
    }
    if (type === "bool") {
      this.#usesBits = true;
      return `${this.#prefix}_bit(captures[${at}u], ${flat})`;
    }
    return `bitcast<${type}>(captures[captures[${at}u] + ${flat}])`;
  }

  /** The WGSL of an element's flat index, given that of its indices. */
  index(buffer: CapturedBuffer, indices: readonly string[]): string {
    const at = this.#place(buffer);
    this.#ranks.add(indices.length);
    return `${this.#prefix}_index${indices.length}(${at + 1}u, ${
      indices.join(", ")
    })`;
  }

  /** The name of the hyperbolic tangent's function. */
  tanh(): string {
    this.#usesTanh = true;
    return `${this.#prefix}_tanh`;
  }

  /** The functions that the emitted code calls. */
  helpers(): string[] {
    return [
      ...[...this.#ranks].sort((a, b) => a - b).map((rank) =>
        indexCode(this.#prefix, rank)
      ),
      ...this.#devices.helpers,
      ...this.#usesBits ? [bitCode(this.#prefix)] : [],
      ...this.#usesTanh ? [tanhCode(this.#prefix)] : [],
    ];
  }

  /**
   * All words: the header, then the buffers on the host that it points to; for
   * those on a device it has the word of their binding.
   */
  data(): Uint32Array {
    const buffers = [...this.#buffers].flatMap(([{ data, type }, at]) =>
      isOnDevice(data) ? [] : [{ data, type, at }]
    );
    const total = buffers.reduce(
      (words, buffer) => words + wordsOf(buffer),
      this.#header.length,
    );
    const data = new Uint32Array(total);
    data.set(this.#header);
    let offset = this.#header.length;
    for (const buffer of buffers) {
      data[buffer.at - this.#base] = this.#base + offset;
      writeBuffer(buffer, data.subarray(offset));
      offset += wordsOf(buffer);
    }
    return data;
  }

  #place(buffer: CapturedBuffer): number {
    let at = this.#buffers.get(buffer);
    if (at === undefined) {
      const { data, shape, name } = buffer;
      const word = isOnDevice(data) ? this.#devices.place(data, name).word : 0;
      at = this.#reserve([word, ...shape]);
      this.#buffers.set(buffer, at);
    }
    return at;
  }

  #reserve(words: readonly number[]): number {
    const at = this.#base + this.#header.length;
    this.#header.push(...words);
    return at;
  }
}

function bitsOf({ type, value }: LiteralNode): number {
  return type === "f32"
    ? new Uint32Array(Float32Array.of(value).buffer)[0]
    : value >>> 0;
}

/** Elements that go into the words. */
interface HostElements {
  readonly data: CapturedData;
  readonly type: CapturedBuffer["type"];
}

function wordsOf({ data, type }: HostElements): number {
  return type === "bool" ? Math.ceil(data.length / 32) : data.length;
}

function writeBuffer({ data, type }: HostElements, to: Uint32Array): void {
  if (type === "bool") {
    for (let i = 0; i < data.length; i++) {
      if (data[i] !== 0) to[i >>> 5] |= 1 << (i & 31);
    }
  } else {
    to.set(new Uint32Array(data.buffer, data.byteOffset, data.length));
  }
}

/** The flat index of an element, each index clamped to its dimension. */
function indexCode(prefix: string, rank: number): string {
  const axes = [...Array(rank).keys()];
  const parameters = axes.map((axis) => `, i${axis}: i32`).join("");
  const lines = axes.map((axis) => {
    const size = axis === 0 ? "captures[sizes]" : `captures[sizes + ${axis}u]`;
    const index = `u32(clamp(i${axis}, 0i, i32(${size}) - 1i))`;
    return axis === 0
      ? `  var flat = ${index};`
      : `  flat = flat * ${size} + ${index};`;
  });
  return `fn ${prefix}_index${rank}(sizes: u32${parameters}) -> u32 {
${lines.join("\n")}
  return flat;
}`;
}

function bitCode(prefix: string): string {
  return `fn ${prefix}_bit(start: u32, flat: u32) -> bool {
  return ((captures[start + (flat >> 5u)] >> (flat & 31u)) & 1u) == 1u;
}`;
}

/**
 * The built-in may overflow for large arguments and is allowed an absolute
 * error of 1e-5; this one never overflows and keeps its relative accuracy
 * down to 0, where scores under a soft cap live.
 */
function tanhCode(prefix: string): string {
  return `fn ${prefix}_tanh(x: f32) -> f32 {
  let a = min(abs(x), 15.0);
  let s = a * a;
  let series = a + a * s * (-0.33333334 + s * (0.13333334
    + s * (-0.053968254 + s * 0.021869488)));
  let quotient = 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
  let magnitude = select(quotient, series, a < 0.25);
  return select(magnitude, -magnitude, x < 0.0);
}`;
}
