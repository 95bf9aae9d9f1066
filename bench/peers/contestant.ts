/**
 * What takes part in the comparison: Quire, and each peer behind an adapter of
 * the same form.
 *
 * @module
 */

import type { PeerCase, PeerInputs } from "./cases.ts";

/** A library that computes attention on the adapter. */
export interface Contestant {
  /** Its name, and which of its ways is taken. */
  readonly name: string;
  /** Its version. */
  readonly version: string;
  /** Why it cannot take a case, or `undefined` where it can. */
  whyNot(peerCase: PeerCase): string | undefined;
  /** Uploads a case's inputs and compiles what it needs. */
  prepare(peerCase: PeerCase, inputs: PeerInputs): Promise<Prepared>;
}

/** A case that is ready to run, with inputs and outputs on the device. */
export interface Prepared {
  /** Issues one call. Does not wait for the device. */
  call(): void | Promise<void>;
  /** Waits until all issued calls are done. */
  wait(): Promise<void>;
  /**
   * What the last call gave, `[tokens, heads, headDim]` each: the output, or the
   * gradients of queries, keys and values.
   */
  results(): Promise<readonly ArrayLike<number>[]>;
  /** Frees what it holds. */
  destroy(): void | Promise<void>;
}

/**
 * Imports a package of `deno.json` beside this file. The specifier is not a
 * literal, so that type-checking the repository downloads no peer.
 */
export async function importPeer<T>(specifier: string): Promise<T> {
  return await import(specifier);
}
