/**
 * Which schedule, on which tiles, moves least on a device.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../core/check.ts";
import { checkOptions } from "../core/options.ts";
import { type TrafficBound, trafficBound } from "./traffic/bound.ts";
import { type ScheduleCost, totalFlops, totalTraffic } from "./traffic/cost.ts";
import { flash1Cost, flash2Cost, tileElements } from "./traffic/fused.ts";
import { type AttentionSizes, packedSizes } from "./traffic/sizes.ts";
import {
  smallCacheCost,
  smallCacheElements,
  smallCacheTile,
} from "./traffic/small_cache.ts";

/**
 * A schedule that a plan may take. `attention()` runs `"fa2"` as `"fused"`, and
 * `"fa1"`; `"small-cache"` is a model alone. Standard attention is none of them:
 * on the same row tiles it moves what `"fa2"` moves, and S and P besides.
 *
 * @category Planning
 */
export type ScheduleName = "fa1" | "fa2" | "small-cache";

/**
 * What a device has.
 *
 * @category Planning
 */
export interface TileLimits {
  /** Bytes of workgroup memory: `maxComputeWorkgroupStorageSize`. */
  readonly workgroupBytes: number;
  /**
   * Elements in registers, of a whole workgroup, that a tile may take besides.
   * WebGPU does not say how many there are; the default, 0, counts on none.
   */
  readonly registerElements?: number;
  /** Invocations of a workgroup at most; default 256. */
  readonly invocations?: number;
  /**
   * Elements that an invocation keeps in registers of a micro-tile: scores, and
   * a vec4 of its rows. Default 64.
   */
  readonly registersPerLane?: number;
  /** What may be chosen; default all. */
  readonly schedules?: readonly ScheduleName[];
}

/**
 * What one lane does of a tile at a time (the small tile of FastAttention's two
 * levels). Fits `attention(..., { tiles: { forward: microTile } })`.
 *
 * @category Planning
 */
export interface MicroTile {
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** Query rows of each. */
  readonly rowsPerLane: number;
  /** Keys of a step. */
  readonly keys: number;
}

/**
 * A schedule on the tiles that it moves least with.
 *
 * @category Planning
 */
export interface ScheduleCandidate {
  /** The schedule. */
  readonly schedule: ScheduleName;
  /** Packed query rows x keys; for `"small-cache"` a square. */
  readonly tile: { readonly rows: number; readonly keys: number };
  /** Elements of fast memory that it holds at once. */
  readonly heldElements: number;
  /** Elements that it moves. */
  readonly elements: number;
  /** What it costs, by tensor and by kind. */
  readonly cost: ScheduleCost;
}

/**
 * The schedule that moves least, and how it compares.
 *
 * @category Planning
 */
export interface TilePlan extends ScheduleCandidate {
  /** The tile divided among lanes. */
  readonly microTile: MicroTile;
  /** M: elements of fast memory that were planned with. */
  readonly fastElements: number;
  /** Arithmetic operations for each float32 byte moved. */
  readonly intensity: number;
  /** The lower bound for that fast memory. */
  readonly bound: TrafficBound;
  /** Every schedule that fits, the cheapest first. */
  readonly candidates: readonly ScheduleCandidate[];
}

const SCHEDULES: readonly ScheduleName[] = ["fa2", "fa1", "small-cache"];

/** Rows and keys of the smallest tile, where the problem has as many. */
const LEAST = 8;

/** Keys of a step at most: one bit each in a lane's mask. */
const MOST_KEYS = 32;

/**
 * The cheapest schedule of a problem for a device: least traffic, then least
 * arithmetic. Tiles are powers of two, as lanes are. Only traffic is modelled;
 * which is faster a device must say (`deno task bench`).
 *
 * @throws {TypeError} if an option is unknown or of a wrong type
 * @throws {RangeError} if one is out of range, or no tile fits
 *
 * @example
 * ```ts
 * import { planTiles } from "@quire/attention/planning";
 *
 * const { schedule, tile, microTile } = planTiles(
 *   { queries: 4096, keys: 4096, queryHeads: 8, headDim: 64 },
 *   { workgroupBytes: 16384 },
 * );
 * console.log(schedule, tile); // fa2 { rows: 16, keys: 8 }
 * console.log(microTile); // { lanes: 16, rowsPerLane: 1, keys: 8 }
 * ```
 *
 * @category Planning
 */
