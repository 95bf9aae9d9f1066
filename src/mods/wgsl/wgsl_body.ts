/**
 * One expression as WGSL: the statements it needs, and its value.
 *
 * @module
 */

import type { CaptureTable } from "../captures/capture_table.ts";
import {
  type BinaryNode,
  type Comparison,
  evaluationOrder,
  type ExpressionNode,
  operandsOf,
  type UnaryNode,
} from "../nodes.ts";
import { boundName } from "../rows.ts";

/** Where an expression is emitted. */
export interface BodyOptions {
  /** Collects literals, captures and helper functions. */
  readonly table: CaptureTable;
  /** The name of the score so far. */
  readonly score: string;
  /** The number of the first `let` that is made. */
  readonly firstLet: number;
}

/** An expression in WGSL. */
export interface Body {
  /** Declarations of shared subexpressions, each a line. */
  readonly statements: readonly string[];
  /** The expression's value, in terms of them. */
  readonly value: string;
}

/** Text in operators this deep is given a name: shader compilers recurse. */
const MAX_DEPTH = 16;

const OPERATORS: Record<string, string> = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  rem: "%",
  xor: "^",
  and: "&&",
  or: "||",
};

const COMPARISONS: Record<Comparison, string> = {
  lt: "<",
  le: "<=",
  gt: ">",
  ge: ">=",
  eq: "==",
  ne: "!=",
};

/** Emits `root`; what is used more than once is computed once. */
export function emitBody(root: ExpressionNode, options: BodyOptions): Body {
  const order = evaluationOrder(root);
  const uses = countUses(order);
  const texts = new Map<ExpressionNode, string>();
  const depths = new Map<ExpressionNode, number>();
  const statements: string[] = [];
  for (const node of order) {
    const operands = operandsOf(node);
    const text = nodeText(node, operands.map((o) => texts.get(o)!), options);
    const depth = 1 + Math.max(0, ...operands.map((o) => depths.get(o)!));
    const shared = uses.get(node)! > 1 && !isName(node);
    if (shared || depth > MAX_DEPTH) {
      const name = `v${options.firstLet + statements.length}`;
      statements.push(`  let ${name} = ${text};`);
      texts.set(node, name);
      depths.set(node, 0);
    } else {
      texts.set(node, text);
      depths.set(node, depth);
    }
  }
  return { statements, value: texts.get(root)! };
}

function isName(node: ExpressionNode): boolean {
  return node.kind === "variable" ||
    (node.kind === "literal" && node.type === "bool");
}

function countUses(
  order: readonly ExpressionNode[],
): Map<ExpressionNode, number> {
  const uses = new Map(order.map((node) => [node, 0]));
  for (const node of order) {
    for (const operand of operandsOf(node)) {
      uses.set(operand, uses.get(operand)! + 1);
    }
  }
  return uses;
}

function nodeText(
  node: ExpressionNode,
  operands: readonly string[],
  { table, score }: BodyOptions,
): string {
  switch (node.kind) {
    case "literal":
      return table.literal(node);
    case "variable": {
      const name = boundName(node.name);
      return name === "score" ? score : name;
    }
    case "unary":
      return unaryText(node, operands[0], table);
    case "binary":
      return binaryText(node, operands);
    case "compare":
      return `(${operands[0]} ${COMPARISONS[node.operation]} ${operands[1]})`;
    case "select":
      return `select(${operands[2]}, ${operands[1]}, ${operands[0]})`;
    case "load":
      return table.load(node, operands);
  }
}

function unaryText(
  node: UnaryNode,
  operand: string,
  table: CaptureTable,
): string {
  switch (node.operation) {
    case "neg":
      return `(-(${operand}))`;
    case "not":
      return `(!${operand})`;
    case "toFloat":
      return `f32(${operand})`;
    case "tanh":
      return `${table.tanh()}(${operand})`;
    default:
      return `${node.operation}(${operand})`;
  }
}

function binaryText(node: BinaryNode, operands: readonly string[]): string {
  if (node.operation === "shr") {
    const [bits, by] = operands.map((text) => `bitcast<u32>(${text})`);
    return `bitcast<i32>(${bits} >> (${by} & 31u))`;
  }
  const operator = OPERATORS[node.operation];
  return operator === undefined
    ? `${node.operation}(${operands[0]}, ${operands[1]})`
    : `(${operands[0]} ${operator} ${operands[1]})`;
}
