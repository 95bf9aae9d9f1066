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
import { checkGroups } from "./group_match.ts";
import { checkGrowthPolicy } from "../extent/growth.ts";
import type { CacheManagerOptions } from "./manager_types.ts";
import { encodeDomain, type PrefixDomain } from "../prefix/prefix_hash.ts";
import { PrefixIndex } from "../prefix/prefix_index.ts";
import { checkTokens } from "../../core/tokens.ts";

/** Options with everything filled in but the index. */
export type FullManagerOptions =
  & Required<Omit<CacheManagerOptions, "index">>
  & Pick<CacheManagerOptions, "index">;

const MANAGER = [
  "pool",
  "index",
  "groups",
  "watermark",
  "hostBlocks",
  "growth",
  "maxLength",
];

/**
 * Checks options and fills them in; the groups are copied.
 *
 * @throws {TypeError} if an option is of the wrong type, or `index` is not
 * over `pool`.
 * @throws {RangeError} if an option is out of its range.
 */
export function checkManagerOptions(
  options: CacheManagerOptions,
): FullManagerOptions {
  checkOptions("a CacheManager", options, { known: MANAGER });
  const { pool, index, groups = [{}], watermark = 0.01 } = options;
  const { hostBlocks = 0, growth = "page", maxLength = Infinity } = options;
  checkType(pool instanceof BlockPool, "pool", "must be a BlockPool", pool);
  checkType(
    index === undefined ||
      index instanceof PrefixIndex && index.pool === pool,
    "index",
    "must be a PrefixIndex over the pool",
    index,
  );
  checkGroups(groups);
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
    watermark,
    hostBlocks,
    growth,
    maxLength,
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
