/**
 * What the source of a backward kernel depends on, and what both kernels have in
 * common beside their loops.
 *
 * ```text
 * P = exp(S - L)   dP = dO V^T   D = <dO, O> - dL   dS = P (dP - D)
 * dR = dS s'(R)    dQ = scale dR K   dK = scale dR^T Q   dV = P^T dO
 * ```
 *
 * with R the scaled dot products and S what score mods s make of them
 * (FlashAttention, Dao et al. 2022, Alg. 4; its section B.2 for D; dL is the
 * gradient that flows into the log-sum-exp).
 *
 * @module
 */

import type { Fragment } from "../../fragment.ts";
import {
  keyRows,
  type KeyValueSpec,
  valueRows,
} from "../../fragments/key_value.ts";
import { dropoutOf, type DropoutSpec } from "../../fragments/dropout.ts";
import { nonFinite, onlineSoftmax } from "../../fragments/online_softmax.ts";
import {
  loadRow,
  placeOf,
  rowBinding,
  type RowFormat,
  rowPlaces,
  storeRow,
} from "../../fragments/rows.ts";
import {
  type ModSource,
  scoreGradient,
  scoreMods,
} from "../../fragments/score.ts";
import { WordRecord } from "../../record.ts";
import { wgsl } from "../../wgsl.ts";
import { lsePlaces } from "../epilogue.ts";
import { namesOf, queryRows, type QuerySpec } from "../query_rows.ts";
import { type RunsSpec, workTiles } from "../spec.ts";

/** What every backward kernel's source depends on. */
export interface BackwardSpec
  extends
    KeyValueSpec,
    DropoutSpec,
    RunsSpec,
    Pick<QuerySpec, "stridedQueries"> {
  /** The format of query rows. */
  readonly queryFormat: RowFormat;
  /** The format of rows of the output and of its gradient. */
  readonly outputFormat: RowFormat;
  /** Score and mask mods, if any; their words begin the schedule. */
  readonly mods?: ModSource | undefined;
  /** Whether gradients lie by strides of their own. */
  readonly gradientsApart?: boolean | undefined;
  /** Write partial sums for `sumKernel` instead of finished rows. */
  readonly partial: boolean;
}

/**
 * Storage buffers of the kernel with most besides those that hold keys and
 * values: query, the output's gradient, statistics, schedule, and two gradients;
 * or where the device selects blocks, these and one of sums.
 */
export const OTHER_BACKWARD_BUFFERS = 6;

/** The fragments of a backward kernel, but for what it writes. */
export function backwardFragments(spec: BackwardSpec): Fragment[] {
  return [
    queryRows({ ...spec, queries: "consecutive" }),
    outputGradientRows(spec),
    keyRows(spec),
    valueRows(spec),
    rowStatistics("read", spec),
    rowSizes,
    ...workTiles(spec),
    onlineSoftmax,
    nonFinite,
    scoreMods(spec.mods, { captures: "schedule", selected: spec.selected }),
    scoreGradient(spec.mods),
    ...dropoutOf(spec),
  ];
}

/** `output_gradient_place` and `load_output_gradient`. */
function outputGradientRows(
  { outputFormat: format, stridedQueries: batches = false }: BackwardSpec,
): Fragment {
  return {
    needs: [
      loadRow({
        name: "load_output_gradient",
        bindings: [rowBinding("output_gradient", format)],
        format,
        dim: "value_dim",
      }),
      rowPlaces({
        name: "output_gradient",
        strides: "output",
        offset: batches,
        batches,
      }),
    ],
  };
}

/** `row_statistics`: (L, D) of each row, where its log-sum-exp is. */
export function rowStatistics(
  access: "read" | "read_write",
  spec: Pick<QuerySpec, "stridedQueries"> = {},
): Fragment {
  return {
    needs: [lsePlaces(spec)],
    bindings: [{ name: "row_statistics", type: "array<vec2f>", access }],
  };
}

/** One of the gradients that a kernel writes. */
export interface GradientRows {
  /** Its binding, such as `query_gradient`. */
  readonly name: string;
  /** The format of its rows. */
  readonly format: RowFormat;
  /** The uniform that holds its row's element count. */
  readonly dim: "head_dim" | "value_dim";
  /** Whether sequences are apart by a stride, and tokens count from their first. */
  readonly batches: boolean;
}

/** `{name}_place` and `store_{name}`. */
export function gradientRows(
  { name, format, dim, batches }: GradientRows,
): Fragment {
  return {
    needs: [
      storeRow({
        name: `store_${name}`,
        bindings: [rowBinding(name, format, "read_write")],
        format,
        dim,
      }),
      rowPlaces({ name, offset: batches, batches }),
    ],
  };
}

