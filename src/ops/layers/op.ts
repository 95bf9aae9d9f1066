/**
 * What an op of a layer is: options in; tensors, and parts for a program, out.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { type ElementType, elementTypeOf } from "../../core/dtype.ts";
import { checkOptions, type OptionHints } from "../../core/options.ts";
import { checkShape } from "../../gpu/host_tensor.ts";
import { GpuTensor, type ProgramParts } from "../../gpu/mod.ts";
import { type AnyTensor, describeTensor } from "../tensors.ts";

/**
 * An element type and a shape.
 *
 * @category Layers
 */
export interface LayerTensor {
  /** The type of its elements. */
  readonly dtype: ElementType;
  /** Lengths of its dimensions, outermost first. */
  readonly shape: readonly number[];
}

/**
 * What every backward op takes beside its forward's options.
 *
 * @category Layers
 */
export interface LayerBackwardOptions<Gradients extends string> {
  /** The loss's derivative by the output: like it. A plan needs none. */
  readonly outputGradient?: AnyTensor | undefined;
  /**
   * Gradients that a plan adds to what is there, instead of replacing it: those
   * of what is used several times.
   */
  readonly accumulate?: readonly Gradients[] | undefined;
}

/** What options of an op come to. */
export interface LayerWork {
  /** What is read, by name. */
  readonly read: Readonly<Record<string, LayerTensor>>;
  /** What is written, by name. */
  readonly written: Readonly<Record<string, LayerTensor>>;
  /** What is written and may be the very tensor that another name reads. */
  readonly replaces?: Readonly<Record<string, string>>;
  /** The dispatches; bindings have the names of tensors, in snake case. */
  parts(limits: GPUSupportedLimits): ProgramParts;
}

/** An op. */
export interface LayerOp<Options> {
  /** Its name. */
  readonly name: string;
  /** The names of its options. */
  readonly options: readonly string[];
  /** What names of others are here. */
  readonly hints?: OptionHints;
  /** Its work; every given tensor is held against it afterwards. */
  work(options: Options): LayerWork;
}

/**
 * The work that options of an op come to.
 *
 * @throws {TypeError} for unknown options, and tensors of another dtype or shape
 * @throws {RangeError} for values out of range
 */
export function workOf<Options extends object>(
  op: LayerOp<Options>,
  options: Options,
): LayerWork {
  const { options: known, hints = {} } = op;
  checkOptions(`${op.name}()`, options, { known, hints });
  const work = op.work(options);
  for (const [name, { dtype, shape }] of Object.entries(work.read)) {
    const given = (options as Record<string, unknown>)[name];
    if (given === undefined) continue;
    const own = describeAny(name, given);
    checkType(
      own.dtype === dtype,
      `${name}.dtype`,
      `must be ${dtype}`,
      own.dtype,
    );
    checkType(
      own.shape.join() === shape.join(),
      `${name}.shape`,
      `must be [${shape.join(", ")}]`,
      own.shape,
    );
  }
  return work;
}

/** Element type and shape of a tensor that may hold integers. */
function describeAny(name: string, tensor: unknown): LayerTensor {
  if (tensor instanceof GpuTensor) {
    void tensor.buffer; // Throws where it is destroyed.
    return tensor;
  }
  const { data, dtype, shape } = Object(tensor) as Partial<LayerTensor> & {
    data?: unknown;
  };
  const type = data === undefined ? dtype : elementTypeOf(data);
  if (type !== "u32") return describeTensor(name, tensor);
  const size = checkShape(name, shape!);
  const { length } = Object(data ?? { length: size }) as Uint32Array;
  checkType(
    length === size,
    `${name}.data.length`,
    `must be ${size}, the product of shape [${shape!.join(", ")}]`,
    length,
  );
  return { dtype: type, shape: shape! };
}

/** Dtype and shape of a tensor with a last dimension of one element or more. */
export function describeRows(
  name: string,
  tensor: unknown,
): {
  readonly dtype: "f32" | "f16";
  readonly shape: readonly number[];
  /** How many rows there are. */
  readonly rows: number;
  /** Elements of a row. */
  readonly width: number;
} {
  checkType(tensor !== undefined, name, "must be given", tensor);
  const { dtype, shape } = describeTensor(name, tensor);
  const width = shape.at(-1) ?? 0;
  checkType(
    width > 0,
    `${name}.shape`,
    "must have a last dimension, of at least one element",
    shape,
  );
  const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
  return { dtype, shape, rows, width };
}

/**
 * Which gradients are added to what is there: a uniform for each that is
 * written.
 *
 * @throws {TypeError} if it is no list of names of gradients
 */
export function accumulates(
  accumulate: readonly string[] | undefined,
  written: readonly string[],
): Record<string, number> {
  checkType(
    accumulate === undefined || Array.isArray(accumulate),
    "accumulate",
    `must be a list of ${written.join(", ")}`,
    accumulate,
  );
  (accumulate ?? []).forEach((name, i) =>
    checkType(
      written.includes(name),
      `accumulate[${i}]`,
      `must be one of ${written.join(", ")}`,
      name,
    )
  );
  return Object.fromEntries(written.map((name) => [
    `accumulate_${bindingName(name)}`,
    accumulate?.includes(name) ? 1 : 0,
  ]));
}

/** `inputGradient` as bindings have it: `input_gradient`. */
export function bindingName(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
