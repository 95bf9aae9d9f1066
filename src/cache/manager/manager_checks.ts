/**
 * Checks of what a cache manager is given.
 *
 * @module
 */

import {
  checkFinite,
  checkInteger,
  checkRange,
  checkType,
} from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { BlockPool } from "../block/block_pool.ts";
import type { SequenceState, SequenceStatus } from "./cache_sequence.ts";
import { checkGroups, type LayerGroup } from "./group_match.ts";
import { checkGrowthPolicy } from "../extent/growth.ts";
import type {
  CacheManagerOptions,
  ManagerStateOptions,
} from "./manager_types.ts";
import { encodeDomain, type PrefixDomain } from "../prefix/prefix_hash.ts";
import { PrefixIndex } from "../prefix/prefix_index.ts";
import {
  checkSnapshots,
  type FullSnapshotPolicy,
} from "../state/snapshot_policy.ts";
import { StatePool } from "../state/state_pool.ts";
import { checkTokens } from "../../core/tokens.ts";

/** Options with everything filled in but the index. */
export type FullManagerOptions =
  & Required<Omit<CacheManagerOptions, "index" | "states">>
  & Pick<CacheManagerOptions, "index">
  & { readonly states: FullStateOptions | undefined };

/** Options of the states with everything filled in but the index. */
export type FullStateOptions =
  & Required<Omit<ManagerStateOptions, "index" | "snapshots">>
  & Pick<ManagerStateOptions, "index">
  & { readonly snapshots: FullSnapshotPolicy };

const MANAGER = [
  "pool",
  "index",
  "groups",
  "states",
  "watermark",
  "hostBlocks",
  "growth",
  "maxLength",
];

/**
 * Checks options and fills them in; the groups are copied.
 *
 * @throws {TypeError} if an option is of the wrong type, an index is not over
 * its pool, or there are states without a group of them or the other way.
 * @throws {RangeError} if an option is out of its range.
 */
export function checkManagerOptions(
  options: CacheManagerOptions,
): FullManagerOptions {
  checkOptions("a CacheManager", options, { known: MANAGER });
  const { pool, index, groups = [{}], watermark = 0.01 } = options;
  const { hostBlocks = 0, growth = "page", maxLength = Infinity } = options;
  checkType(
    pool instanceof BlockPool && !(pool instanceof StatePool),
    "pool",
    "must be a BlockPool",
    pool,
  );
  checkType(
    index === undefined ||
      index instanceof PrefixIndex && index.pool === pool,
    "index",
    "must be a PrefixIndex over the pool",
    index,
  );
  checkGroups(groups);
  const states = checkStates(options, groups);
  checkFinite("watermark", watermark);
  checkRange(
    watermark >= 0 && watermark <= 1,
    "watermark",
    "must be in 0..1",
    watermark,
  );
  checkInteger("hostBlocks", hostBlocks, 0, 2 ** 31 - 2);
  checkGrowthPolicy(growth);
  if (maxLength !== Infinity || growth === "max") {
    checkInteger("maxLength", maxLength, 0);
  }
  return {
    pool,
    ...(index === undefined ? {} : { index }),
    groups: groups.map((group) => ({ ...group })),
    states,
    watermark,
    hostBlocks,
    growth,
    maxLength,
  };
}

/** Checks the states' options against the blocks', and fills them in. */
function checkStates(
  { pool, index, states }: CacheManagerOptions,
  groups: readonly LayerGroup[],
): FullStateOptions | undefined {
  const recurrent = groups.some(({ kind }) => kind === "state");
  checkType(
    recurrent === (states !== undefined),
    "states",
    recurrent
      ? 'must be given, as there is a group of kind "state"'
      : 'must not be given, as there is no group of kind "state"',
    states,
  );
  if (states === undefined) return undefined;
  checkOptions("states", states, {
    known: ["pool", "index", "snapshots", "hostStates"],
  });
  const { snapshots = {}, hostStates = 0 } = states;
  checkType(
    states.pool instanceof StatePool,
    "states.pool",
    "must be a StatePool",
    states.pool,
  );
  checkRange(
    states.pool.blockSize === pool.blockSize,
    "states.pool.blockSize",
    `must be that of the pool, ${pool.blockSize}`,
    states.pool.blockSize,
  );
  checkType(
    states.index === undefined ||
      states.index instanceof PrefixIndex && states.index.pool === states.pool,
    "states.index",
    "must be a PrefixIndex over states.pool",
    states.index,
  );
  const keyed = groups.some(({ kind }) => kind !== "state");
  checkType(
    keyed
      ? (index === undefined) === (states.index === undefined)
      : index === undefined,
    "index",
    keyed
      ? "must be given with states.index, or neither, as a hit is one of both"
      : "must not be given, as no group has blocks",
    index,
  );
  checkInteger("states.hostStates", hostStates, 0, 2 ** 31 - 2);
  return {
    pool: states.pool,
    ...(states.index === undefined ? {} : { index: states.index }),
    snapshots: checkSnapshots(snapshots),
    hostStates,
  };
}

/** Checks a domain, and copies it. */
export function copyDomain(domain: PrefixDomain): PrefixDomain {
  encodeDomain(domain);
  return structuredClone(domain);
}

/** Checks what a sequence begins with. */
export function checkBeginning(
  tokens: readonly number[],
  domain: PrefixDomain,
): void {
  checkTokens(tokens);
  encodeDomain(domain);
}

/** Throws unless a sequence is in one of the places that are allowed. */
export function checkStatus(
  { status }: SequenceState,
  allowed: readonly SequenceStatus[],
): void {
  checkType(
    allowed.includes(status),
    "sequence.status",
    `must be ${allowed.join(" or ")}`,
    status,
  );
}

/**
 * Throws if a sequence with states has tokens reserved that are not committed:
 * its state is being written then, and no one else may read it.
 */
export function checkSettled(
  name: string,
  { states, tokens, committed }: SequenceState,
): void {
  checkType(
    states.length === 0 || tokens.length === committed,
    name,
    `must have all of its ${tokens.length} tokens committed, as it has states`,
    committed,
  );
}

/** Throws unless there is an item for each beam. */
export function checkPerBeam(
  name: string,
  items: readonly unknown[],
  beams: readonly unknown[],
): void {
  checkType(Array.isArray(items), name, "must be an array", items);
  checkRange(
    items.length === beams.length,
    `${name}.length`,
    `must be the number of beams, ${beams.length}`,
    items.length,
  );
}
