/**
 * Teaches a SeerAttention gate where attention goes, on a task whose blocks are
 * known: in each block of keys one token stands out, and the queries of a block
 * look for those of some earlier blocks. What is learned comes from the forward
 * kernel itself (`blockScores`); sequences that the gate has never seen say
 * whether it found the rule.
 *
 * @module
 */

import { attention, type Gpu, type HostTensor } from "../mod.ts";
import type { Prng } from "../src/core/prng.ts";
import {
  initialSeerWeights,
  SeerDistillation,
  type SeerExample,
  SeerGate,
} from "../src/policies/mod.ts";

/** Sizes of the task. */
export const TASK = {
  queryHeads: 2,
  kvHeads: 1,
  headDim: 16,
  tokens: 256,
  block: 16,
  /** Earlier blocks that the queries of a block look for. */
  targets: 2,
} as const;

const BLOCKS = TASK.tokens / TASK.block;

/** How far what stands out rises above noise of deviation 1/2. */
const LOUD = 6;

/** A sequence, and where its queries look. */
export interface Planted {
  /** `[1, tokens, queryHeads, headDim]`. */
  readonly query: HostTensor;
  /** `[1, tokens, kvHeads, headDim]`. */
  readonly key: HostTensor;
  /** The same. */
  readonly value: HostTensor;
  /** Blocks by query head and block of queries. */
  readonly targets: readonly (readonly (readonly number[])[])[];
}

/** A sequence with blocks to be found. */
export function plant(random: Prng): Planted {
  const { queryHeads, headDim, tokens, block } = TASK;
  const noise = (heads: number): HostTensor => ({
    data: Float32Array.from(
      { length: tokens * heads * headDim },
      () => random.normal() / 2,
    ),
    shape: [1, tokens, heads, headDim],
  });
  const [query, key, value] = [queryHeads, 1, 1].map(noise);
  // What a block stands out by: an element of its own, up or down.
  const elements = random.shuffle(Array.from({ length: headDim }, (_, c) => c))
    .slice(0, BLOCKS);
  const heights = elements.map(() => random.below(2) === 0 ? LOUD : -LOUD);
  elements.forEach((c, j) => {
    const token = j * block + random.below(block);
    key.data[token * headDim + c] += heights[j];
  });
  const targets = Array.from(
    { length: queryHeads },
    () =>
      Array.from(
        { length: BLOCKS },
        (_, i) =>
          random.shuffle(Array.from({ length: i }, (_, j) => j))
            .slice(0, TASK.targets),
      ),
  );
  for (let token = 0; token < tokens; token++) {
    for (let h = 0; h < queryHeads; h++) {
      const own = targets[h][Math.floor(token / block)];
      if (own.length === 0) continue;
      const j = own[token % own.length];
      query.data[(token * queryHeads + h) * headDim + elements[j]] +=
        heights[j];
    }
  }
  return { query, key, value, targets };
}

/** What a gate learns of a sequence: attention itself says where it goes. */
export async function exampleOf(
  gpu: Gpu,
  { query, key, value }: Planted,
): Promise<SeerExample> {
  const { blockScores } = await attention(gpu, {
    query,
    key,
    value,
    causal: true,
    blockScores: { block: TASK.block },
  });
  return { query, key, blockScores: blockScores! };
}

/** A gate for the task that knows nothing. */
export function untaught(seed: number): SeerDistillation {
  const { queryHeads, kvHeads, headDim, block } = TASK;
  return new SeerDistillation({
    weights: initialSeerWeights({ queryHeads, kvHeads, headDim, seed }),
    queryHeads,
    kvHeads,
    block,
    // The task has no positions but blocks.
    rotary: false,
  });
}

/** Rows of blocks from here on count, as the gate's loss has it. */
const FIRST = BLOCKS / 4;

/** The part of planted blocks that are among the highest, as many of each row. */
export function recallOf(
  shares: ArrayLike<number>,
  { targets }: Planted,
): number {
  let [found, all] = [0, 0];
  targets.forEach((rows, h) =>
    rows.forEach((wanted, i) => {
      if (i < FIRST) return;
      const at = (h * BLOCKS + i) * BLOCKS;
      const highest = Array.from({ length: BLOCKS }, (_, j) => j)
        .sort((a, b) => shares[at + b] - shares[at + a] || a - b)
        .slice(0, wanted.length);
      found += wanted.filter((j) => highest.includes(j)).length;
      all += wanted.length;
    })
  );
  return found / all;
}

/** The recall of a gate that guesses: as many of `i + 1` blocks. */
export function guessedRecall(): number {
  const rows = Array.from({ length: BLOCKS - FIRST }, (_, i) => FIRST + i);
  return rows.reduce((sum, i) => sum + TASK.targets / (i + 1), 0) / rows.length;
}

/** What attention is by the blocks that a gate keeps, means over rows. */
export interface Kept {
  /** The part of blocks that are kept, of those that rows may see. */
  readonly density: number;
  /** The part of the softmax that is kept. */
  readonly mass: number;
  /** How far a row's output is from dense attention, in its worst element. */
  readonly error: number;
  /** How far it may be: `2 (1 - mass) max |v|`. */
  readonly bound: number;
}

/** Attention of a sequence by a gate's highest blocks, beside dense attention. */
export async function keptBy(
  gpu: Gpu,
  weights: SeerDistillation["weights"],
  { planted: { query, key, value }, topK }: {
    readonly planted: Planted;
    readonly topK: number;
  },
): Promise<Kept> {
  const { queryHeads, kvHeads, headDim, block } = TASK;
  const inputs = { query, key, value, causal: true, returnLse: true };
  using gate = await SeerGate.create(gpu, {
    weights,
    queryHeads,
    kvHeads,
    block,
    topK,
    denseRows: 0,
    rotary: false,
  });
  using select = await gate.select({ query, key });
  const dense = await attention(gpu, inputs);
  const sparse = await attention(gpu, { ...inputs, select });
  const { density } = await select.read();
  const rows = sparse.lse!.data.length;
  const most = [...value.data].reduce(
    (most, x) => Math.max(most, Math.abs(x)),
    0,
  );
  const sums = { mass: 0, error: 0 };
  for (let row = 0; row < rows; row++) {
    sums.mass += Math.exp(sparse.lse!.data[row] - dense.lse!.data[row]);
    let error = 0;
    for (let at = row * headDim; at < (row + 1) * headDim; at++) {
      const apart = sparse.output.data[at] - dense.output.data[at];
      error = Math.max(error, Math.abs(apart));
    }
    sums.error += error;
  }
  const mass = sums.mass / rows;
  return {
    density,
    mass,
    error: sums.error / rows,
    bound: 2 * (1 - mass) * most,
  };
}
