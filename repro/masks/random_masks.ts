/**
 * Random mask expressions, such as a person might write: comparisons of lines
 * and of what is left of them by a period, of captured numbers, combined.
 *
 * @module
 */

import {
  type Bool,
  capture,
  type Int,
  type MaskMod,
  maskMod,
} from "../../src/mods/mod.ts";
import type { Prng } from "../../src/core/prng.ts";

interface Positions {
  readonly query: Int;
  readonly key: Int;
}

/** A mask of up to four comparisons. */
export function randomMask(random: Prng): MaskMod {
  return maskMod("random", ({ query, key }) => {
    let mask = comparison(random, { query, key });
    for (let more = random.below(4); more > 0; more--) {
      const next = comparison(random, { query, key });
      const other = random.below(4) === 0 ? next.not() : next;
      mask = random.below(2) === 0 ? mask.and(other) : mask.or(other);
    }
    return mask;
  });
}

function comparison(random: Prng, positions: Positions): Bool {
  const value = number(random, positions);
  const bound = random.below(200) - 60;
  switch (random.below(4)) {
    case 0:
      return value.le(bound);
    case 1:
      return value.ge(bound);
    case 2:
      return value.rem(2 + random.below(60)).eq(0);
    default:
      return value.lt(number(random, positions));
  }
}

/** A line through positions, a part of one, its distance, or a captured number. */
function number(random: Prng, { query, key }: Positions): Int {
  const lines = [query, key, query.sub(key), query.add(key), key.sub(query)];
  const line = lines[random.below(lines.length)]
    .mul(1 + random.below(3))
    .add(random.below(80) - 40);
  switch (random.below(5)) {
    case 0:
      return line.div(1 + random.below(40));
    case 1:
      return line.abs();
    case 2:
      return table(random).at(random.below(2) === 0 ? query : key);
    default:
      return line;
  }
}

/** 256 numbers that wander. */
function table(random: Prng) {
  let at = random.below(100);
  return capture(
    Int32Array.from({ length: 256 }, () => at += random.below(9) - 4),
  );
}
