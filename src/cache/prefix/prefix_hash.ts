/**
 * Hashes of prefixes: one block's tokens chained to what came before it, under
 * a domain that keeps tenants and adapters apart.
 *
 * @module
 */

import { checkFinite, checkInteger, checkType } from "../../core/check.ts";

/**
 * A value that keeps prefixes apart: two are equal by type and content.
 *
 * @category Cache
 */
export type DomainValue = string | number | Uint8Array;

/**
 * What besides tokens decides what a cached block holds. Prefixes of different
 * domains never match.
 *
 * @category Cache
 */
export interface PrefixDomain {
  /** Known only to those who may share, for example a tenant's secret. */
  readonly salt?: DomainValue;
  /** The layer group, where groups of layers are cached apart. Defaults to 0. */
  readonly group?: number;
  /** What else the keys and values depend on: an adapter's id, an image's. */
  readonly keys?: Readonly<Record<string, DomainValue>>;
}

/**
 * Hashes the tokens of a block with the hash of the prefix before it.
 *
 * It may collide: tokens are compared on every hit. It must depend on nothing
 * but its arguments, and give a number that is not NaN.
 *
 * @param parent The hash of the prefix before the block, or -1 where `words`
 * encode a domain.
 * @param words Token ids, or the character codes of a domain.
 *
 * @category Cache
 */
export type ChainHash = (parent: number, words: readonly number[]) => number;

/** The `parent` with which a domain is hashed; no {@linkcode chainHash} is -1. */
export const DOMAIN_PARENT = -1;

/** Scrambles 32 bits so that each of them depends on all. */
function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return h ^ (h >>> 16);
}

/**
 * The default {@linkcode ChainHash}: two 32-bit lanes over the same words, of
 * which 53 bits are kept, as many as a number holds exactly.
 */
export function chainHash(parent: number, words: readonly number[]): number {
  const high = Math.floor(parent / 2 ** 32);
  let a = mix((parent >>> 0) ^ 0x9e3779b9);
  let b = mix((high >>> 0) ^ 0x85ebca6b);
  for (const word of words) {
    a = mix(a ^ word) + 0x9e3779b9 | 0;
    b = mix(b + Math.imul(word, 0xc2b2ae35) | 0) ^ a;
  }
  a = mix(a ^ words.length);
  b = mix(b + a | 0);
  return (a & 0x1fffff) * 2 ** 32 + (b >>> 0);
}

function encodeValue(name: string, value: unknown): string {
  if (typeof value === "string") return `s${value.length}:${value}`;
  if (typeof value === "number") {
    checkFinite(name, value);
    return `n${value};`;
  }
  checkType(
    value instanceof Uint8Array,
    name,
    "must be a string, a number or a Uint8Array",
    value,
  );
  return `b${value.length}:${value.join()}`;
}

/**
 * Writes a domain as a string that no other domain has: each part with its
 * type and its length, keys in order of their names.
 *
 * @throws {TypeError} if a salt or key is not a string, number or `Uint8Array`.
 * @throws {RangeError} if a number is not finite.
 */
export function encodeDomain(domain: PrefixDomain = {}): string {
  checkType(
    typeof domain === "object" && domain !== null,
    "domain",
    "must be an object",
    domain,
  );
  const { salt, group = 0, keys = {} } = domain;
  checkInteger("group", group, 0);
  checkType(
    typeof keys === "object" && keys !== null,
    "keys",
    "must be an object",
    keys,
  );
  let text = `${group}${salt === undefined ? "-" : encodeValue("salt", salt)}`;
  for (const name of Object.keys(keys).sort()) {
    text += encodeValue("name", name);
    text += encodeValue(`keys.${name}`, keys[name]);
  }
  return text;
}
