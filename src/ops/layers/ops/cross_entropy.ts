// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * Cross entropy and its gradient, as ops.
 *
 * @module
 */

import { rowFormat, rowStride } from "../../../../kernels/fragments/rows.ts";
import {
  CROSS_ENTROPY_LANES,
  crossEntropyBackwardKernel,
  crossEntropyKernel,
  type CrossEntropySpec,
  crossEntropyTotalKernel,
  NO_TARGET,
} from "../../../../kernels/layers/cross_entropy.ts";
import {
  checkFinite,
  checkInteger,
  checkRange,
  checkType,
} from "../../../core/check.ts";
import { flatGrid } from "../../../gpu/program/dispatch.ts";
import type { GpuTensor } from "../../../gpu/mod.ts";
import type { HostRows } from "../../packing/host_rows.ts";
import type { AnyTensor } from "../../tensors.ts";
import { describeRows, type LayerOp } from "../op.ts";

/** Rows at most: what one workgroup sums, within any adapter's loops. */
const MOST_ROWS = 65000 * CROSS_ENTROPY_LANES;

/** Columns at most, of a row that one workgroup sums, likewise. */
const MOST_WIDTH = 4 * MOST_ROWS;

/**
 * What `crossEntropy()` takes; `T` is where the logits are.
 *
 * @category Layers
 */
export interface CrossEntropyOptions<T = AnyTensor> {
  /** `[..., vocabulary]`, f32 or f16. */
  readonly logits: T;
  /**
   * `[...]`, u32: the column of each row, or {@linkcode NO_TARGET} where the row
   * does not count. A plan needs none. On the device a target that is no column
   * does not count either; on the host it is refused.
   */
  readonly targets?: GpuTensor | HostRows<Uint32Array> | undefined;
  /**
   * `[...]`, f32: how much each row counts, 1 by default; for a plan, its shape.
   */
  readonly rowWeights?: AnyTensor | undefined;
  /**
   * `"mean"`: the weighted mean over rows that count, 0 where none does, by
   * default; or the `"sum"`, to be divided by whatever one likes.
   */
  readonly reduction?: "mean" | "sum" | undefined;
}

/**
 * What `crossEntropyBackward()` takes.
 *
 * @category Layers
 */
export interface CrossEntropyBackwardOptions<T = AnyTensor>
  extends CrossEntropyOptions<T> {
  /** What `crossEntropy()` gave. A plan needs none. */
  readonly lse?: AnyTensor | undefined;
  /** What all gradients are multiplied by; 1 by default. */
  readonly lossGradient?: number | undefined;
}

/**
 * A loss, and what its gradient takes of it.
 *
 * @category Layers
 */
export interface CrossEntropyResult<T> {
  /** `[1]`, f32. */
  readonly loss: T;
  /** `[...]`, f32: of each row, without its weight; 0 where it does not count. */
  readonly rowLosses: T;
  /** `[...]`, f32: the log-sum-exp of each row. */
  readonly lse: T;
}

/** Options, checked. */
function lossProblem(options: CrossEntropyOptions) {
  const { reduction = "mean", rowWeights, targets } = options;
  checkType(
    reduction === "mean" || reduction === "sum",
    "reduction",
    'must be "mean" or "sum"',
    reduction,
  );
  const { dtype, shape, rows, width } = describeRows("logits", options.logits);
  checkInteger("rows", rows, 0, MOST_ROWS);
  checkInteger("width", width, 1, MOST_WIDTH);
  if (targets !== undefined && "data" in targets) {
    Array.from(targets.data, (target, i) =>
      checkRange(
        target < width || target === NO_TARGET,
        `targets.data[${i}]`,
        `must be < ${width}, or NO_TARGET where the row does not count`,
        target,
      ));
  }
  const format = rowFormat(dtype, width);
  const spec: CrossEntropySpec = {
    format,
    rowWeights: rowWeights !== undefined,
  };
  const perRow = shape.slice(0, -1);
  const number = { dtype: "f32", shape: perRow } as const;
  return {
    spec,
    rows,
    widthVecs: Math.ceil(width / 4),
    like: { dtype, shape },
    number,
    read: {
      logits: { dtype, shape },
      targets: { dtype: "u32", shape: perRow } as const,
      ...(spec.rowWeights && { rowWeights: number }),
    },
    uniforms: {
      row_count: rows,
      row_stride: rowStride(format, width),
      width,
      width_vecs: Math.ceil(width / 4),
      mean: reduction === "mean" ? 1 : 0,
    },
  };
}

const OPTIONS = ["logits", "targets", "rowWeights", "reduction"];
const HINTS = {
  labels: "write targets",
  ignoreIndex: "write NO_TARGET for targets that do not count",
  input: "write logits",
};

const crossEntropy: LayerOp<CrossEntropyOptions> = {
  name: "crossEntropy",
  options: OPTIONS,
  hints: HINTS,
  work(options) {
    const { spec, rows, number, read, uniforms } = lossProblem(options);
    return {
      read,
      written: {
        loss: { dtype: "f32", shape: [1] },
        rowLosses: number,
        lse: number,
      },
      parts: (limits) => ({
        dispatches: [
          ...(rows === 0 ? [] : [{
            source: crossEntropyKernel(spec),
            uniforms,
            grid: flatGrid(rows, 1, limits),
          }]),
          {
            source: crossEntropyTotalKernel(spec, { losses: true }),
            uniforms,
            grid: [1, 1, 1],
          },
        ],
      }),
    };
  },
};

const crossEntropyBackward: LayerOp<CrossEntropyBackwardOptions> = {
  name: "crossEntropyBackward",
  options: [...OPTIONS, "lse", "lossGradient"],
  hints: HINTS,
  work({ lse: _, lossGradient = 1, ...options }) {
    checkFinite("lossGradient", lossGradient);
    checkRange(
      Number.isFinite(Math.fround(lossGradient)),
      "lossGradient",
      "must be finite in float32",
      lossGradient,
    );
    const problem = lossProblem(options);
    const { spec, rows, widthVecs, like, number, read } = problem;
    const uniforms = { ...problem.uniforms, loss_gradient: lossGradient };
    return {
      read: { ...read, lse: number },
      written: { logitsGradient: like },
      parts: (limits) => ({
        dispatches: rows === 0 ? [] : [
          {
            source: crossEntropyTotalKernel(spec, { losses: false }),
            uniforms,
            grid: [1, 1, 1],
          },
          {
            source: crossEntropyBackwardKernel(spec),
            uniforms,
            grid: flatGrid(rows * widthVecs, CROSS_ENTROPY_LANES, limits),
          },
        ],
        scratch: { total: 16 },
      }),
    };
  },
};

/** The ops, for plans. */
export const CROSS_ENTROPY_OPS: {
  readonly crossEntropy: LayerOp<CrossEntropyOptions>;
  readonly crossEntropyBackward: LayerOp<CrossEntropyBackwardOptions>;
} = { crossEntropy, crossEntropyBackward };
