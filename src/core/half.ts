/**
 * Numbers of 16 bits, for runtimes without `Float16Array` and for checkpoints
 * in bfloat16.
 *
 * @module
 */

const word = new DataView(new ArrayBuffer(8));

/** The number that the bits of a bfloat16 are: the upper half of a float32's. */
export function fromBfloat16(bits: number): number {
  word.setUint32(0, bits << 16);
  return word.getFloat32(0);
}

/** The number that the bits of a float16 are. */
export function fromFloat16(bits: number): number {
  const exponent = bits >> 10 & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** The numbers that bits are, in float32, which holds each of them. */
export function widenBits(
  bits: Uint16Array,
  dtype: "bf16" | "f16",
): Float32Array {
  if (dtype === "f16") return Float32Array.from(bits, fromFloat16);
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
  return new Float32Array(words.buffer);
}

/** The bits of the float16 nearest to a number; of two, the even one. */
export function toFloat16(x: number): number {
  if (Number.isNaN(x)) return 0x7e00;
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(x);
  // Halfway from the largest float16, 65504, to what would come after it.
  if (magnitude >= 65520) return sign | 0x7c00;
  word.setFloat64(0, magnitude);
  const exponent = Math.max((word.getUint32(0) >>> 20) - 1023, -14);
  // Exact, as it scales by a power of two: units of the last place.
  const units = roundToEven(magnitude * 2 ** (10 - exponent));
  // Where it rounds up to the next power of two, the carry does what is right.
  return sign | (exponent + 14) * 1024 + units;
}

/** Rounds a number to the nearest float16, as `Math.f16round` does. */
export function roundToFloat16(x: number): number {
  return fromFloat16(toFloat16(x));
}

function roundToEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
