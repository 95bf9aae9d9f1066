/**
 * The conditions that a function makes while it is traced.
 *
 * @module
 */

import type { ExpressionNode } from "./nodes.ts";

/** Those of the innermost trace that runs now. */
let current: ExpressionNode[] | undefined;

/** Notes a condition, where a trace runs. */
export function noteCondition(node: ExpressionNode): void {
  current?.push(node);
}

/** Runs `trace`; says what it returned and which conditions it made. */
export function collectConditions<Result>(
  trace: () => Result,
): { result: Result; conditions: readonly ExpressionNode[] } {
  const outer = current;
  const conditions: ExpressionNode[] = current = [];
  try {
    return { result: trace(), conditions };
  } finally {
    current = outer;
  }
}
