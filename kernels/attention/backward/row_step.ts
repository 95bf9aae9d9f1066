/**
 * What the backward kernels with lanes along packed query rows have in common:
 * forward's scores, made again, and their gradients. The kernels differ in what
 * they do with these.
 *
 * @module
 */

import { dotTile } from "../../fragments/dot.ts";
import { dropoutRows, dropTile } from "../../fragments/dropout.ts";
import { wgsl } from "../../wgsl.ts";
import { placeRows } from "../query_rows.ts";
import { beginTile } from "../spec.ts";
import {
  hideScores,
  modifyScores,
  ownRows,
  placeKeys,
  type RegisterTile,
  rowPairs,
} from "../score_tile.ts";
import {
  type BackwardSpec,
  placeGradients,
  READ_ROW_SIZES,
  scoreGradients,
  weightScores,
} from "./spec.ts";

/** A spec with lanes along query rows. */
export interface RowSpec extends BackwardSpec {
  /** The register tile. */
  readonly tile: RegisterTile;
}

/** Names for the rows that a lane owns, and what is read of each once. */
export function beginRows(spec: RowSpec): string {
  const { rowsPerLane: rows } = spec.tile;
  return [
    beginTile(spec),
    READ_ROW_SIZES,
    ownRows(spec.tile, "consecutive"),
    placeRows(rows, spec),
    dropoutRows(spec, rows),
    ...Array.from({ length: rows }, (_, r) => placeGradients(r, spec)),
  ].filter((part) => part !== "").join("\n\n");
}

/**
 * `ds_{row}_{key}` of a step of keys, whose places it names. Expects `cursor` at
 * `first_key`, and `masked`.
 */
export function gradientStep(
  spec: RowSpec,
  { derivatives, products = "" }: {
    /** Whether they are by the products, not by the scores. */
    readonly derivatives: boolean;
    /** What is done with the products `s_{row}_{key}` before score mods. */
    readonly products?: string;
  },
): string {
  const { rowsPerLane: own, keysPerStep: step } = spec.tile;
  const dropout = spec.dropout ?? false;
  const modified = spec.mods?.hasScore ?? false;
  const pairs = rowPairs(spec.tile);
  const pair = { own, step, statistics: "statistics_$r" };
  return wgsl(
    `
    $places
    $dots

    $hide
    $products
    $modify
    $weights
    $valueDots
    $drops
    $gradients
    `,
    {
      places: placeKeys(step),
      dots: dotTile({
        own,
        step,
        into: "s",
        vecs: "row_sizes.head_vecs",
        ownRow: ["q", "load_query(query_at_$r, vec)"],
        stepRow: ["k", "load_key(key_$j, vec)"],
      }),
      hide: hideScores(pairs),
      products,
      modify: modified ? modifyScores(pairs, derivatives) : "",
      weights: weightScores(pair),
      valueDots: dotTile({
        own,
        step,
        into: "dp",
        vecs: "row_sizes.value_vecs",
        ownRow: ["g", "load_output_gradient(gradient_at_$r, vec)"],
        stepRow: ["v", "load_value(value_$j, vec)"],
      }),
      drops: dropout ? dropTile(pairs) : "",
      gradients: scoreGradients({
        ...pair,
        derivatives: derivatives && modified,
        dropout,
      }),
    },
  );
}
