/**
 * The WGSL reading with gradients: what `./wgsl.ts` emits, and the derivatives
 * that backward kernels call.
 *
 * @module
 */

import {
  type CaptureTerm,
  captureTerms,
} from "../derivative/capture_derivative.ts";
import type { CaptureTable } from "../captures/capture_table.ts";
import { scoreDerivativeNode } from "../derivative/derivative.ts";
import type { ExpressionNode } from "../nodes.ts";
import { isLiteral } from "../derivative/simplify.ts";
import {
  emitForward,
  type EmitOptions,
  type EmittedMods,
  type GradientCode,
  POSITION,
} from "./wgsl.ts";
import { emitBody } from "./wgsl_body.ts";

/**
 * Emits score and mask mods as WGSL functions.
 *
 * The source of a derivative depends on a mod's structure, and on which of its
 * constants are 0, 1 and -1, by which it is simplified.
 *
 * @throws {TypeError} If `prefix` is not an identifier, a mod reads the query's
 * row and is not bound (see {@linkcode bindRows}), or the derivative is asked
 * for and an operation has none.
 * @throws {RangeError} If `base` is not a word's index.
 *
 * @example The WGSL of a mask
 * ```ts
 * import { emitMods, maskMod } from "@quire/attention/mods";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const later = maskMod("later", ({ query, key }) => key.le(query));
 * const { code, data } = emitMods({ scoreMods: [], maskMods: [later] });
 * assert(code.includes("fn mod_mask("));
 * assertEquals(data.length, 0);
 * ```
 *
 * @category Readings
 */
export function emitMods(options: EmitOptions): EmittedMods {
  return emitForward(
    options,
    (prefix, table) => gradientCode(options, prefix, table),
  );
}

function gradientCode(
  { scoreMods, derivative, captureGradients = [] }: EmitOptions,
  prefix: string,
  table: CaptureTable,
): GradientCode {
  const slope = derivative ? scoreDerivativeNode(scoreMods) : undefined;
  const code = slope ? [derivativeCode(slope, prefix, table)] : [];
  const terms = captureGradients.map((captured, g) =>
    captureTerms(scoreMods, captured, `captureGradients[${g}]`)
  );
  const places = terms.flatMap((own, g) =>
    own.flatMap((term, t) => termCode(term, { prefix, table, id: `${g}_${t}` }))
  );
  return {
    code: [...code, ...places],
    hasDerivative: slope !== undefined && !isLiteral(slope, 1),
    captureTerms: terms.map((own) => own.length),
  };
}

function derivativeCode(
  slope: ExpressionNode,
  prefix: string,
  table: CaptureTable,
): string {
  const body = isLiteral(slope, 1)
    ? { statements: [], value: "1.0" }
    : emitBody(slope, { table, score: "score", firstLet: 0 });
  return [
    `fn ${prefix}_score_derivative(score: f32, ${POSITION}) -> f32 {`,
    ...body.statements,
    `  return ${body.value};`,
    "}",
  ].join("\n");
}

/** Which element a term reads, and the slope by it. */
function termCode(
  { buffer, indices, slope }: CaptureTerm,
  { prefix, table, id }: {
    readonly prefix: string;
    readonly table: CaptureTable;
    readonly id: string;
  },
): string[] {
  const parameters = `score: f32, ${POSITION}`;
  const statements: string[] = [];
  const values = indices.map((index) => {
    const firstLet = statements.length;
    const body = emitBody(index, { table, score: "score", firstLet });
    statements.push(...body.statements);
    return body.value;
  });
  const own = emitBody(slope, { table, score: "score", firstLet: 0 });
  return [
    [
      `fn ${prefix}_capture_place_${id}(${parameters}) -> u32 {`,
      ...statements,
      `  return ${table.index(buffer, values)};`,
      "}",
    ].join("\n"),
    [
      `fn ${prefix}_capture_slope_${id}(${parameters}) -> f32 {`,
      ...own.statements,
      `  return ${own.value};`,
      "}",
    ].join("\n"),
  ];
}
