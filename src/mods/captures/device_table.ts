/**
 * Captured data on a device: which bindings it is read from, and the WGSL that
 * reads it. Elements of fewer than 32 bits are taken out of words, so that no
 * kernel needs a feature for them; floats that are not finite never become
 * floats, as WGSL may assume that there are none.
 *
 * @module
 */

import type { CapturedTensor, DeviceData } from "../nodes.ts";

/**
 * A tensor that emitted mods read, and from where.
 *
 * @category Readings
 */
export interface TensorBinding {
  /** The binding: `array<u32>`, read. */
  readonly binding: string;
  /** The tensor. */
  readonly tensor: CapturedTensor;
  /** What its captures are called; several where it is captured again. */
  readonly names: readonly string[];
  /** The word of the binding at which it begins. */
  readonly word: number;
}

/**
 * Whether each tensor has a binding of its own, or all have one together.
 *
 * @category Readings
 */
export type TensorPlacement = "bound" | "gathered";

/** What tensors are placed at multiples of, in words, where gathered. */
const ALIGNMENT = 4;

/** Gives tensors their bindings. */
export class DeviceTable {
  readonly #prefix: string;
  readonly #placement: TensorPlacement;
  readonly #tensors = new Map<CapturedTensor, TensorBinding>();
  readonly #helpers = new Map<string, string>();
  #words = 0;

  /** A table without tensors. */
  constructor(prefix: string, placement: TensorPlacement) {
    this.#prefix = prefix;
    this.#placement = placement;
  }

  /** The tensors, in the order of their first use. */
  get tensors(): readonly TensorBinding[] {
    return [...this.#tensors.values()];
  }

  /** The functions that {@linkcode DeviceTable.load} calls. */
  get helpers(): readonly string[] {
    return [...this.#helpers.values()];
  }

  /** Gives a tensor its place; `name` is for people. */
  place({ tensor }: DeviceData, name: string): TensorBinding {
    const held = this.#tensors.get(tensor);
    if (held?.names.includes(name)) return held;
    const placed = held === undefined
      ? this.#next(tensor, name)
      : { ...held, names: [...held.names, name] };
    this.#tensors.set(tensor, placed);
    return placed;
  }

  /** The WGSL of an element, given where the tensor begins and which it is. */
  load({ tensor, as }: DeviceData, start: string, flat: string): string {
    const { dtype } = tensor;
    const { binding } = this.#tensors.get(tensor)!;
    const bits = this.#bits(binding, WIDTHS[dtype]);
    const element = `${bits}(${start}, ${flat})`;
    if (as === "int") return `bitcast<i32>(${element})`;
    if (as === "bool") return `(${element} != 0u)`;
    const exponent = dtype === "f16" ? "0x7c00u" : "0x7f800000u";
    return `${this.#float(as, dtype, exponent)}(${element})`;
  }

  #next(tensor: CapturedTensor, name: string): TensorBinding {
    const own = this.#placement === "bound";
    const word = own ? 0 : this.#words;
    const words = Math.ceil(tensor.size / (32 / WIDTHS[tensor.dtype]));
    this.#words += Math.ceil(words / ALIGNMENT) * ALIGNMENT;
    const binding = own ? `captured_${this.#tensors.size}` : "captured";
    return { binding, tensor, names: [name], word };
  }

  /** The name of the function that reads an element's bits. */
  #bits(binding: string, width: number): string {
    const name = `${this.#prefix}_${binding}_${width}`;
    const shift = Math.log2(32 / width);
    const mask = `0x${(2 ** width - 1).toString(16)}u`;
    const read = width === 32
      ? `${binding}[start + flat]`
      : `(${binding}[start + (flat >> ${shift}u)] >> (${width}u * (flat & ${
        2 ** shift - 1
      }u))) & ${mask}`;
    this.#helpers.set(
      name,
      `fn ${name}(start: u32, flat: u32) -> u32 {
  return ${read};
}`,
    );
    return name;
  }

  /** The name of the function that reads a float's bits. */
  #float(as: "float" | "finite", dtype: string, exponent: string): string {
    const name = `${this.#prefix}_${as}_${dtype}`;
    const whole = `(bits & ${exponent}) == ${exponent}`;
    const value = dtype === "f16"
      ? `unpack2x16float(select(bits, 0u, ${whole})).x`
      : `bitcast<f32>(select(bits, 0u, ${whole}))`;
    this.#helpers.set(
      name,
      as === "float"
        ? `fn ${name}(bits: u32) -> f32 {
  return ${value};
}`
        : `fn ${name}(bits: u32) -> bool {
  return !(${whole});
}`,
    );
    return name;
  }
}

/** Bits of an element. */
const WIDTHS: Readonly<Record<CapturedTensor["dtype"], 8 | 16 | 32>> = {
  f32: 32,
  u32: 32,
  i32: 32,
  f16: 16,
  u8: 8,
};