export function planTiles(
  sizes: AttentionSizes,
  limits: TileLimits,
): TilePlan {
  const { fastElements, schedules, invocations, registersPerLane } = checked(
    limits,
  );
  const candidates = schedules
    .flatMap((schedule) => candidatesOf(schedule, sizes, fastElements))
    .sort(compare);
  checkRange(
    candidates.length > 0,
    "limits.workgroupBytes",
    `must have room for a tile of ${schedules.join(" or ")}`,
    limits.workgroupBytes,
  );
  const [best] = candidates;
  return {
    ...best,
    microTile: microTileOf(best.tile, { invocations, registersPerLane }),
    fastElements,
    intensity: best.elements === 0
      ? 0
      : totalFlops(best.cost.flops) / (4 * best.elements),
    bound: trafficBound(sizes, fastElements),
    candidates,
  };
}

function checked(limits: TileLimits) {
  checkOptions("limits", limits, {
    known: [
      "workgroupBytes",
      "registerElements",
      "invocations",
      "registersPerLane",
      "schedules",
    ],
    hints: { maxComputeWorkgroupStorageSize: "write workgroupBytes" },
  });
  const { workgroupBytes, registerElements = 0 } = limits;
  const { invocations = 256, registersPerLane = 64 } = limits;
  const { schedules = SCHEDULES } = limits;
  checkInteger("limits.workgroupBytes", workgroupBytes, 4);
  checkInteger("limits.registerElements", registerElements, 0);
  checkInteger("limits.invocations", invocations, 1);
  checkInteger("limits.registersPerLane", registersPerLane, 5);
  checkType(
    Array.isArray(schedules) && schedules.length > 0 &&
      schedules.every((name) => SCHEDULES.includes(name)),
    "limits.schedules",
    `must be a list of ${SCHEDULES.map((name) => `"${name}"`).join(" or ")}`,
    schedules,
  );
  return {
    fastElements: Math.floor(workgroupBytes / 4) + registerElements,
    schedules,
    invocations,
    registersPerLane,
  };
}

/** The cheapest tile of a schedule, if any fits. */
function candidatesOf(
  schedule: ScheduleName,
  sizes: AttentionSizes,
  fastElements: number,
): ScheduleCandidate[] {
  const candidate = (
    tile: { readonly rows: number; readonly keys: number },
    heldElements: number,
    cost: ScheduleCost,
  ): ScheduleCandidate => ({
    schedule,
    tile,
    heldElements,
    elements: totalTraffic(cost.traffic),
    cost,
  });
  if (schedule === "small-cache") {
    if (fastElements < smallCacheElements(1)) return [];
    const side = smallCacheTile(fastElements);
    const tile = { rows: side, keys: side };
    const cost = smallCacheCost(sizes, side);
    return [candidate(tile, smallCacheElements(side), cost)];
  }
  const costOf = schedule === "fa1" ? flash1Cost : flash2Cost;
  const { rows, keys } = packedSizes(sizes);
  const all = powersUpTo(rows).flatMap((rows) =>
    powersUpTo(keys).map((keys) => ({ rows, keys }))
  );
  const fitting = all.filter((tile) =>
    tileElements(sizes, tile) <= fastElements
  );
  const least = {
    rows: Math.min(LEAST, rows),
    keys: Math.min(LEAST, keys),
  };
  const large = fitting.filter((tile) =>
    tile.rows >= least.rows && tile.keys >= least.keys
  );
  return (large.length > 0 ? large : fitting)
    .map((tile) =>
      candidate(tile, tileElements(sizes, tile), costOf(sizes, tile))
    )
    .sort(compare)
    .slice(0, 1);
}

/** Powers of two, up to the first that holds all. */
function powersUpTo(length: number): number[] {
  const powers = [1];
  while (powers[powers.length - 1] < length) {
    powers.push(2 * powers[powers.length - 1]);
  }
  return powers;
}

function compare(a: ScheduleCandidate, b: ScheduleCandidate): number {
  return a.elements - b.elements ||
    totalFlops(a.cost.flops) - totalFlops(b.cost.flops) ||
    a.heldElements - b.heldElements;
}

/** As many lanes as there are rows for, each with as few rows as fit. */
function microTileOf(
  { rows, keys }: { readonly rows: number; readonly keys: number },
  { invocations, registersPerLane }: {
    readonly invocations: number;
    readonly registersPerLane: number;
  },
): MicroTile {
  let lanes = 1;
  while (2 * lanes <= Math.min(invocations, rows)) lanes *= 2;
  const rowsPerLane = Math.ceil(rows / lanes);
  const step = Math.floor(registersPerLane / rowsPerLane) - 4;
  return {
    lanes,
    rowsPerLane,
    keys: Math.max(1, Math.min(keys, step, MOST_KEYS)),
  };
}
