/**
 * Plans of linear and of softmax attention that are timed against each other.
 *
 * @module
 */

import type { Gpu, GpuTensor } from "../../src/gpu/mod.ts";
import {
  AttentionBackwardPlan,
  AttentionPlan,
  attentionProblem,
  type PassDescriptor,
  planLinearAttention,
  planLinearAttentionBackward,
} from "../../src/ops/mod.ts";
import { normals } from "../../bench/support/inputs.ts";
import { BASED_DIM, HEAD_DIM, type KernelName } from "./growth_counts.ts";

/** Heads of each. */
export const HEADS = 2;

/** All tokens, forward or forward and backward; or one, after the others. */
export type Stage = "prefill" | "training" | "decode";

/** What takes turns. */
export interface Recorded {
  /** A plan, or several one after the other. */
  readonly plan: {
    explain(): { readonly dispatches: readonly unknown[] };
    encode(
      encoder: GPUCommandEncoder,
      tensors: undefined,
      describe?: PassDescriptor,
    ): void;
  };
  /** They have theirs. */
  readonly tensors: undefined;
}

/** A part of what is recorded. */
interface Part {
  readonly plan: Pick<Recorded["plan"], "explain">;
  encode(encoder: GPUCommandEncoder, describe?: PassDescriptor): void;
}

/** Several plans as one. */
function recorded(parts: readonly Part[]): Recorded {
  return {
    plan: {
      explain: () => ({
        dispatches: parts.flatMap(({ plan }) => plan.explain().dispatches),
      }),
      encode: (encoder, _, describe) => {
        for (const part of parts) part.encode(encoder, describe);
      },
    },
    tensors: undefined,
  };
}

/** Makes contestants, and owns what they are made of. */
export class Contestants {
  readonly gpu: Gpu;
  readonly #owned: { destroy(): void }[] = [];

  constructor(gpu: Gpu) {
    this.gpu = gpu;
  }

  /** One of them; nothing where backward has no kernel for it. */
  async of(
    name: KernelName,
    tokens: number,
    stage: Stage,
  ): Promise<Recorded | undefined> {
    if (name === "softmax") return await this.#softmax(tokens, stage);
    if (name === "based" && stage === "training") return undefined;
    return await this.#linear(name, tokens, stage);
  }

  /** Frees what was made. */
  destroy(): void {
    for (const made of this.#owned) made.destroy();
  }

  async #softmax(tokens: number, stage: Stage): Promise<Recorded> {
    const query = this.#rows(stage === "decode" ? 1 : tokens, HEAD_DIM);
    const [key, value] = [0, 1].map(() => this.#rows(tokens, HEAD_DIM));
    const training = stage === "training";
    const problem = attentionProblem({
      query,
      key,
      value,
      causal: true,
      returnLse: training,
    });
    const output = this.#like(query);
    const lse = training
      ? this.#own(this.gpu.empty("f32", query.shape.slice(0, -1)))
      : undefined;
    const inputs = { query, key, value, output, ...lse && { lse } };
    const forward = this.#own(await AttentionPlan.create(this.gpu, problem));
    const parts: Part[] = [{
      plan: forward,
      encode: (encoder, describe) => forward.encode(encoder, inputs, describe),
    }];
    if (training) {
      const backward = this.#own(
        await AttentionBackwardPlan.create(this.gpu, problem),
      );
      const tensors = { ...inputs, lse: lse!, ...this.#gradients(inputs) };
      parts.push({
        plan: backward,
        encode: (encoder, describe) =>
          backward.encode(encoder, tensors, describe),
      });
    }
    return recorded(parts);
  }

  async #linear(
    name: Exclude<KernelName, "softmax">,
    tokens: number,
    stage: Stage,
  ): Promise<Recorded> {
    const based = name === "based";
    const dim = based ? BASED_DIM : HEAD_DIM;
    const count = stage === "decode" ? 1 : tokens;
    const [query, key] = [0, 1].map(() => this.#rows(count, dim));
    const value = this.#rows(count, HEAD_DIM);
    const decay = name === "gla"
      ? this.#rows(count, dim, (x) => -Math.abs(x) / 16)
      : undefined;
    const states = stage === "decode" ? this.#states(based) : undefined;
    const output = this.#like(value);
    const options = {
      query,
      key,
      value,
      ...decay && { decay },
      ...based &&
        { featureMap: "taylor" as const, normalize: { eps: 1e-6 } },
      ...states && { states, stateIndices: [0] },
    };
    const forward = this.#own(await planLinearAttention(this.gpu, options));
    const inputs = { query, key, value, decay, output, states };
    const parts: Part[] = [{
      plan: forward,
      encode: (encoder, describe) => forward.encode(encoder, inputs, describe),
    }];
    if (stage === "training") {
      const backward = this.#own(
        await planLinearAttentionBackward(this.gpu, options),
      );
      const tensors = {
        query,
        key,
        value,
        decay,
        ...this.#gradients({ query, key, value }),
        ...decay && { decayGradient: this.#like(decay) },
      };
      parts.push({
        plan: backward,
        encode: (encoder, describe) =>
          backward.encode(encoder, tensors, describe),
      });
    }
    return recorded(parts);
  }

  /** A pool of one sequence's states. */
  #states(based: boolean): GpuTensor {
    const shape = based
      ? [
        1,
        HEADS,
        1 + BASED_DIM + BASED_DIM * (BASED_DIM + 1) / 2,
        HEAD_DIM + 1,
      ]
      : [1, HEADS, HEAD_DIM, HEAD_DIM];
    const ones = new Float32Array(shape.reduce((a, b) => a * b)).fill(1);
    return this.#own(this.gpu.tensor(ones, shape));
  }

  #gradients(
    { query, key, value }: Readonly<
      Record<"query" | "key" | "value", GpuTensor>
    >,
  ) {
    return {
      outputGradient: this.#rows(value.shape[1], HEAD_DIM),
      queryGradient: this.#like(query),
      keyGradient: this.#like(key),
      valueGradient: this.#like(value),
    };
  }

  #like({ shape }: GpuTensor): GpuTensor {
    return this.#own(this.gpu.empty("f32", shape));
  }

  #rows(
    tokens: number,
    dim: number,
    of: (x: number) => number = (x) => x,
  ): GpuTensor {
    const size = tokens * HEADS * dim;
    const data = normals("f32", size, size) as Float32Array;
    return this.#own(this.gpu.tensor(data.map(of), [1, tokens, HEADS, dim]));
  }

  #own<T extends { destroy(): void }>(made: T): T {
    this.#owned.push(made);
    return made;
  }
}
