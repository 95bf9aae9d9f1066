/**
 * S2-Attention.
 *
 * @module
 */

export type { S2Coverage, S2Heads } from "./heads.ts";
export type { S2Band, S2Options } from "./options.ts";
export { s2, S2Policy } from "./s2.ts";
