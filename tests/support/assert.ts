/**
 * Stands in for `@std/assert`, which is not on npm: the same names and
 * signatures, over `node:assert`.
 *
 * @module
 */

import nodeAssert from "node:assert/strict";

/** Any class, abstract ones included. */
// deno-lint-ignore no-explicit-any
export type AnyClass<T> = abstract new (...args: any[]) => T;

function show(value: unknown): string {
  return typeof value === "string"
    ? JSON.stringify(value)
    : Deno.inspect(value);
}

function failure(message: string, msg: string | undefined): never {
  throw new nodeAssert.AssertionError({
    message: msg === undefined ? message : `${message}: ${msg}`,
  });
}

/** Fails always. */
export function fail(msg?: string): never {
  failure("Failed assertion", msg);
}

/** Fails unless `expr` is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) failure("Expected a truthy value", msg || undefined);
}

/** Fails unless both are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  try {
    nodeAssert.deepStrictEqual(actual, expected);
  } catch (error) {
    failure((error as Error).message, msg);
  }
}

/** Fails if both are deeply equal. */
export function assertNotEquals<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  try {
    nodeAssert.notDeepStrictEqual(actual, expected);
  } catch (error) {
    failure((error as Error).message, msg);
  }
}

/** Fails unless both are the same value by `Object.is`. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  if (!Object.is(actual, expected)) {
    failure(`Expected ${show(expected)}, got ${show(actual)}`, msg);
  }
}

/** Fails if both are the same value by `Object.is`. */
export function assertNotStrictEquals<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  if (Object.is(actual, expected)) {
    failure(`Expected another value than ${show(actual)}`, msg);
  }
}

function checkError<E extends Error>(
  error: unknown,
  ErrorClass: AnyClass<E> | undefined,
  msgIncludes: string | undefined,
  msg: string | undefined,
): E {
  if (!(error instanceof Error)) {
    failure(`Expected an Error to be thrown, got ${show(error)}`, msg);
  }
  if (ErrorClass && !(error instanceof ErrorClass)) {
    failure(
      `Expected ${ErrorClass.name}, got ${error.name}: ${error.message}`,
      msg,
    );
  }
  if (msgIncludes && !error.message.includes(msgIncludes)) {
    failure(
      `Expected the message to include ${show(msgIncludes)}, got ${
        show(error.message)
      }`,
      msg,
    );
  }
  return error as E;
}

/** Fails unless `fn` throws, and returns what it threw. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass?: AnyClass<E>,
  msgIncludes?: string,
  msg?: string,
): E {
  try {
    fn();
  } catch (error) {
    return checkError(error, ErrorClass, msgIncludes, msg);
  }
  failure("Expected the function to throw", msg);
}

/** Fails unless `fn` returns a promise that rejects; gives its reason. */
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass?: AnyClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E> {
  let promise: PromiseLike<unknown>;
  try {
    promise = fn();
  } catch (error) {
    failure(
      `Expected a rejected promise, but the function threw: ${show(error)}`,
      msg,
    );
  }
  try {
    await promise;
  } catch (error) {
    return checkError(error, ErrorClass, msgIncludes, msg);
  }
  failure("Expected the promise to reject", msg);
}

/** Fails unless the two are within `tolerance` (default 1e-7 relative). */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance?: number,
  msg?: string,
): void {
  if (Object.is(actual, expected)) return;
  const allowed = tolerance ??
    (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  const delta = Math.abs(expected - actual);
  if (delta <= allowed) return;
  failure(
    `Expected ${actual} to be within ${allowed} of ${expected}, off by ${delta}`,
    msg,
  );
}

/** Fails unless `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (actual > expected) return;
  failure(`Expected ${show(actual)} > ${show(expected)}`, msg);
}

/** Fails unless `actual >= expected`. */
export function assertGreaterOrEqual<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  if (actual >= expected) return;
  failure(`Expected ${show(actual)} >= ${show(expected)}`, msg);
}

/** Fails unless `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (actual < expected) return;
  failure(`Expected ${show(actual)} < ${show(expected)}`, msg);
}

/** Fails unless `actual <= expected`. */
export function assertLessOrEqual<T>(
  actual: T,
  expected: T,
  msg?: string,
): void {
  if (actual <= expected) return;
  failure(`Expected ${show(actual)} <= ${show(expected)}`, msg);
}

/** Fails unless `actual` contains `expected`. */
export function assertStringIncludes(
  actual: string,
  expected: string,
  msg?: string,
): void {
  if (actual.includes(expected)) return;
  failure(`Expected ${show(actual)} to include ${show(expected)}`, msg);
}

/** Fails unless `actual` matches `expected`. */
export function assertMatch(
  actual: string,
  expected: RegExp,
  msg?: string,
): void {
  if (expected.test(actual)) return;
  failure(`Expected ${show(actual)} to match ${expected}`, msg);
}

/** Fails if `actual` is `null` or `undefined`. */
export function assertExists<T>(
  actual: T,
  msg?: string,
): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) {
    failure(`Expected a value, got ${actual}`, msg);
  }
}

/** Fails unless `actual` is an instance of `expectedType`. */
export function assertInstanceOf<T>(
  actual: unknown,
  expectedType: AnyClass<T>,
  msg = "",
): asserts actual is T {
  if (actual instanceof expectedType) return;
  failure(
    `Expected an instance of ${expectedType.name}, got ${show(actual)}`,
    msg || undefined,
  );
}
