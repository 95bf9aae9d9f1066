/**
 * The forms of linear attention: by chunks, or token by token.
 *
 * @module
 */

import { checkType } from "../../../core/check.ts";

/**
 * How a sequence is computed: by chunks of products (prompts), token by token
 * (decode), or by its length. All give the same, but for rounding.
 *
 * @category Attention
 */
export type LinearForm = "auto" | "chunked" | "recurrent";

/**
 * The form that is wanted.
 *
 * @throws {TypeError} if it is none
 */
export function formOf(form: unknown): LinearForm {
  checkType(
    form === "auto" || form === "chunked" || form === "recurrent",
    "form",
    'must be "auto", "chunked" or "recurrent"',
    form,
  );
  return form as LinearForm;
}
