/**
 * The WGSL reading: mods as two functions for a kernel to call.
 *
 * Every number and every captured buffer goes into one `u32` array, so that
 * the source depends on a mod's structure alone: masks that differ in their
 * window, or biases of different sizes, share one pipeline.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import type { CapturedFloats } from "../derivative/capture_derivative.ts";
import { CaptureTable } from "../captures/capture_table.ts";
import type {
  TensorBinding,
  TensorPlacement,
} from "../captures/device_table.ts";
import { dependsOn, type VariableName } from "../nodes.ts";
import type { MaskMod, ScoreMod } from "../trace.ts";
import { emitBody } from "./wgsl_body.ts";

/**
 * What `emitMods()` emits.
 *
 * @category Readings
 */
export interface EmitOptions {
  /** Applied in order; the identity when empty. */
  readonly scoreMods: readonly ScoreMod[];
  /** All must hold; true when empty. */
  readonly maskMods: readonly MaskMod[];
  /** What the emitted functions' names begin with; `"mod"` by default. */
  readonly prefix?: string;
  /**
   * The word of `captures` at which the data will be placed; 0 by default.
   * It is written into the source.
   */
  readonly base?: number;
  /** Whether to emit the derivative of the score mods too; not by default. */
  readonly derivative?: boolean;
  /**
   * Captured floats that the derivative is wanted with respect to as well; none
   * by default.
   */
  readonly captureGradients?: readonly CapturedFloats[] | undefined;
  /**
   * Captured tensors on a device: `"bound"` (default), each at a binding of its
   * own, or `"gathered"`, copied one after the other into one.
   */
  readonly tensors?: TensorPlacement;
}

/**
 * The emitted functions and the data that they read.
 *
 * @category Readings
 */
export interface EmittedMods {
  /**
   * Module-scope WGSL: `fn mod_score(score: f32, batch: i32, head: i32,
   * query: i32, key: i32) -> f32` and `fn mod_mask(batch: i32, head: i32,
   * query: i32, key: i32) -> bool`, with `mod` replaced by the prefix. With
   * `derivative` also `fn mod_score_derivative(score: f32, batch: i32,
   * head: i32, query: i32, key: i32) -> f32`: how much the modified score
   * changes with the score that the mods are given.
   */
  readonly code: string;
  /**
   * Literals and, for each captured buffer, its offset and dimensions, in the
   * order of first use; then the buffers (booleans one bit each). If it is not
   * empty, the kernel must declare `var<storage, read> captures: array<u32>`
   * with these words at `base`.
   */
  readonly data: Uint32Array;
  /**
   * Captured tensors on a device, in the order of first use, and from which
   * word of which binding they are read; the kernel must declare each binding
   * as `var<storage, read>` of `array<u32>`.
   */
  readonly tensors: readonly TensorBinding[];
  /** Whether `captures` is read, so must be declared. */
  readonly usesCaptures: boolean;
  /** Whether there are score mods. */
  readonly hasScore: boolean;
  /**
   * Whether the derivative was asked for and may be other than 1; where it is
   * not, it need not be called.
   */
  readonly hasDerivative: boolean;
  /**
   * For each of the options' `captureGradients`, in how many places it is read.
   * Of place `t` of capture `g`, `fn mod_capture_place_g_t(score: f32, batch:
   * i32, head: i32, query: i32, key: i32) -> u32` is the flat index of the
   * element that is read, and `fn mod_capture_slope_g_t(...) -> f32` how much
   * the modified score changes with it.
   */
  readonly captureTerms: readonly number[];
  /** Whether there are mask mods. */
  readonly hasMask: boolean;
  /** Whether any mod depends on the batch index. */
  readonly usesBatch: boolean;
  /** Whether any mod depends on the head. */
  readonly usesHead: boolean;
  /** Whether any mod depends on the query's position. */
  readonly usesQuery: boolean;
  /** Whether any mod depends on the key's position. */
  readonly usesKey: boolean;
}

/** The positions among a function's parameters. */
export const POSITION = "batch: i32, head: i32, query: i32, key: i32";

/** What gradients add to emitted mods. */
export interface GradientCode {
  /** More functions. */
  readonly code: readonly string[];
  /** See {@linkcode EmittedMods.hasDerivative}. */
  readonly hasDerivative: boolean;
  /** See {@linkcode EmittedMods.captureTerms}. */
  readonly captureTerms: readonly number[];
}

/** What forward attention needs of gradients. */
const NO_GRADIENTS: GradientCode = {
  code: [],
  hasDerivative: false,
  captureTerms: [],
};

/**
 * Emits mods as `emitMods()` does, with what the options say of gradients left
 * to who can write it: forward attention then has none of that in its bundle.
 */
export function emitForward(
  options: Omit<EmitOptions, "derivative" | "captureGradients">,
  gradients: (prefix: string, table: CaptureTable) => GradientCode = () =>
    NO_GRADIENTS,
): EmittedMods {
  const { scoreMods, maskMods, prefix = "mod", base = 0, tensors } = options;
  checkType(
    /^[A-Za-z][A-Za-z0-9_]*$/.test(prefix),
    "prefix",
    "must be an identifier",
    prefix,
  );
  checkInteger("base", base, 0, 2 ** 31 - 1);
  const table = new CaptureTable(prefix, base, tensors);
  const score = scoreCode(scoreMods, prefix, table);
  const mask = maskCode(maskMods, prefix, table);
  const { code, hasDerivative, captureTerms } = gradients(prefix, table);
  const data = table.data();
  const uses = (name: VariableName) =>
    [...scoreMods, ...maskMods].some((mod) => dependsOn(mod.expression, name));
  return {
    code: [...table.helpers(), score, mask, ...code].join("\n\n") + "\n",
    data,
    tensors: table.tensors,
    usesCaptures: data.length > 0,
    hasScore: scoreMods.length > 0,
    hasDerivative,
    captureTerms,
    hasMask: maskMods.length > 0,
    usesBatch: uses("batch"),
    usesHead: uses("head"),
    usesQuery: uses("query"),
    usesKey: uses("key"),
  };
}

/** A name made safe for a comment. */
function comment(name: string): string {
  return `  // ${name.replaceAll(/[^\w (),.+-]/g, "_")}`;
}

function scoreCode(
  mods: readonly ScoreMod[],
  prefix: string,
  table: CaptureTable,
): string {
  const lines = [`fn ${prefix}_score(score: f32, ${POSITION}) -> f32 {`];
  let score = "score";
  let lets = 0;
  for (const [index, { name, expression }] of mods.entries()) {
    const body = emitBody(expression, { table, score, firstLet: lets });
    lets += body.statements.length;
    score = `score${index}`;
    lines.push(comment(name), ...body.statements);
    lines.push(`  let ${score} = ${body.value};`);
  }
  return [...lines, `  return ${score};`, "}"].join("\n");
}

function maskCode(
  mods: readonly MaskMod[],
  prefix: string,
  table: CaptureTable,
): string {
  const lines = [`fn ${prefix}_mask(${POSITION}) -> bool {`];
  let lets = 0;
  for (const [index, { name, expression }] of mods.entries()) {
    const body = emitBody(expression, { table, score: "", firstLet: lets });
    lets += body.statements.length;
    lines.push(comment(name), ...body.statements);
    lines.push(`  let mask${index} = ${body.value};`);
  }
  const all = mods.map((_, index) => `mask${index}`).join(" && ") || "true";
  return [...lines, `  return ${all};`, "}"].join("\n");
}