/** Names for what is read of a named query row once: its places, and (L, D). */
export function placeGradients(
  row: number,
  { stridedQueries: batches = false }: Pick<QuerySpec, "stridedQueries">,
  of: Parameters<typeof placeOf>[1] = namesOf(row),
): string {
  return [
    `let gradient_at_${row} = ${
      placeOf({ name: "output_gradient", batches }, of)
    };`,
    `let statistics_${row} = row_statistics[${
      placeOf({ name: "lse", batches }, of)
    }];`,
  ].join("\n");
}

/** Partial sums: `[rows, row_vecs]` vec4s. */
export function partialSums(access: "read" | "read_write"): Fragment {
  return {
    bindings: [{ name: "sums", type: "array<vec4f>", access }],
    uniforms: { row_vecs: "u32" },
  };
}

const ROW_SIZES_FIELDS = {
  /** vec4s of a query or key row. */
  head_vecs: "u32",
  /** vec4s of a value row. */
  value_vecs: "u32",
} as const;

/**
 * How long rows are; beside the schedule, not among the uniforms, as Mesa's
 * lavapipe unrolls what a uniform bounds: these loops then take three times as
 * long, and seconds to compile.
 */
export const ROW_SIZES: WordRecord<typeof ROW_SIZES_FIELDS> = new WordRecord(
  "RowSizes",
  ROW_SIZES_FIELDS,
);

/** `read_row_sizes`, for {@linkcode READ_ROW_SIZES}. */
export const rowSizes: Fragment = {
  uniforms: { row_sizes_at: "u32" },
  code: ROW_SIZES.declare("row_sizes"),
};

/** Names `row_sizes`. */
export const READ_ROW_SIZES =
  "let row_sizes = read_row_sizes(params.row_sizes_at);";

const KEY_GRADIENTS_FIELDS = {
  /** Where the first key's are, in token strides. */
  start: "u32",
  /** How many keys have them: also those that are not written, which are 0. */
  count: "u32",
} as const;

/** Where the gradients of a sequence's keys are; a list beside the schedule. */
export const KEY_GRADIENTS: WordRecord<typeof KEY_GRADIENTS_FIELDS> =
  new WordRecord("KeyGradients", KEY_GRADIENTS_FIELDS);

/** `key_gradients_of`: the record of a sequence. */
export const keyGradients: Fragment = {
  uniforms: { gradients_at: "u32" },
  code: wgsl(
    `
    $record

    fn key_gradients_of(sequence: u32) -> KeyGradients {
      return read_key_gradients(params.gradients_at + $words * sequence);
    }
    `,
    {
      record: KEY_GRADIENTS.declare("key_gradients"),
      words: KEY_GRADIENTS.words,
    },
  ),
};

/**
 * `ds_{r}_{j}`, the gradients by the scaled dot products, of the products
 * `dp_{r}_{j}` and the weights `{weights}_{r}_{j}`. Where the weight is 0, so is
 * the gradient, whatever the products are.
 */
export function scoreGradients(
  { own, step, statistics, derivatives, dropout }: {
    readonly own: number;
    readonly step: number;
    /** (L, D) of the query row of the pair of own row `$r` and row `$j`. */
    readonly statistics: string;
    /** Whether there is an array of derivatives. */
    readonly derivatives: boolean;
    /** Whether `dropped_{r}` says which products did not count. */
    readonly dropout: boolean;
  },
): string {
  const product = dropout
    ? "dp_$r_$j * kept(extractBits(dropped_$r, $j, 1u) != 0u)"
    : "dp_$r_$j";
  const factor = derivatives ? " * derivatives[$r * $step + $j]" : "";
  return wgsl(
    `
    @each r in own
    @each j in step
    let ds_$r_$j = select(s_$r_$j * (${product} - ${statistics}.y)${factor}, 0.0, s_$r_$j == 0.0);
    @end
    @end
    `,
    { own, step },
  );
}

/** `s_{r}_{j}`: from scores to weights, by the rows' log-sum-exps. */
export function weightScores(
  { own, step, statistics }: {
    readonly own: number;
    readonly step: number;
    /** (L, D) of the query row of the pair of own row `$r` and row `$j`. */
    readonly statistics: string;
  },
): string {
  return wgsl(
    `
    @each r in own
    @each j in step
    s_$r_$j = weight(s_$r_$j, ${statistics}.x);
    @end
    @end
    `,
    { own, step },
  );
}

/** A kernel's label: what it is, and what tells it from others of its kind. */
export function backwardLabel(
  kernel: string,
  tile: string,
  spec: Pick<BackwardSpec, "layout" | "queryFormat" | "partial" | "selected">,
): string {
  return `attention.backward.${kernel}/${spec.layout}.${spec.queryFormat.dtype}.${tile}` +
    (spec.partial ? ".partial" : "") +
    (spec.selected ? ".selected" : "");
}
