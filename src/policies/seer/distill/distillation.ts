/**
 * Distillation of a Seer gate: it learns where attention goes.
 *
 * @module
 */

import { checkFinite, checkRange, checkType } from "../../../core/check.ts";
import type { HostTensor } from "../../../ops/tensors.ts";
import type { SeerWeights } from "../weights.ts";
import { gateLoss, type GateShape, gateShares } from "./gradient.ts";
import { distillationShape, type SeerDistillationOptions } from "./options.ts";
import {
  type PooledExample,
  pooledExample,
  type SeerExample,
} from "./pooled.ts";

/**
 * A loss, and where it falls.
 *
 * @category Policies
 */
export interface SeerLoss {
  /**
   * The mean of `G ln(G / A)` over all elements of the rows of blocks that count,
   * with `G` the scores of blocks and `A` the gate's shares; natural logarithm.
   */
  readonly loss: number;
  /** Its gradient by each weight, in the shapes of the weights. */
  readonly gradients: SeerWeights<Float64Array>;
}

/**
 * A gate's distillation, in float64 on the host: the model's weights stay as they
 * are, and the gate's alone go down the gradient of the divergence from the scores
 * of blocks, KL(G || A), as a mean over all elements (PyTorch's `"mean"`, not its
 * `"batchmean"`). The paper's factor of 10 belongs into the rate.
 *
 * Source: SeerAttention (Gao et al., 2024), section 3.2 and its code.
 *
 * @category Policies
 *
 * @example A gate learns that the second block looks at the first
 * ```ts
 * import { initialSeerWeights, SeerDistillation } from "@quire/attention/policies";
 *
 * const rows = { data: Float32Array.of(1, 0, 2, 0, 0, 1, 0, 3), shape: [1, 4, 1, 2] };
 * // What attention({ query, key, value, causal, blockScores: { block: 2 } }) gives.
 * const blockScores = { data: Float32Array.of(1, 0, 0.9, 0.1), shape: [1, 1, 2, 2] };
 * const heads = { queryHeads: 1, kvHeads: 1 };
 * const gate = new SeerDistillation({
 *   weights: initialSeerWeights({ ...heads, headDim: 2, seed: 1 }),
 *   ...heads,
 *   block: 2,
 *   rotary: false,
 * });
 * const example = { query: rows, key: rows, blockScores };
 * for (let step = 0; step < 100; step++) gate.step([example], 1);
 * console.log(gate.shares(example)[2].toFixed(2)); // 0.90
 * console.log(gate.weights.key.shape); // [ 1, 6, 2 ]
 * ```
 */
export class SeerDistillation {
  readonly #shape: GateShape;
  readonly #shapes: SeerWeights<readonly number[]>;
  readonly #weights: SeerWeights<Float64Array>;
  readonly #pooled = new WeakMap<SeerExample, PooledExample>();

  /**
   * A gate that has learned nothing yet.
   *
   * @throws {TypeError} for wrong types and shapes
   * @throws {RangeError} for values out of range
   */
  constructor(options: SeerDistillationOptions) {
    this.#shape = distillationShape(options);
    const { key, query } = options.weights;
    this.#shapes = {
      key: [...key.shape],
      ...(query && { query: [...query.shape] }),
    };
    this.#weights = {
      key: Float64Array.from(key.data),
      ...(query && { query: Float64Array.from(query.data) }),
    };
  }

  /** The weights as they are now, in float32, for `SeerGate.create()`. */
  get weights(): SeerWeights<HostTensor> {
    const { key, query } = this.#weights;
    const { key: keyShape, query: queryShape } = this.#shapes;
    return {
      key: { data: Float32Array.from(key), shape: keyShape },
      ...(query &&
        { query: { data: Float32Array.from(query), shape: queryShape! } }),
    };
  }

  /**
   * The loss on some examples, and its gradient. What an example is pooled to is
   * kept with it, so its arrays are to stay as they are.
   *
   * @throws {TypeError} if an example does not fit the gate, naming it
   */
  loss(examples: readonly SeerExample[]): SeerLoss {
    checkType(
      Array.isArray(examples) && examples.length > 0,
      "examples",
      "must be a list of at least one",
      examples,
    );
    const pooled = examples.map((example, i) =>
      this.#pool(example, `examples[${i}]`)
    );
    const { key, query } = this.#weights;
    const gradients = {
      key: new Float64Array(key.length),
      ...(query && { query: new Float64Array(query.length) }),
    };
    let [sum, elements] = [0, 0];
    for (const example of pooled) {
      const own = gateLoss(example, this.#weights, this.#shape, gradients);
      sum += own.sum;
      elements += own.elements;
    }
    const mean = elements === 0 ? 0 : 1 / elements;
    for (const all of Object.values(gradients)) {
      all.forEach((gradient, n) => all[n] = gradient * mean);
    }
    return { loss: sum * mean, gradients };
  }

  /**
   * The gate's shares of an example: `[batch, queryHeads, queryBlocks, keyBlocks]`,
   * each row's softmax over the blocks that it sees, 0 elsewhere.
   *
   * @throws {TypeError} if it does not fit the gate
   */
  shares(example: SeerExample): Float64Array {
    return gateShares(
      this.#pool(example, "example"),
      this.#weights,
      this.#shape,
    );
  }

  /**
   * One step of gradient descent.
   *
   * @param rate By which gradients are multiplied, > 0.
   * @returns The loss before it.
   * @throws {TypeError} if an example does not fit the gate, naming it
   * @throws {RangeError} if the rate is not a number > 0
   */
  step(examples: readonly SeerExample[], rate: number): number {
    checkFinite("rate", rate);
    checkRange(rate > 0, "rate", "must be > 0", rate);
    const { loss, gradients } = this.loss(examples);
    checkRange(
      Number.isFinite(loss),
      "rate",
      "must have been smaller: the loss is not a number any more",
      rate,
    );
    for (const name of ["key", "query"] as const) {
      const own = this.#weights[name];
      own?.forEach((_, n) => own[n] -= rate * gradients[name]![n]);
    }
    return loss;
  }

  #pool(example: SeerExample, name: string): PooledExample {
    const known = this.#pooled.get(example);
    if (known) return known;
    const pooled = pooledExample(name, example, this.#shape);
    this.#pooled.set(example, pooled);
    return pooled;
  }
}
