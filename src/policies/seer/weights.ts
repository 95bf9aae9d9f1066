/**
 * The weights of a SeerAttention gate.
 *
 * @module
 */

/**
 * The weights of a gate, of one layer; each a matrix a head that rows are
 * multiplied by from the right, `[in, out]`.
 *
 * @category Policies
 */
export interface SeerWeights<T> {
  /**
   * `[heads, 3 headDim, gateDim]`: of a block's keys, pooled to their maximum,
   * minimum and mean, in this order. The heads are the query heads where there
   * is no `query`, else the kv heads.
   */
  readonly key: T;
  /**
   * `[queryHeads, headDim, gateDim]`: of a block's queries, pooled to their mean.
   * Without it, the mean is taken as it is, and `gateDim` is `headDim`.
   */
  readonly query?: T;
}
