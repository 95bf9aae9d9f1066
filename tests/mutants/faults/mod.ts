/**
 * All faults that are listed.
 *
 * @module
 */

import type { Fault } from "../fault.ts";
import { BLOCK_MASK_FAULTS } from "./block_mask.ts";
import { BLOCK_FAULTS } from "./cache/block.ts";
import { EXTENT_FAULTS } from "./cache/extent.ts";
import { MANAGER_FAULTS } from "./cache/manager.ts";
import { PREFIX_FAULTS } from "./cache/prefix.ts";
import { STATE_FAULTS } from "./cache/state.ts";
import { SWAP_FAULTS } from "./cache/swap.ts";
import { DERIVATIVE_FAULTS } from "./derivatives.ts";
import { ENGINE_FAULTS } from "./engine.ts";
import { ATTENTION_FAULTS } from "./kernels/attention.ts";
import { BACKWARD_FAULTS } from "./kernels/backward.ts";
import { CAPTURE_FAULTS } from "./captures.ts";
import { CACHE_KERNEL_FAULTS } from "./kernels/cache.ts";
import { DECODE_FAULTS } from "./kernels/decode.ts";
import { FEATURE_FAULTS } from "./kernels/features.ts";
import { NOTATION_FAULTS } from "./kernels/notation.ts";
import { SQUEEZED_FIT_FAULTS } from "./policies/squeezed_fit.ts";
import { SQUEEZED_RUN_FAULTS } from "./policies/squeezed_run.ts";
import { STANDARD_FAULTS } from "./kernels/standard.ts";
import { KV_FAULTS } from "./kv.ts";
import { LAYER_FAULTS } from "./layers.ts";
import { LINEAR_ATTENTION_FAULTS } from "./linear_attention.ts";
import { LINEAR_BACKWARD_FAULTS } from "./linear_backward.ts";
import { LINEAR_COST_FAULTS } from "./linear_cost.ts";
import { LINEAR_DELTA_FAULTS } from "./linear_delta.ts";
import { LINEAR_REFERENCE_FAULTS } from "./linear_reference.ts";
import { LORA_FAULTS } from "./lora.ts";
import { MASK_FAULTS } from "./masks.ts";
import { MODEL_FAULTS } from "./models.ts";
import { MODS_FAULTS } from "./mods.ts";
import { OPS_FAULTS } from "./ops.ts";
import { PACKING_FAULTS } from "./packing.ts";
import { LONGLORA_FAULTS } from "./policies/longlora.ts";
import { BLOCK_SCORES_FAULTS } from "./policies/block_scores.ts";
import { DISTILLATION_FAULTS } from "./policies/distillation.ts";
import { PLAYGROUND_FAULTS } from "./playground.ts";
import { SEER_FAULTS } from "./policies/seer.ts";
import { S2_FAULTS } from "./policies/s2.ts";
import { POLICY_CORE_FAULTS } from "./policies/core.ts";
import { PRFLASH_FAULTS } from "./policies/prflash.ts";
import { REFERENCE_FAULTS } from "./reference.ts";
import { REPRO_FAULTS } from "./repro.ts";
import { ROTARY_FAULTS } from "./rotary.ts";
import { STRIDES_FAULTS } from "./strides.ts";
import { TRAFFIC_FAULTS } from "./traffic.ts";
import { VARIANT_FAULTS } from "./variants.ts";

/** All faults that are listed. */
export const FAULTS: readonly Fault[] = [
  ...BLOCK_SCORES_FAULTS,
  ...DISTILLATION_FAULTS,
  ...BLOCK_FAULTS,
  ...PREFIX_FAULTS,
  ...EXTENT_FAULTS,
  ...STATE_FAULTS,
  ...SWAP_FAULTS,
  ...MANAGER_FAULTS,
  ...ENGINE_FAULTS,
  ...KV_FAULTS,
  ...OPS_FAULTS,
  ...S2_FAULTS,
  ...ROTARY_FAULTS,
  ...STRIDES_FAULTS,
  ...VARIANT_FAULTS,
  ...CAPTURE_FAULTS,
  ...MODEL_FAULTS,
  ...MODS_FAULTS,
  ...BLOCK_MASK_FAULTS,
  ...MASK_FAULTS,
  ...PACKING_FAULTS,
  ...LONGLORA_FAULTS,
  ...LORA_FAULTS,
  ...PLAYGROUND_FAULTS,
  ...SEER_FAULTS,
  ...POLICY_CORE_FAULTS,
  ...PRFLASH_FAULTS,
  ...REFERENCE_FAULTS,
  ...LINEAR_DELTA_FAULTS,
  ...LINEAR_REFERENCE_FAULTS,
  ...DERIVATIVE_FAULTS,
  ...REPRO_FAULTS,
  ...SQUEEZED_FIT_FAULTS,
  ...SQUEEZED_RUN_FAULTS,
  ...FEATURE_FAULTS,
  ...NOTATION_FAULTS,
  ...ATTENTION_FAULTS,
  ...BACKWARD_FAULTS,
  ...DECODE_FAULTS,
  ...STANDARD_FAULTS,
  ...LAYER_FAULTS,
  ...LINEAR_ATTENTION_FAULTS,
  ...LINEAR_BACKWARD_FAULTS,
  ...LINEAR_COST_FAULTS,
  ...TRAFFIC_FAULTS,
  ...CACHE_KERNEL_FAULTS,
];
