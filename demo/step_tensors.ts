/**
 * The tensors of one attention step: queries in, outputs and LSE out.
 *
 * @module
 */

import type {
  AttentionPlan,
  AttentionTensors,
  Gpu,
  GpuTensor,
} from "../mod.ts";
import type { GpuBuffer } from "../src/gpu/mod.ts";
import { HEAD_DIM, QUERY_HEADS, VALUE_HEAD_DIM } from "./encoding.ts";

/** What a step reads: queries, and keys and values in one of two ways. */
export interface StepInputs {
  /** `[queries, QUERY_HEADS, HEAD_DIM]`. */
  readonly query: Float32Array;
  /** A cache's arenas. */
  readonly arenas?: readonly GpuBuffer[];
  /** Contiguous keys; they stay the caller's. */
  readonly key?: GpuTensor;
  /** Contiguous values; they stay the caller's. */
  readonly value?: GpuTensor;
}

/** What a step gives. */
export interface StepResult {
  /** `[queries, QUERY_HEADS, VALUE_HEAD_DIM]`. */
  readonly output: Float32Array;
  /** `[queries, QUERY_HEADS]`; a row without keys has a very low number. */
  readonly lse: Float32Array;
}

/** The tensors that a plan's `encode` takes. */
export class StepTensors implements AttentionTensors, Disposable {
  /** The queries. */
  readonly query: GpuTensor;
  /** Room for the outputs. */
  readonly output: GpuTensor;
  /** Room for the log-sum-exps. */
  readonly lse: GpuTensor;
  /** A cache's arenas. */
  declare readonly arenas?: readonly GpuBuffer[];
  /** Contiguous keys. */
  declare readonly key?: GpuTensor;
  /** Contiguous values. */
  declare readonly value?: GpuTensor;
  readonly #gpu: Gpu;

  /** Uploads the queries and makes room for the results. */
  constructor(gpu: Gpu, { query, ...source }: StepInputs) {
    const queries = query.length / QUERY_HEADS / HEAD_DIM;
    this.#gpu = gpu;
    this.query = gpu.tensor(query, [queries, QUERY_HEADS, HEAD_DIM]);
    this.output = gpu.empty("f32", [queries, QUERY_HEADS, VALUE_HEAD_DIM]);
    this.lse = gpu.empty("f32", [queries, QUERY_HEADS]);
    Object.assign(this, source);
  }

  /** Runs a plan on them and reads the results. */
  async run(plan: AttentionPlan): Promise<StepResult> {
    this.#gpu.submit("demo", (encoder) => plan.encode(encoder, this));
    const [output, lse] = await this.#gpu.read([this.output, this.lse]);
    return { output: output as Float32Array, lse: lse as Float32Array };
  }

  /** Frees what was made here. */
  [Symbol.dispose](): void {
    for (const tensor of [this.query, this.output, this.lse]) tensor.destroy();
  }
}
