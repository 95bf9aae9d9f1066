/**
 * A prefix's dispatches: those that find states, on keys and values of its own.
 * The states that they end with are what the others begin with.
 *
 * @module
 */

import type { Dispatch } from "../../../gpu/mod.ts";
import type { PrefixProblem } from "../options/prefix.ts";
import type { LinearProblem } from "../options/problem.ts";

/** The problem of the prefix alone, whose states are scratch. */
export function encoderProblem(
  problem: LinearProblem,
  { key, value, lengths }: PrefixProblem,
): LinearProblem {
  return {
    ...problem,
    tokens: lengths.reduce((sum, length) => sum + length, 0),
    strides: { ...problem.strides, key, value },
    sequences: problem.sequences.map(({ initial }, i) => ({
      batch: i,
      token: 0,
      count: lengths[i],
      initial,
      final: i,
    })),
    states: { initial: problem.states.initial, final: true },
    // Outputs are what going token by token is for.
    form: "chunked",
    prefix: undefined,
  };
}

/** The problem after a prefix: its sequences begin with the prefix's states. */
export function decoderProblem(problem: LinearProblem): LinearProblem {
  return {
    ...problem,
    sequences: problem.sequences.map((own, i) => ({ ...own, initial: i })),
    states: { initial: true, final: problem.states.final },
    prefix: undefined,
  };
}

/** What the encoder's dispatches call what they read and write. */
export function encoderNames(
  { states }: LinearProblem,
): Record<string, string> {
  return {
    schedule: "prefix_schedule",
    key: "prefix_key",
    value: "prefix_value",
    states: "prefix_states",
    kept_states: "prefix_kept_states",
    ...states.slots !== undefined && { initial_state: "state_pool" },
    final_state: "encoder_states",
  };
}

/** What the dispatches after it do. */
export function decoderNames(
  { states }: LinearProblem,
): Record<string, string> {
  return {
    initial_state: "encoder_states",
    ...states.slots !== undefined && { final_state: "state_pool" },
  };
}

/** A dispatch whose resources go by other names, of those that it has. */
export function renamed<D extends Dispatch>(
  dispatch: D,
  names: Readonly<Record<string, string>>,
): D {
  const { source, aliases = {} } = dispatch;
  const renamed = source.bindings.flatMap(({ name }) => {
    const resource = aliases[name] ?? name;
    const other = names[resource] ?? resource;
    return other === name ? [] : [[name, other]];
  });
  return { ...dispatch, aliases: Object.fromEntries(renamed) };
}
