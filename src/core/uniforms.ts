/**
 * Uniforms: a table of named fields, and the bytes of their values.
 *
 * @module
 */

/**
 * A uniform struct's fields, in order: name to WGSL scalar type.
 *
 * @category Kernels
 */
export type UniformFields = Readonly<Record<string, "u32" | "i32" | "f32">>;

/** A value for each field. */
export type UniformValues<F extends UniformFields = UniformFields> = {
  readonly [K in keyof F]: number;
};

/** How long a uniform struct is, in bytes: whole vec4s. */
export function uniformsSize(fields: UniformFields): number {
  return Math.ceil(Object.keys(fields).length / 4) * 16;
}

/**
 * The bytes of a uniform struct. Values of other fields are not looked at: one
 * record of values can serve several kernels.
 *
 * @throws {RangeError} if a value is missing or does not fit its field's type
 */
export function packUniforms<F extends UniformFields>(
  fields: F,
  values: UniformValues<F>,
): ArrayBuffer {
  const names = Object.keys(fields);
  const view = new DataView(new ArrayBuffer(uniformsSize(fields)));
  names.forEach((name, i) => {
    const value = values[name];
    const type = fields[name];
    const fits = type === "f32"
      ? Number.isFinite(value)
      : type === "u32"
      ? value === value >>> 0
      : value === (value | 0);
    if (!fits) {
      throw new RangeError(
        `Uniform ${name} must fit ${type}: current value is ${value}`,
      );
    }
    if (type === "f32") view.setFloat32(4 * i, value, true);
    else if (type === "u32") view.setUint32(4 * i, value, true);
    else view.setInt32(4 * i, value, true);
  });
  return view.buffer;
}
