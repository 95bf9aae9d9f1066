/**
 * One-line faults in gradients' reference, in the symbolic derivative, in
 * gradients by captures, and in dropout.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../fault.ts";

const ORACLE = ["reference/attention_backward"];
const ERRORS = ["reference/backward_error"];
const DERIVATIVE = ["mods/derivative/derivative"];
const CAPTURES = ["reference/capture_gradient"];
const ON_DEVICE = ["ops/attention_backward/capture_gradients"];
const DROPOUT = ["core/dropout"];
const DROPPING = ["kernels/dropout"];

/** Every fault listed for them. */
export const DERIVATIVE_FAULTS: readonly Fault[] = [
  ...faultsIn("reference/attention_backward.ts: attentionBackward", ORACLE, [
    [
      "nothing flows into the oracle's log-sum-exp",
      "mean - (lseGradient?.[row] ?? 0)",
      "mean",
    ],
    [
      "a dropped weight has a value's gradient in the oracle",
      "const kept = weights[n] * keep(j);",
      "const kept = weights[n];",
    ],
    [
      "the oracle forgets the score's slope",
      "const dr = scale * ds * slope;",
      "const dr = scale * ds;",
    ],
    [
      "the oracle's slope is of the modified score",
      "?.(products[n], b, h, position, j) ?? 1",
      "?.(scores[n], b, h, position, j) ?? 1",
    ],
  ]),
  ...faultsIn("reference/shadow_backward.ts: pairOf", ERRORS, [
    [
      "nothing flows into the shadow's log-sum-exp",
      "f32(lseGradient?.[row] ?? 0)",
      "0",
    ],
    [
      "the shadow's products all count, whatever is dropped",
      "f32(kept * product2)",
      "product2",
    ],
  ]),
  ...faultsIn("storedOutputError", ERRORS, [
    [
      "a stored output loses half of what it does",
      "2 ** -11 * Math.sqrt(squares)",
      "2 ** -12 * Math.sqrt(squares)",
    ],
  ]),
  ...faultsIn("Simplifier", DERIVATIVE, [
    [
      "a product loses the sign of its factor",
      "return left && right ? product : this.neg(product);",
      "return product;",
    ],
    [
      "0 - x is x",
      "if (isLiteral(a, 0)) return this.neg(b);",
      "if (isLiteral(a, 0)) return b;",
    ],
    [
      "equal choices stay a choice",
      "if (isSame(whenTrue, whenFalse)) return whenTrue;",
      "",
    ],
  ]),
  ...faultsIn("unarySlope", DERIVATIVE, [
    [
      "the hyperbolic tangent's slope is 1 - t",
      "make.mul(node, node)",
      "node",
    ],
    [
      "a root's slope is twice as steep",
      "make.literal(0.5)",
      "make.literal(1)",
    ],
    [
      "a magnitude has a slope at 0",
      'make.compare("gt", operand, zero)',
      'make.compare("ge", operand, zero)',
    ],
  ]),
  ...faultsIn("binarySlope", DERIVATIVE, [
    [
      "of equals, the smaller is the second",
      'make.compare("le", left, right)',
      'make.compare("lt", left, right)',
    ],
    [
      "a quotient's slope forgets the dividend",
      "make.div(make.mul(node, b), right)",
      "make.div(b, right)",
    ],
  ]),
  ...faultsIn("scoreDerivativeNode", DERIVATIVE, [
    [
      "each mod's slope is at the score of the first",
      "if (index < mods.length - 1) score = replaced[1];",
      "",
    ],
    [
      "the last mod's slope is the list's",
      "product = make.mul(product, replaced[0]);",
      "product = replaced[0];",
    ],
  ]),
  ...faultsIn("captureTerms", CAPTURES, [
    [
      "what is captured early does not go through later mods",
      "slope: make.mul(passed, term.slope)",
      "slope: term.slope",
    ],
  ]),
  ...faultsIn("dropoutBits", DROPOUT, [
    [
      "every batch entry drops the same",
      "[batch, head, query]",
      "[head, query]",
    ],
  ]),
  ...faultsIn("takeIn", DROPOUT, [
    [
      "half of a row's state is the seed's alone",
      "mix(b ^ next)",
      "mix(b)",
    ],
  ]),
  ...faultsIn("dropoutWords", DROPOUT, [
    [
      "a rate just below 1 has a threshold of 2^32",
      "Math.floor(rate * 2 ** 32)",
      "Math.ceil(rate * 2 ** 32)",
    ],
  ]),
  ...faultsIn("seedWords", DROPOUT, [
    [
      "the seed's high bits are its low ones",
      "Number(bits >> 32n)",
      "Number(bits & 0xffffffffn)",
    ],
  ]),
  ...faultsInKernel("attention.forward", DROPPING, [
    [
      "what forward keeps counts no more than before",
      "select(params.dropout_factor, 0.0, dropped)",
      "select(1.0, 0.0, dropped)",
    ],
    [
      "forward drops by the index in the step",
      "drops(dropout_0, key)",
      "drops(dropout_0, i32(j))",
      "all",
    ],
  ]),
  ...faultsInKernel("attention.decode", DROPPING, [
    [
      "decode drops by the index in the step",
      "i32(first_key + i * 4 + j)",
      "i32(i * 4 + j)",
      "all",
    ],
  ]),
  ...faultsInKernel("attention.standard.softmax", DROPPING, [
    [
      "the baseline drops by the lane's first row alone",
      "drops(dropout_1, i32(key))",
      "drops(dropout_0, i32(key))",
      "all",
    ],
  ]),
  ...faultsIn("src/ops/attention/work/shared_prefix.ts: Finder", DROPPING, [
    [
      "queries of a shared prefix drop as its first sequence does",
      "problem.dropout !== undefined ||",
      "",
    ],
  ]),
  ...faultsInKernel("attention.backward.capture_0", ON_DEVICE, [
    [
      "rows past the end give to captures, too",
      "gradient != 0.0 && packed_0 < row_count",
      "gradient != 0.0",
    ],
    [
      "every workgroup has the first table",
      "(group_index * params.kv_heads + group_id.y) * params.elements",
      "group_id.y * params.elements",
    ],
  ]),
  ...faultsInKernel("attention.backward.capture.clear", ON_DEVICE, [
    ["tables begin with what was there", "tables[word] = 0.0;", ""],
  ]),
  ...faultsInKernel("attention.backward.capture.sum", ON_DEVICE, [
    [
      "the last table is left out",
      "i < params.table_count",
      "i + 1u < params.table_count",
    ],
  ]),
  ...faultsIn("capturePasses", ON_DEVICE, [
    [
      "each round begins one tile on",
      "round * together * WORK_TILE.words",
      "round * WORK_TILE.words",
    ],
  ]),
];
