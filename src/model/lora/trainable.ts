/**
 * Which parameters of a model are trained.
 *
 * @module
 */

import { checkRange, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";

/**
 * Which parameters {@linkcode trainableParameters} picks; one whose name has a
 * word in it.
 *
 * @category Layers
 */
export interface TrainableOptions {
  /** What names of low-rank updates have in them; `"lora"` by default. */
  readonly lora?: string | undefined;
  /**
   * Which others are trained: by default `"embed"` and `"norm"`, without which
   * LongLoRA finds that updates alone do not reach what training of all weights
   * does, at contexts longer than before. `[]` for none.
   */
  readonly also?: readonly string[] | undefined;
}

/**
 * Names, by whether they are trained.
 *
 * @category Layers
 */
export interface TrainableParameters {
  /** Those that are, in the order in which they were given. */
  readonly trained: readonly string[];
  /** The others. */
  readonly frozen: readonly string[];
}

/**
 * Which of a model's parameters are trained with LoRA, and, as LongLoRA does
 * (Chen et al. 2024, section 3.3), its embeddings and norms besides.
 *
 * @throws {TypeError} if names or words are not strings
 * @throws {RangeError} if a word is in no name, so that it picks nothing, or is
 * empty
 *
 * @example The parameters of a layer
 * ```ts
 * import { trainableParameters } from "@quire/attention/model";
 *
 * const { trained, frozen } = trainableParameters([
 *   "model.embed_tokens.weight",
 *   "model.layers.0.input_layernorm.weight",
 *   "model.layers.0.self_attn.q_proj.weight",
 *   "model.layers.0.self_attn.q_proj.lora_A.weight",
 *   "model.layers.0.self_attn.q_proj.lora_B.weight",
 * ]);
 * console.log(trained.length, frozen); // 4, and the weight of q_proj
 * ```
 *
 * @category Layers
 */
export function trainableParameters(
  names: readonly string[],
  options: TrainableOptions = {},
): TrainableParameters {
  checkOptions("trainableParameters()", options, {
    known: ["lora", "also"],
    hints: { trainableParams: "write also" },
  });
  const { lora = "lora", also = ["embed", "norm"] } = options;
  checkType(Array.isArray(names), "names", "must be an array", names);
  checkType(Array.isArray(also), "also", "must be an array of words", also);
  names.forEach((name, i) =>
    checkType(typeof name === "string", `names[${i}]`, "must be a string", name)
  );
  const words = [lora, ...also];
  words.forEach((word, i) => {
    const what = i === 0 ? "lora" : `also[${i - 1}]`;
    checkType(typeof word === "string", what, "must be a string", word);
    checkRange(word !== "", what, "must not be empty, which is in all", word);
    checkRange(
      names.some((name) => name.includes(word)),
      what,
      "must be in the name of some parameter",
      word,
    );
  });
  const isTrained = (name: string) => words.some((word) => name.includes(word));
  return {
    trained: names.filter(isTrained),
    frozen: names.filter((name) => !isTrained(name)),
  };
}
