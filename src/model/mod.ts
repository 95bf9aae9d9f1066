/**
 * Parts of models around attention: layers, and without a GPU prompts that are
 * read twice, prefixes, losses as data, and the layers of hybrids.
 *
 * @example A prompt that is read twice
 * ```ts
 * import { repeatedPrompt } from "@quire/attention/model";
 *
 * console.log(repeatedPrompt({ context: [1, 2, 3], question: [1] }));
 * ```
 *
 * @module
 */

export { repeatedPrompt, type RepeatedPromptOptions } from "./jrt/prompt.ts";
export {
  type PrefixOptions,
  type PrefixTokens,
  prefixTokens,
} from "./jrt/prefix.ts";
export {
  type PrefixLoss,
  prefixLoss,
  type PrefixLossOptions,
} from "./jrt/loss.ts";
export {
  type BasedLayer,
  basedLayers,
  type BasedLayersOptions,
} from "./based/layers.ts";
export {
  type GlaBackwardPlanOptions,
  type GlaBackwardTensors,
  GlaLayerBackwardPlan,
} from "./gla/backward_plan.ts";
export {
  glaLayer,
  type GlaLayerOptions,
  type GlaLayerResult,
} from "./gla/gla_layer.ts";
export {
  glaLayerBackward,
  type GlaLayerGradients,
  type GlaOutputGradients,
} from "./gla/gla_layer_backward.ts";
export {
  type GlaActivations,
  GlaLayerPlan,
  type GlaTensors,
} from "./gla/plan.ts";
export type { GlaActivationsOf, GlaPlanOptions } from "./gla/problem.ts";
export {
  type GlaConfig,
  type GlaWeights,
  glaWeightShapes,
} from "./gla/sizes.ts";
export {
  LoraBackwardPlan,
  type LoraBackwardPlanOptions,
  type LoraBackwardTensors,
} from "./lora/backward_plan.ts";
export {
  type LoraGradients,
  loraProject,
  loraProjectBackward,
} from "./lora/lora.ts";
export { mergeLora, type MergeLoraOptions, unmergeLora } from "./lora/merge.ts";
export { LoraPlan, type LoraTensors } from "./lora/plan.ts";
export type { LoraOptions, LoraWeights } from "./lora/problem.ts";
export {
  type TrainableOptions,
  type TrainableParameters,
  trainableParameters,
} from "./lora/trainable.ts";
