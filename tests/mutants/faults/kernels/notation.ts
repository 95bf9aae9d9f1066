/**
 * One-line faults in what kernels are written in: notation, fragments, records.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../../fault.ts";

const NOTATION = ["kernels/wgsl"];
const FRAGMENTS = ["kernels/fragment"];
const RECORDS = ["kernels/record"];

/** Every fault listed for it. */
export const NOTATION_FAULTS: readonly SourceFault[] = [
  ...faultsIn("expand", NOTATION, [
    [
      "a condition is taken the other way round",
      "condition[1] === undefined",
      "condition[1] !== undefined",
    ],
    [
      "what repeats has no names but its own",
      "{ ...scope, [each[1]]: item }",
      "{ [each[1]]: item }",
    ],
    [
      "an @end of nothing is passed over",
      'if (!each && !condition) fault(line, "it opens no block");',
      "if (!each && !condition) continue;",
    ],
    [
      "@else is never taken",
      "taken ? block.body : block.otherwise",
      "taken ? block.body : []",
    ],
    [
      "any value is a condition",
      'typeof value !== "boolean"',
      "false",
    ],
  ]),
  ...faultsIn("blockFrom", NOTATION, [
    [
      "a block ends at the first @end",
      "if (EACH.test(lines[at]) || IF.test(lines[at])) depth++;",
      "depth ||= 1;",
    ],
    [
      "an @else within is the block's",
      'lines[at] === "@else" && depth === 1',
      'lines[at] === "@else"',
    ],
  ]),
  ...faultsIn("itemsOf", NOTATION, [
    [
      "counts begin at 1",
      "[...Array(value).keys()]",
      "[...Array(value).keys()].map((n) => n + 1)",
    ],
    [
      "a fraction is a count",
      "Number.isInteger(value) && value >= 0",
      "value >= 0",
    ],
    [
      "a negative number is a count",
      "Number.isInteger(value) && value >= 0",
      "Number.isInteger(value)",
    ],
    ["text is a list of letters", 'typeof value !== "object"', "false"],
  ]),
  ...faultsIn("substitute", NOTATION, [
    [
      "no text leaves a blank line",
      'text === "" ? [] : text.split("\\n")',
      'text.split("\\n")',
    ],
  ]),
  ...faultsIn("valueOf", NOTATION, [
    [
      "what every object has is a name",
      "Object.hasOwn(scope, name) ? scope[name] : undefined",
      "scope[name]",
    ],
  ]),
  ...faultsIn("textOf", NOTATION, [
    ["a fraction is text", "&& Number.isInteger(value)", ""],
  ]),
  ...faultsIn("indent", NOTATION, [
    [
      "what closes stands with what it closes",
      "Math.max(0, depth - leading)",
      "depth",
    ],
  ]),
  ...faultsIn("declareUniforms", [...NOTATION, ...FRAGMENTS], [
    ["nothing is padded", "lines.length % 4 !== 0", "false"],
    ["padding is to 8 bytes", "lines.length % 4 !== 0", "lines.length % 2"],
  ]),
  ...faultsIn("kernelOf", FRAGMENTS, [
    [
      "what a fragment needs is left out",
      "fragments.flatMap(withNeeds)",
      "fragments",
    ],
    [
      "bindings may disagree",
      "bindings.get(binding.name) ?? binding",
      "binding",
    ],
    [
      "uniforms may disagree",
      "uniforms[name] ?? type",
      "type",
    ],
    [
      "params are there without a field",
      "Object.keys(uniforms).length > 0",
      "true",
    ],
    [
      "f16 needs no feature",
      'features: half ? ["shader-f16"] : []',
      "features: []",
    ],
    [
      "f16 is not enabled",
      'half ? "enable f16;" : ""',
      '""',
    ],
    [
      "code is told apart by its blank lines",
      "fragment.code.trim()",
      "fragment.code",
    ],
  ]),
  ...faultsIn("withNeeds", FRAGMENTS, [
    [
      "what is needed comes behind",
      "[...(fragment.needs ?? []).flatMap(withNeeds), fragment]",
      "[fragment, ...(fragment.needs ?? []).flatMap(withNeeds)]",
    ],
    [
      "only what is needed at once comes along",
      "(fragment.needs ?? []).flatMap(withNeeds)",
      "(fragment.needs ?? [])",
    ],
  ]),
  ...faultsIn("WordRecord", RECORDS, [
    [
      "values stand in the order in which they are given",
      "packed[i] = values[field]",
      "packed[i] = Object.values(values)[i]",
    ],
    [
      "a record has no room behind its fields",
      "new Array<number>(this.words)",
      "new Array<number>(0)",
    ],
    [
      "signed fields are read unsigned",
      'type === "u32" ? `${from}[at + ${i}],` : `i32(${from}[at + ${i}]),`',
      "`${from}[at + ${i}],`",
    ],
    [
      "the reader is one word off",
      'type === "u32" ? `${from}[at + ${i}],`',
      'type === "u32" ? `${from}[at + ${i + 1}],`',
    ],
  ]),
];
