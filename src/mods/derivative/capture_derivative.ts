/**
 * The derivative of score mods with respect to the floats that they capture: a
 * table of relative biases, learned slopes. Each place where a captured buffer
 * is read is a term: which element it reads, and how much the modified score
 * changes with it.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { Capture } from "../captures/capture.ts";
import { differentiate, isScore } from "./derivative.ts";
import { isOnDevice } from "../captures/device_data.ts";
import { evaluator, type ScoreFunction } from "../evaluate.ts";
import {
  type CapturedBuffer,
  type CapturedTensor,
  evaluationOrder,
  type ExpressionNode,
  type LoadNode,
} from "../nodes.ts";
import { replaceVariable } from "../rewrite.ts";
import { isLiteral, Simplifier } from "./simplify.ts";
import type { ScoreMod } from "../trace.ts";

/**
 * What a caller names a captured buffer by: what `capture()` gave, or the array
 * or GPU tensor that a mod was made of.
 *
 * @category Readings
 */
export type CapturedFloats = Capture | Float32Array | CapturedTensor;

/** One place where a buffer is read. */
export interface CaptureTerm {
  /** The buffer. */
  readonly buffer: CapturedBuffer;
  /** One `i32` index per dimension, not clamped yet. */
  readonly indices: readonly ExpressionNode[];
  /** How much the modified score changes with the element. */
  readonly slope: ExpressionNode;
}

/**
 * The terms of a captured buffer in a list of score mods, applied in order; all
 * in the score that the list is given.
 *
 * @param name What to call `captured` in messages.
 * @throws {TypeError} If no mod captures it, it has no floats, or an operation
 * in a mod has no derivative.
 */
export function captureTerms(
  mods: readonly ScoreMod[],
  captured: CapturedFloats,
  name: string = "captured",
): CaptureTerm[] {
  const make = new Simplifier();
  let score: ExpressionNode = { kind: "variable", type: "f32", name: "score" };
  let found = false;
  let terms: CaptureTerm[] = [];
  for (const mod of mods) {
    const own = evaluationOrder(mod.expression).filter((node) =>
      node.kind === "load" && isOf(node.buffer, captured)
    ) as LoadNode[];
    found ||= own.length > 0;
    const slopes = own.map((load) => {
      checkType(
        load.type === "f32",
        name,
        "must be floats, of which there are gradients",
        load.buffer.name,
      );
      return differentiate(mod, (node) => node === load, make);
    });
    const through = differentiate(mod, isScore, make);
    const [after, passed, ...rest] = replaceVariable(
      [
        mod.expression,
        through,
        ...slopes,
        ...own.flatMap(({ indices }) => indices),
      ],
      "score",
      score,
    );
    const places = rest.splice(own.length);
    terms = [
      // What was read before goes through this mod.
      ...terms.map((term) => ({
        ...term,
        slope: make.mul(passed, term.slope),
      })),
      ...own.map(({ buffer, indices }, n) => ({
        buffer,
        indices: places.splice(0, indices.length),
        slope: rest[n],
      })),
    ];
    score = after;
  }
  checkType(
    found,
    name,
    "must be captured by a score mod: give its Capture, or the array or tensor that the mod was made of",
    captured,
  );
  return terms.filter(({ slope }) => !isLiteral(slope, 0));
}

/**
 * The elements of what is captured, as many as its gradient has, and their
 * shape as it was captured.
 */
export function capturedShape(captured: CapturedFloats): readonly number[] {
  if (captured instanceof Capture) return captured.buffer.shape;
  return ArrayBuffer.isView(captured) ? [captured.length] : captured.shape;
}

/** A term in float64. */
export interface EvaluatedTerm {
  /** The flat index of the element that is read. */
  readonly place: ScoreFunction;
  /** How much the modified score changes with it. */
  readonly slope: ScoreFunction;
}

/** The terms of a captured buffer as functions in float64. */
export function evaluatedTerms(
  mods: readonly ScoreMod[],
  captured: CapturedFloats,
): EvaluatedTerm[] {
  return captureTerms(mods, captured).map(({ buffer, indices, slope }) => {
    const own = indices.map(evaluator);
    return {
      slope: evaluator(slope),
      place: (...at) =>
        buffer.shape.reduce((flat, size, axis) => {
          const index = own[axis](...at);
          return flat * size + Math.min(Math.max(index, 0), size - 1);
        }, 0),
    };
  });
}

function isOf(buffer: CapturedBuffer, captured: CapturedFloats): boolean {
  if (captured instanceof Capture) return buffer === captured.buffer;
  const { data } = buffer;
  return isOnDevice(data) ? data.tensor === captured : data === captured;
}
