/**
 * One-line faults in the oracle of linear attention: its forms, its gradients, and
 * the systems that are made of it.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../fault.ts";

const PROBLEM = ["reference/linear/problem"];
const RECURRENT = ["reference/linear/recurrent"];
const CHUNKED = ["reference/linear/chunked"];
const SHADOW = ["reference/linear/shadow"];
const BACKWARD = ["reference/linear/backward"];
const FEATURES = ["reference/linear/features"];
const JRT = ["reference/linear/jrt"];
const GLA = ["reference/linear/gla_layer"];

/** Every fault listed for it. */
export const LINEAR_REFERENCE_FAULTS: readonly SourceFault[] = [
  ...faultsIn("reference/linear/problem.ts: linearGeometryOf", PROBLEM, [
    [
      "queries are shared by states in turns",
      "Math.floor(h * queryHeads / outputHeads)",
      "h % queryHeads",
    ],
    [
      "keys are shared by states in turns",
      "Math.floor(s * keyHeads / valueHeads)",
      "s % keyHeads",
    ],
    [
      "states are read by output heads in turns",
      "s * readers + n",
      "n * valueHeads + s",
    ],
    [
      "all value heads have the first one's beta",
      "betaHeads === 1 ? 0 : s",
      "0",
    ],
  ]),
  ...faultsIn("gateIndex", PROBLEM, [
    [
      "all value heads have the first one's constant gates",
      "(_, s, t) => s * headDim + t",
      "(_, __, t) => t",
    ],
  ]),
  ...faultsIn("checkLogGates", PROBLEM, [
    ["log gates may be a little above 0", "decay[n] <= 0", "decay[n] <= 1e-8"],
  ]),
  ...faultsIn("takeToken", RECURRENT, [
    [
      "the residual is of the state before it decays",
      "key[keyAt + t] * state[t * valueHeadDim + c];\n      }",
      "key[keyAt + t] * state[t * valueHeadDim + c] / decays[t];\n      }",
    ],
    [
      "what is written does not depend on beta",
      "update[c] = written * residual[c]",
      "update[c] = residual[c]",
    ],
  ]),
  ...faultsIn("runRecurrence", RECURRENT, [
    [
      "outputs are not scaled",
      "output[outputAt + c] *= scale",
      "output[outputAt + c] *= 1",
    ],
    [
      "the state of the first sequence goes on in all",
      "const stateAt = geometry.stateAt(n, s)",
      "const stateAt = geometry.stateAt(0 * n, s)",
    ],
  ]),
  ...faultsIn("recall", CHUNKED, [
    [
      "pairs have no gate of the first sequence's token",
      "Math.exp(passed[t]);\n    for",
      "Math.exp(passed[0]);\n    for",
    ],
  ]),
  ...faultsIn("scoresOf", CHUNKED, [
    [
      "sub-chunks meet at a gate the wrong way round",
      "between(reference, s, d)",
      "between(s, reference, d)",
    ],
    [
      "pairs of a sub-chunk have the gate of the first channel",
      "round(k[d] * between(t, s, d))",
      "round(k[d] * between(t, s, 0))",
    ],
  ]),
  ...faultsIn("inverseOf", CHUNKED, [
    [
      "the triangular inverse has the later token's beta",
      "betas[s]",
      "betas[t]",
    ],
    ["the triangular inverse leaves its diagonal out", "c <= s", "c < s"],
  ]),
  ...faultsIn("updatesOf", CHUNKED, [
    [
      "the state that a delta rule recalls has not decayed",
      "round(x * exp(run, sums[t][d]))",
      "round(x)",
    ],
  ]),
  ...faultsIn("passOn", CHUNKED, [
    [
      "keys decay from the chunk's first token on",
      "round(end[d] - sums[t][d])",
      "round(end[d] - sums[0][d])",
    ],
  ]),
  ...faultsIn("chunkOf", CHUNKED, [
    [
      "sums of gates go on in the first channel alone",
      "round(sum + Math.max",
      "round((d === 0 ? sum : 0) + Math.max",
    ],
  ]),
  ...faultsIn("FLOAT32", SHADOW, [
    ["gates are cut off where they still count", "-104", "-9"],
  ]),
  ...faultsIn("takeError", SHADOW, [
    [
      "the bound knows no rounding of the sums of gates",
      "1 + Math.abs(gate) + Math.abs(sums[t])",
      "1 + Math.abs(gate)",
    ],
  ]),
  ...faultsIn("linearErrorBound", SHADOW, [
    [
      "the bound is that of float16 for float32, too",
      'stored === "f16"',
      'stored !== "f64"',
    ],
  ]),
  ...faultsIn("giveBack", BACKWARD, [
    [
      "the state's gradient is not scaled",
      "scaled[t] = scale * query[queryAt + t]",
      "scaled[t] = query[queryAt + t]",
    ],
    [
      "a key has no gradient by what it recalls",
      "keyGradient[keyAt + t] -= decayed[at] * dr[c]",
      "keyGradient[keyAt + t] -= 0 * dr[c]",
    ],
    [
      "beta's gradient is by what was written",
      "du[c] * residual[c]",
      "du[c] * update[c]",
    ],
    [
      "a gate's gradient is by the state before it decays",
      "+= decayed[at] * dh[at]",
      "+= before[at] * dh[at]",
    ],
    [
      "the gradient does not decay on its way back",
      "dh[at] *= decays[t]",
      "dh[at] *= 1",
    ],
  ]),
  ...faultsIn("chunkGradients", BACKWARD, [
    [
      "a chunk's beta has the gradient of what the outputs give alone",
      "round(du[t][c] - taken[t][c])",
      "round(du[t][c])",
    ],
    [
      "a gate weighs what its own token writes",
      "return before;",
      "return left;",
    ],
    [
      "keys of a chunk recall their own token",
      "strict: true",
      "strict: false",
    ],
    [
      "the triangular inverse is not transposed",
      "transposed(inverse)",
      "inverse",
    ],
  ]),
  ...faultsIn("streamGradients", BACKWARD, [
    [
      "a chunk's queries give the state they found undecayed",
      "round(exp(run, sums[t][d]) * q[d])",
      "round(q[d])",
    ],
  ]),
  ...faultsIn("changedGates", SHADOW, [
    [
      "the gradients' bound knows no rounding of the sums of gates",
      "1 + Math.abs(gate) + Math.abs(sums[t])",
      "1 + Math.abs(gate)",
    ],
  ]),
  ...faultsIn("linearGradientBound", SHADOW, [
    [
      "the gates' bound knows no terms that cancel",
      'boundOf("decayGradient") + gate * cancelled',
      'boundOf("decayGradient")',
    ],
  ]),
  ...faultsIn("taylorFeatures", FEATURES, [
    [
      "packed squares count twice",
      "features.push(x[i] * x[i] * Math.SQRT1_2);",
      "features.push(x[i] * x[i]);",
    ],
  ]),
  ...faultsIn("taylorProblem", FEATURES, [
    [
      "tokens that do not count weigh as much as a key of 0",
      "features.fill(0)",
      "taylorFeatures(vector.map(() => 0), options)",
    ],
  ]),
  ...faultsIn("weighTokens", JRT, [
    ["padding has weight", "if (padding?.[other]) return;", ""],
    [
      "all sequences have the first one's encoder",
      "n * encoder.count + other",
      "other",
    ],
    ["a token does not see itself", "other <= token", "other < token"],
  ]),
  ...faultsIn("encoderState", JRT, [
    [
      "the encoder's padding has weight",
      "!encoderPadding?.[token]",
      "true",
    ],
  ]),
  ...faultsIn("glaLayerBackward", GLA, [
    [
      "the output gate has its input's gradient",
      'back("outputGate", input, swish.gateGradient)',
      'back("outputGate", input, swish.inputGradient)',
    ],
    [
      "the gradient of the gates' bias is that of what it is added to",
      "gateBias: gateUp.biasGradient",
      "gateBias: gateUp.biasGradient.map((x) => 2 * x)",
    ],
  ]),
  ...faultsIn("activationsOf", GLA, [
    [
      "channels share no gate, and heads the first one's",
      "decay: gate(logGateOf(problem, gateInput))",
      "decay: gate(logGateOf(problem, gateInput.map(() => gateInput[0])))",
    ],
  ]),
];
